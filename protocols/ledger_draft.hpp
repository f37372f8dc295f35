// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#pragma once

/// Private to ledger_*.cpp: a decision being made. Every event is folded into a scratch state as it is emitted, so each rule sees
/// the state the former events lead to, and all consequences of a command leave as one decision.

#include "protocols/ledger.hpp"

#include <string>
#include <utility>
#include <vector>

namespace conclave::ledger {

struct draft {
  state s;
  std::int64_t now = 0;
  decision d;

  draft(const state& from, std::int64_t now_ms) : s(from), now(now_ms) {}

  void emit(event e);
  void emit(event_type type, const std::string& agent = {}, std::uint64_t run = 0);

  /// Ends an active run (of a member or the presentation). `partial` is what came so far.
  void end_run(const std::string& agent, std::uint64_t run, const char* how, const std::string& partial = {}, ec code = ec::none);

  /// Ends every coordination run that is active.
  void end_all_runs(const char* how, ec code = ec::none);

  /// A member is out for the task: its run ends, nobody waits for it.
  void put_out(const std::string& agent, ec code, const std::string& reason);

  /// After every command: is the round over (docs/protocol.md 2.2, 2.3), is coordination?
  void settle();

  void next_round(std::uint32_t round);
  void choose();
  void select(const std::string& winner, const std::string& how, std::int64_t votes, bool tie);

  /// The winner cannot present: the stored answer is delivered, or there is none and the task fails.
  void fall_back(const std::string& reason, outcome_kind without_answer, ec code);

  void deliver(const std::string& text, bool truncated);
  void finish(outcome_kind how, const std::string& text, ec code);

  /// In `cancelling`: ends the task once no run is active.
  void settle_cancel();

private:
  void settle_rounds();
  void settle_eager();
  std::string no_answer(const std::string& why) const;
  ec first_code() const;
};

// Verdicts of the agent's current run; the phase is coordinating or presenting.
decision hand_in_answer(const state& from, const command& c);
decision hand_in_vote(const state& from, const command& c);
decision hand_in_presentation(const state& from, const command& c);

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

} // namespace conclave::ledger
