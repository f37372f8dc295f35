// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#pragma once

/// Private to ledger_*.cpp: a decision being made. Every event is folded as it is emitted, so each rule sees the state the former
/// events lead to, and all consequences of a command leave as one decision. What a rule still needs of the state before, it copies
/// before it emits.

#include "protocols/ledger.hpp"
#include "protocols/opening.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace conclave::ledger {

inline constexpr std::int64_t max_time_ms = 253'402'300'799'999; ///< the end of the year 9999

struct draft {
  state& s;
  std::int64_t now = 0; ///< never before the newest event
  decision d;

  draft(state& of, std::int64_t now_ms);

  void emit(event e);

  /// Ends an active run (of a member or the presentation). `partial` is what came so far.
  void end_run(const std::string& agent, std::uint64_t run, const char* how, const std::string& partial = {}, ec code = ec::none);

  /// Ends every coordination run that is active.
  void end_all_runs(const char* how, ec code = ec::none);

  /// A member is out for the task: its run ends, nobody waits for it.
  void put_out(const std::string& agent, ec code, const std::string& reason);

  /// After every command: is the round over (docs/protocol.md 2.2, 2.3), is coordination?
  void settle();

  void choose();
  void select(const std::string& winner, const std::string& how, std::uint32_t votes, bool tie);

  /// The winner cannot present: the stored answer is delivered, or there is none and the task fails.
  void fall_back(const std::string& reason, outcome_kind without_answer, ec code);

  /// `changes`: keep with it what it changes, which is proposed only if this answer is delivered.
  void keep_files(const command& c, const std::string& label, bool changes);
  void deliver(const std::string& text, bool truncated);
  /// The stored answer as it is, and what its files change.
  void deliver(const answer& stored);

  /// Ends the task: at once, or first awaits the ends of calls under way, where that is worth it.
  void finish(outcome_kind how, const std::string& text, ec code);

  /// In `cancelling`: ends the task once no run is active.
  void settle_cancel();

  /// In `closing`: ends the task once no call is under way.
  void settle_closing();

  /// The end of a call, and what a person is to know of budgets by it.
  void end_call(const events::call_name& c, const std::string& status, const usage& use, std::vector<std::string> said);

  /// Calls under way whose end nobody will report any more, of one agent or of all.
  void end_calls(const std::string& agent);
  void end_all_calls();

private:
  void settle_rounds();
  void settle_eager();
  std::string no_answer(const std::string& why) const;
  ec first_code() const;
};

decision superseded();

// Verdicts of the agent's current run; the phase is coordinating or presenting.
decision hand_in_answer(state& s, const command& c);
decision hand_in_vote(state& s, const command& c);
decision hand_in_presentation(state& s, const command& c);

// Calls, notices, and what follows a crash: ledger_calls.cpp, ledger_resume.cpp.
decision begin_call(state& s, const command& c);
decision end_call(state& s, const command& c);
decision note(state& s, const command& c);
decision take_over(state& s, const command& c);
decision continue_run(state& s, const command& c);
decision give_up(const state& s, const command& c);

/// Returns what becomes of a call that a budget has no room for, or nothing: then it may begin, with the notices that belong to it.
std::optional<decision> judge_budget(state& s, const command& c, std::vector<event>& notices);

/// Returns whether `run` is the one the agent works on, in coordination or as the presenter.
bool is_current(const state& s, const std::string& agent, std::uint64_t run);

/// Takes rules, agents and earlier answers of the opening that a `task_opened` holds.
void open_task(state& s, const event& e);
void open_task(state& s, opening o);

/// An attempt at the presentation failed; its run has ended. Asks once more, or falls back.
void fail_presentation(draft& x, std::uint64_t run, ec code, const std::string& reason);

/// As `agent3`.
std::string anonymous(const member& m);

/// The first `most` bytes of `text`, fewer where that would cut a UTF-8 character.
std::string cut_utf8(const std::string& text, std::size_t most);

/// At most `most` characters of `text`.
std::string cut_chars(const std::string& text, std::size_t most);

/// What is kept of the text of a run that failed or was cut off: never more than an answer may have, and half of what is left of
/// a quarter of that for all such texts of an agent (32 KiB of the first, 16 KiB of the second by default). A run may break off
/// after many MiB, is begun again, and every event is stored twice.
std::string kept_partial(const state& s, const std::string& agent, const std::string& text);

bool blank(const std::string& text);

/// Trimmed, white space and ASCII case folded: equal texts are duplicates.
std::string folded(const std::string& text);

/// The hash of a folded text, as `answer::key` holds it.
std::string key_of(const std::string& folded_text);

} // namespace conclave::ledger
