// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The rules of a task, pure: no CAF, no clock, no I/O, no randomness.
///
///   state s = ledger::make(rules, agents);  // or restore(log): a log needs nothing beside it
///   auto d = ledger::advance(s, command);   // events or a refusal; s has taken them. Costs what changes, copies no text
///   auto w = ledger::want(s);               // runs, timers, presentation that should exist now
///
/// decide(s, command) is the same on a copy; fold(s, event) is the only way a state changes. Nobody else makes events.
///
/// The orchestrator only reconciles what is with what is wanted; resume is fold + reconcile. Rules: docs/protocol.md 2 to 5;
/// invariants: 9.3.

#include "protocols/budget.hpp"
#include "protocols/coordination.hpp"
#include "protocols/events.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave::ledger {

enum class pacing : std::uint8_t { barrier, eager };
enum class strategy : std::uint8_t { winner_present, winner_reuse };

/// Limits and deadlines; 0 means none unless said otherwise. Times in milliseconds.
struct rules {
  ledger::pacing pacing = pacing::barrier;
  ledger::strategy strategy = strategy::winner_present;
  bool skip_coordination = false; ///< first agent presents directly
  std::int64_t patience_ms = 120'000;
  std::uint32_t max_answers_per_agent = 3;
  std::uint32_t max_answers_global = 0;
  std::uint32_t max_failed_runs = 3;
  std::uint32_t max_runs = 0; ///< 0 = 20 x agents
  std::uint32_t max_answer_bytes = 262'144;
  std::uint32_t max_reason_chars = 2'000;
  std::int64_t coordination_ms = 1'800'000;
  std::int64_t initial_run_ms = 600'000;
  std::int64_t later_run_ms = 600'000;
  std::int64_t presentation_ms = 300'000;
  std::int64_t backoff_ms = 1'000; ///< doubles per failure in a row
  std::int64_t backoff_cap_ms = 30'000;
  std::int64_t cancel_grace_ms = 1'500; ///< how long cancelled runs may still report their partial text
  std::int64_t closing_ms = 1'500;      ///< how long the end of a task waits for the ends of calls under way; 0 = not at all
  bool planning_mode = false;           ///< tools are called by the presentation alone
  std::string planning_mode_instruction;
  bool planning_mode_allow_readonly = false;
  conclave::budget budget; ///< of the task
  bool operator==(const rules&) const = default;
};

/// closing: how the task ends is decided; the ends of calls under way are awaited, for a bounded time, so that they are in the log.
enum class phase : std::uint8_t { idle, coordinating, presenting, cancelling, closing, done };

struct answer {
  std::string label;
  std::string text;
  std::uint64_t epoch = 0;                 ///< epoch after its acceptance; also its age
  std::string key;                         ///< hash of the folded text: only equal keys can be duplicates
  std::string snapshot = {};               ///< of the files that go with it; empty = none
  std::int64_t files = 0;                  ///< in it
  std::int64_t bytes = 0;                  ///< of them
  std::vector<folder_change> changes = {}; ///< that it proposes if it is delivered as it is
  bool operator==(const answer&) const = default;
};

struct ballot {
  std::string target; ///< real id
  std::string label;  ///< target's label at the time
  std::string reason;
  std::uint64_t epoch = 0;
  bool operator==(const ballot&) const = default;
};

struct active_run {
  std::uint64_t id = 0; ///< 0 = no run
  std::uint64_t epoch = 0;
  std::uint32_t round = 0;
  std::vector<std::string> shown; ///< labels in this run's context
  std::int64_t started_ms = 0;
  usage use = {}; ///< of its ended model calls
  bool operator==(const active_run&) const = default;
};

/// A call that was recorded as begun and has no end yet, also of a run that is over.
struct open_call {
  std::uint64_t run = 0;
  std::uint64_t call = 0;
  std::string target;
  usage reserve = {}; ///< what it may use at most, see begin_call
  bool operator==(const open_call&) const = default;
};

struct member {
  std::string id;
  std::uint32_t number = 0; ///< registration order, 1-based; "agentN" everywhere
  bool live = true;
  ec out_code = ec::none;
  std::string out_reason;
  std::vector<answer> answers; ///< all accepted, newest last
  std::uint32_t earlier = 0;   ///< how many of them an earlier task left behind: no limit counts those
  ballot vote;                 ///< vote.epoch == state.epoch and target non-empty = holds a current vote
  std::uint32_t votes_cast = 0;
  std::uint32_t failures = 0; ///< in a row
  active_run run;
  bool broke_off = false;       ///< its newest run ended without a verdict: the next one finds its files as that left them
  bool closed = false;          ///< this round needs nothing more of it
  bool restart_pending = false; ///< eager
  std::uint32_t restarts = 0;
  std::int64_t not_before_ms = 0; ///< end of its back-off, 0 = none; cleared by `backoff_over`
  std::uint32_t attempts = 0;     ///< runs begun in this round
  std::uint64_t abandoned = 0;    ///< newest run the ledger ended by itself; its late report may still bring partial text
  std::string last_error;         ///< of the newest failed run
  ec last_code = ec::none;
  std::uint64_t partial_bytes = 0; ///< of the partial texts of its runs so far; late reports, which change nothing, do not count
  std::uint64_t calls = 0;         ///< highest call number seen; the next free one is calls + 1
  std::vector<open_call> open;     ///< calls under way, oldest first
  std::uint64_t model_calls = 0;   ///< model calls begun
  usage use;                       ///< of all ended model calls
  conclave::budget budget;         ///< its own
  amount spent;                    ///< what its ended model calls count against a budget
  bool told_over = false;          ///< that its own budget might be exceeded
  bool operator==(const member&) const = default;
};

struct state {
  ledger::rules rules;
  ledger::phase phase = phase::idle;
  std::vector<member> members; ///< registration order
  std::string question;
  std::uint64_t epoch = 0;
  std::uint64_t earlier = 0; ///< answers of the task this one goes on from; epoch - earlier are new
  std::uint32_t round = 0;
  bool improved = false;
  std::int64_t started_ms = 0; ///< this and every other time deadlines hang on: less the time nobody worked on the task
  std::int64_t last_ms = 0;    ///< of the newest event; times never go back
  std::string owner;           ///< of who resumed it last, with its fence; empty and 0 = never resumed
  std::uint64_t fence = 0;
  std::int64_t first_verdict_ms = -1;  ///< of this round, -1 = none
  std::int64_t last_verdict_ms = -1;   ///< re-arms the patience
  std::int64_t longest_verdict_ms = 0; ///< longest finished verdict of this round
  bool late = false;                   ///< the coordination deadline has struck
  std::uint64_t next_run = 1;
  std::uint32_t runs_started = 0;
  std::string winner;
  std::string win_reason;
  bool tie = false;
  std::uint32_t presentation_tries = 0;
  std::uint32_t presentation_starts = 0;
  std::string presentation_error; ///< why the newest attempt failed
  bool fallback = false;
  std::int64_t presentation_deadline_ms = 0; ///< of the presentation as a whole, 0 = none
  active_run presentation;
  std::int64_t cancel_deadline_ms = 0;
  std::int64_t closing_deadline_ms = 0;
  std::string cancel_reason;
  std::string final_text;
  std::string final_snapshot; ///< of the presentation
  std::int64_t final_files = 0;
  std::vector<folder_change> changes; ///< that it proposes
  bool final_truncated = false;
  std::string finish_reason;
  outcome_kind outcome = outcome_kind::failed; ///< valid when closing or done
  std::string error;
  ec error_code = ec::none;
  std::uint32_t terminals = 0; ///< task_ended events seen: at most one
  bool told_over = false;      ///< a person knows that the budget of the task might be exceeded
  std::string over_budget;     ///< why it ends: whose budget a call might have exceeded, what is spent; empty = not for that
  bool operator==(const state&) const = default;
};

enum class command_kind : std::uint8_t {
  start,      ///< text = question, opening, placements, said = bodies of the files that go with it
  begin_run,  ///< agent: a wanted run begins (coordination or presentation)
  answer,     ///< agent, run, text, step, files; said, state, kept: of the run, in case it is refused
  vote,       ///< agent, run, target = id as the model gave it, reason, step; said, state, kept as above
  fail,       ///< agent, run, code, reason, text = partial text, jitter
  present,    ///< agent, run, text, truncated, files
  lose_agent, ///< agent, code, reason: out at once
  lose_node,  ///< target = node, agents, reason
  timer,      ///< timer = the key of a wanted timer that fired
  cancel,     ///< reason: the user or the host ends the task
  begin_call, ///< agent, run, call, target, hash, said, state, kept; use = what it may use at most, with its cost. Ruled accepted
              ///< (go) | refused{reason, code} | superseded
  end_call,   ///< agent, run, call, status, use, said: also of a run that is over. One end counts; superseded if it has none to be
  note,       ///< agent, run, code, reason: a notice
  take_over,  ///< target = owner, fence: a new owner goes on after a crash. Open calls end as "unknown"
  continue_run, ///< agent, run = the old number: a run of before the crash goes on under a new one
  give_up,      ///< code, reason: the store or the host failed; the event is for the host alone, the state does not take it
};

enum class timer_kind : std::uint8_t { coordination, round0_half, patience, run, presentation, backoff, cancel_grace, closing };

struct timer_key {
  timer_kind kind = timer_kind::coordination;
  std::string agent;     ///< run, backoff
  std::uint64_t run = 0; ///< run
  std::int64_t due_ms = 0;
  bool operator==(const timer_key&) const = default;
};

struct command {
  command_kind kind = command_kind::start;
  std::int64_t now_ms = 0;
  std::string agent;
  std::uint64_t run = 0;
  std::string text;
  std::string target;
  std::string reason;
  std::string step;
  ec code = ec::none;
  bool truncated = false;
  std::uint32_t jitter_permille = 0; ///< 0..250, added to the back-off; a random number the log records
  std::vector<std::string> agents;
  timer_key timer;
  std::uint64_t call = 0;
  std::string status, hash;
  usage use;
  std::vector<std::string> said; ///< see event
  std::string state;
  std::uint64_t kept = 0;
  call_effect effect = call_effect::once; ///< begin_call
  std::uint64_t fence = 0;
  std::string opening;               ///< start: what the task is played by, an opening as JSON text (protocols/opening.hpp)
  std::vector<placement> placements; ///< start: of each agent
  kept_files files;                  ///< answer, present
};

/// accepted: events to append (may be empty: nothing to do). refused: reason, and for a verdict one `refused` event and allowed ids
/// for the model; superseded: the run is no longer the agent's current one, or nothing is left that the command could be about.
struct decision {
  ruling_kind kind = ruling_kind::accepted;
  std::vector<event> events; ///< seq 0; the orchestrator numbers them
  std::string reason;
  ec code = ec::none; ///< of a call that is refused: what its run fails with; none = `denied`
  bool waits = false; ///< of such a call: only what is reserved for others is in its way, ask again when one of them has ended
  std::vector<std::string> allowed;
};

struct wanted_run {
  std::string agent;
  std::uint64_t run = 0; ///< 0: to be begun now (command begin_run); else it should be active
  bool present = false;
};

/// What should exist in this state. A running thing that is not listed is to be cancelled at once.
struct wanted {
  std::vector<wanted_run> runs;
  std::vector<timer_key> timers;
  bool done = false;
};

state make(const rules& r, const std::vector<std::string>& agent_ids);

/// Judges a command and lets the state take the events of the decision. Their time is the command's, never before the newest event.
decision advance(state& s, const command& c);

/// The same on a copy: what would be decided.
decision decide(const state& s, const command& c);

/// Takes an event of any log. `task_opened` brings rules, agents and the answers of an earlier task with it.
void fold(state& s, const event& e);
wanted want(const state& s);

/// Labels an agent's next run is shown: the newest answer of every member that has one, registration order. The hook for
/// topologies.
std::vector<std::string> shown(const state& s, const std::string& agent);

bool may_answer(const state& s, const std::string& agent); ///< a limit is not used up
bool may_vote(const state& s, const std::string& agent);   ///< round >= 1 and there is something to vote for

/// Returns what the agent's active run is told of the state, to be sent when it begins or goes on: answers by label, their texts
/// left out; without task, fence, history and time.
start_run task_for(const state& s, const std::string& agent, bool present);

const member* find(const state& s, const std::string& agent);
/// Returns the answer with this label, or nullptr.
const answer* find_answer(const state& s, const std::string& label);
/// Returns "agentN" of a label "agentN.M".
std::string shown_id(const std::string& label);

/// Returns whether a wanted run of this member may begin now (command begin_run).
bool may_begin(const state& s, const member& m);

/// Returns whether a call is under way that has no end yet.
bool has_open_calls(const state& s);

/// What the model calls that ended count against a budget of the task, and what those under way may use at most.
amount spent(const state& s);
amount reserved(const state& s);
amount reserved(const member& m);

/// Votes of the current epoch per member, registration order.
std::vector<std::uint32_t> tally(const state& s);

/// Runs that may begin in coordination: rules.max_runs, or 20 x agents.
std::uint32_t run_limit(const state& s);

/// Returns whether this round still waits for the agent: live, not closed, may hand in something, and has or may begin a run.
bool needed(const state& s, const member& m);

/// Returns whether a member holds a vote of the current epoch.
bool holds_vote(const state& s, const member& m);

/// Returns which of the invariants that one state shows (docs/protocol.md 9.3) is broken in `s`, the state after a command; empty =
/// none.
std::string check(const state& s);

outcome to_outcome(const state& s, const std::string& task);

} // namespace conclave::ledger
