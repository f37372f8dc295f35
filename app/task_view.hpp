// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What people want to know about a task, folded from its events: the ledger's state (who holds which answers and votes) and beside
/// it what the ledger forgets: times, every vote ever cast, what each run was shown, partial texts, calls and tokens. Pure.

#include "protocols/ledger.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace conclave {

struct call_view {
  std::uint64_t started = 0, ended = 0;
  std::map<std::string, std::uint64_t> statuses; ///< of ended calls
  std::uint64_t uncounted = 0;                   ///< of ended calls of models: nobody knows their requests, as they were cut off

  /// Calls whose requests are not in the count: those, and what is open.
  std::uint64_t without_requests() const { return uncounted + (started - (started < ended ? started : ended)); }
};

struct run_view {
  std::uint64_t id = 0;
  std::uint32_t round = 0;
  std::int64_t started_ms = 0, ended_ms = -1; ///< -1: no end recorded
  bool presents = false;
  std::vector<std::string> shown; ///< labels
  std::string end;                ///< answered, voted, failed, straggler, ...
  std::string partial;            ///< text of a run that ended without a verdict
  call_view model;
  usage use; ///< of its model calls
};

struct answer_view {
  std::string label, text;
  std::uint64_t run = 0, epoch = 0;
  std::uint32_t round = 0;
  std::int64_t time_ms = 0;
};

struct vote_view {
  std::string label, target, target_label, reason;
  std::uint64_t run = 0, epoch = 0;
  std::uint32_t round = 0;
  std::int64_t time_ms = 0;
};

/// The files that go with an answer.
struct files_view {
  std::string label, snapshot;
  std::int64_t files = 0, bytes = 0;
  std::uint64_t run = 0;
  std::uint32_t round = 0;
  bool final = false; ///< with the final answer
  std::int64_t time_ms = 0;
};

struct agent_view {
  std::string id;
  std::uint32_t number = 0;       ///< agentN
  placement placed;               ///< empty where the log does not say it
  std::vector<placement> earlier; ///< what answered for it before, oldest first
  std::string status = "waiting"; ///< waiting streaming answered voted restarting error timeout cancelled completed
  std::vector<run_view> runs;
  std::vector<answer_view> answers;
  std::vector<vote_view> votes;
  std::vector<files_view> files;
  std::uint32_t failures = 0, restarts = 0;
  call_view model;
  std::map<std::string, call_view> tools;
  usage use;
  ec error_code = ec::none;
  std::string error;
  std::int64_t error_ms = 0;
  std::string out_reason;
  bool out = false;
  std::int64_t last_ms = 0;
};

struct task_view {
  ledger::state state;
  std::vector<agent_view> agents;          ///< registration order
  std::map<std::string, placement> placed; ///< by agent, as told before the session starts
  std::string question;
  std::vector<attachment> files; ///< that go with it
  std::int64_t started_ms = 0, last_ms = 0;
  std::uint64_t events = 0;
  std::vector<std::string> lost_nodes;
  bool selected = false; ///< a winner was chosen
  std::string winner, win_reason;
  std::vector<std::string> candidates;
  std::int64_t winner_votes = 0;
  bool tie = false;
  bool presenting = false, fallback = false;
  std::string fallback_reason;
  bool has_final = false; ///< `final_text` is what was delivered
  std::string final_text;
  bool truncated = false;
  std::string cancel_reason;
  bool deadline = false; ///< the coordination deadline passed
  bool ended = false;    ///< the terminal event was seen
  std::string outcome;   ///< answered, failed, timed_out, interrupted; "interrupted" without a terminal event, too
  std::string finish_reason;
  std::string error;

  /// Takes the next event. Events of unknown agents or types change only times and counts.
  void on(const event& e);

  const agent_view* find(const std::string& id) const;
  agent_view* find(const std::string& id);

  /// Returns "agent2" for a real id, the id itself if it is no agent's.
  std::string anonymous(const std::string& id) const;

  /// Returns what people call the answer with this label: "critic's answer", with its number "critic's answer 2" from the second
  /// on. The label itself, on one line, if it is nobody's.
  std::string answer_name(const std::string& label) const;

  /// Returns what all agents' calls cost.
  usage cost() const;

  /// Returns the votes that count now, per agent in registration order.
  std::vector<std::uint32_t> tally() const;
};

task_view view_of(const std::vector<event>& events);

} // namespace conclave
