// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What would have won a stored task under other rules, as far as its log can tell: answers, votes and failures are judged by the
/// ledger once more, in their order and at their times, under those rules (docs/protocol.md 9.6). Hypothetical: what an agent would
/// have said instead is in no log. Pure; takes any log without a crash.
///
///   auto w = ledger::ask_what_if(log, find, {rules, ids});   // w.error: why the log tells nothing
///   if (w.chosen()) ... w.winner ... w.known_until

#include "protocols/ledger.hpp"
#include "protocols/opening.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace conclave::ledger {

struct other_rules {
  ledger::rules rules;
  std::vector<std::string> order;             ///< ids in the order in which ties break; who is not named stands behind, as before
  std::map<std::string, budget> budgets = {}; ///< of agents, by id; who is not named has what it had
};

/// Something that goes another way under the other rules.
struct what_if_note {
  std::uint64_t seq = 0; ///< of the event it happens at
  std::string text;
  bool gap = false; ///< what follows from it is not in the log
  bool operator==(const what_if_note&) const = default;
};

/// The newest answer of an agent when the winner is chosen, or at the end of the log.
struct what_if_answer {
  std::string agent;               ///< real id
  std::string label;               ///< in the log; empty = the log refused it
  std::uint64_t seq = 0;           ///< of the event that has it, 1 = an earlier task left it behind
  std::vector<std::string> voters; ///< real ids of those whose vote for it counts
  std::uint32_t votes_then = 0;    ///< what it had in the log
  bool operator==(const what_if_answer&) const = default;
};

struct what_if {
  std::string error;                   ///< not empty: the log cannot be asked, and why; nothing else is set
  std::string winner;                  ///< real id; empty = nobody is chosen, see `none`
  std::string label;                   ///< of its answer in the log; empty = the log refused it, or the winner presents without one
  std::uint64_t seq = 0;               ///< of the event that has the answer, 0 = there is none
  std::string how;                     ///< as `final_agent_selected` says it; of a tie also that the order is another one
  std::vector<std::string> tied;       ///< whose answers had most votes, if more than one
  std::string leading;                 ///< who would be chosen if coordination had ended there; only without a winner
  std::string none;                    ///< why there is no winner
  std::uint64_t known_until = 0;       ///< from this event on the log can tell no more, 0 = it tells all
  std::string then_winner, then_label; ///< of the log; empty = none
  std::vector<what_if_answer> answers;
  std::vector<what_if_note> notes; ///< in the order of the log

  bool chosen() const { return !winner.empty(); }
};

/// Judges a whole log, of seq 1 and on, under other rules; under its own the winner is the log's. `find` returns the text behind a
/// SHA-256, or nullptr. Costs what the log is long.
what_if ask_what_if(const std::vector<event>& log, const std::function<const std::string*(const std::string&)>& find,
                    const other_rules& other);

/// A key whose value differs between two sets of rules.
struct rule_change {
  std::string path, then, now; ///< values as the key writes them, "not set" where there is none
};

/// What another team file would have changed.
struct rule_changes {
  std::vector<rule_change> judged;   ///< what the ledger decides by: ask_what_if() plays it
  std::vector<std::string> unjudged; ///< paths of the other keys that differ: what agents would have said with them no log tells
};

/// Compares what a task was played by with a configuration, key by key. Of agents those that both have; secrets of `now` are
/// compared by where they stand, and no value of an agent's key is told. `known`: see mask_secrets.
rule_changes changes_between(const opening& then, const run_config& now, const secrets* known = nullptr);

} // namespace conclave::ledger
