// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Every event by its meaning: one constructor per type, whose arguments say what the fields hold, and a reader wherever a field's
/// meaning is not its name. Makers and readers of events go through them, so a field has one meaning per type, and this page knows
/// it. Seq and time are not set here. Pure; readers take any event and return zeros for what is not there.

#include "protocols/budget.hpp"
#include "protocols/coordination.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// Where an agent lives and what answers for it.
struct placement {
  std::string agent, node, backend, model;
  bool operator==(const placement&) const = default;
};

/// What a run's state was at a call or a verdict: SHA-256 of bodies, see `event`.
struct run_record {
  std::vector<std::string> said;
  std::string state;
  std::uint64_t kept = 0;
  bool operator==(const run_record&) const = default;
};

namespace events {

using ids = std::vector<std::string>;

inline constexpr const char* model_target = "model";     ///< target of a call of the model; else the tool's name
inline constexpr const char* unknown_status = "unknown"; ///< of a call whose end nobody can tell: its engine or agent died under it

struct call_name {
  std::string agent;
  std::uint64_t run = 0;
  std::uint64_t call = 0; ///< number of the agent's call
  std::string target;
};

struct vote {
  std::string agent;
  std::uint64_t run = 0;
  std::string label;
  std::string target;
  std::string target_label;
  std::string reason;
  std::string step;
  std::uint64_t epoch = 0;
};

struct run_begin {
  std::string agent;
  std::uint64_t run = 0;
  std::uint32_t round = 0;
  std::uint64_t epoch = 0;
  ids shown;
  std::uint32_t attempt = 1; ///< at this round, or at the presentation
};

/// How a budget stands (`agent_notice`).
struct budget_mark {
  std::string whose; ///< "task" or "agent"
  budget_unit unit = budget_unit::tokens;
  std::int64_t permille = 0; ///< of it that are spent; more than 1,000 = a call might have exceeded it
  bool ends_task = false;
};

/// What was written into a folder of the user's, or taken back there (`changes_applied`, `changes_undone`).
struct delivery_note {
  std::string folder;
  std::uint64_t paths = 0; ///< that were added, changed and removed
  std::string id;          ///< of the delivery in the journal of its task; of a branch its commit. With the type, one event per id
  std::string branch = {}; ///< its name, where a commit was made instead of files; empty = files were written
  bool operator==(const delivery_note&) const = default;
};

event task_opened(std::string opening, std::vector<std::string> files = {}); ///< `files`: names of their bodies
event agent_placed(const placement& p);
event session_start(std::string question, ids agents);
event round_started(std::uint32_t round);
event run_started(run_begin r);
event context_received(std::string agent, std::uint64_t run, ids shown);
event call_started(call_name c, std::string request_hash, run_record at, call_effect effect, const usage& reserve = {});
event call_ended(call_name c, std::string status, const usage& use, std::vector<std::string> said);
/// `kept.snapshot` is not empty.
event snapshot_taken(std::string agent, std::uint64_t run, std::string label, const kept_files& kept);
event snapshot_failed(std::string agent, std::uint64_t run, std::string label, std::string why);
event changes_proposed(std::string agent, std::uint64_t run, const folder_change& c);
event changes_applied(delivery_note d);
event changes_undone(delivery_note d);
event new_answer(std::string agent, std::uint64_t run, std::string label, std::string text, std::string step,
                 std::uint64_t epoch_after);
event vote_cast(vote v);
event vote_ignored(std::string agent, std::uint64_t run, std::string target, std::uint64_t epoch_now, std::uint64_t epoch_seen);
event refused(std::string agent, std::uint64_t run, std::string reason, ids allowed, run_record at);
event restart_triggered(std::string by, ids affected);
event restart_completed(std::string agent, std::uint32_t restarts);
event run_ended(std::string agent, std::uint64_t run, std::string how, std::string partial, ec code);
event late_text(std::string agent, std::uint64_t run, std::string text, ec code);
event agent_error(std::string agent, std::uint64_t run, ec code, std::string reason, std::uint32_t in_a_row,
                  std::int64_t backoff_ms);
event agent_notice(std::string agent, std::uint64_t run, ec code, std::string reason);
event budget_notice(std::string agent, budget_mark mark, std::string reason, ec code);
event agent_timeout(std::string agent, std::uint64_t run, std::string which);
event backoff_over(std::string agent);
event agent_cancelled(std::string agent, std::uint64_t run);
event agent_out(std::string agent, ec code, std::string reason);
event node_lost(std::string node, ids agents, std::string reason);
event round_timeout(std::uint32_t round, ids stragglers, std::string why);
event coordination_timeout();
event final_round_start(std::string winner, std::uint32_t round);
event final_agent_selected(std::string winner, ids candidates, std::uint32_t votes, bool tie, std::string how);
event presentation_started(std::string winner, std::uint64_t run);
event presentation_retried(std::string winner, std::uint64_t run, std::string why);
event presentation_fallback(std::string winner, std::string why, std::string stored_answer);
event final_answer(std::string winner, std::string label, std::string text, bool truncated);
event cancel_requested(std::string why);
/// `text` is the finish reason if the task was answered, else one sentence saying why there is no answer.
event task_closing(outcome_kind how, std::string text, ec code);
event session_end();
event task_ended(outcome_kind how, std::string text, ec code);
event run_continued(std::string agent, std::uint64_t old_run, std::uint64_t new_run);
event task_resumed(std::string owner, std::uint64_t fence, std::int64_t pause_ms);

/// A failed run (`agent_error`). The views are into the event.
struct failure {
  ec code = ec::none;
  std::string_view reason;
  std::uint32_t in_a_row = 0;
  std::int64_t backoff_ms = 0; ///< 0 = it is not asked again, or at once
};
failure failure_of(const event& e);

/// `call_started`, `call_ended`. The views are into the event.
struct call {
  std::uint64_t number = 0;
  std::string_view target;
  bool model = false;
  std::string_view hash;                  ///< of the request; started only
  std::string_view status;                ///< ended only
  call_effect effect = call_effect::once; ///< started only
};
call call_of(const event& e);

/// `run_continued`.
struct succession {
  std::uint64_t old_run = 0, new_run = 0;
};
succession continued_of(const event& e);

/// `task_resumed`.
struct takeover {
  std::string_view owner;
  std::uint64_t fence = 0;
  std::int64_t pause_ms = 0;
};
takeover resumed_of(const event& e);

std::optional<budget_mark> budget_mark_of(const event& e); ///< agent_notice; nothing = it is of no budget

kept_files kept_of(const event& e);          ///< snapshot_taken
folder_change change_of(const event& e);     ///< changes_proposed
delivery_note delivery_of(const event& e);   ///< changes_applied, changes_undone
placement placed_of(const event& e);         ///< agent_placed
std::uint32_t attempt_of(const event& e);    ///< run_started
std::uint32_t restarts_of(const event& e);   ///< restart_completed
std::uint64_t epoch_seen_of(const event& e); ///< vote_ignored
std::uint32_t votes_of(const event& e);      ///< final_agent_selected
bool is_tie(const event& e);                 ///< final_agent_selected
bool is_truncated(const event& e);           ///< final_answer
outcome_kind outcome_of(const event& e);     ///< task_closing, task_ended
bool ended_by_ledger(const event& e);        ///< run_ended: not by its own report, which may still bring a partial text

} // namespace events

} // namespace conclave
