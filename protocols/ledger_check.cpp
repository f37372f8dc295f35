// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `check`: the invariants of docs/protocol.md 9.3, as far as one state shows them. I6 is the agent's; what needs two states (a
/// vote void after an answer, one terminal event) the property driver adds.

#include "protocols/ledger_draft.hpp"

#include <algorithm>
#include <set>

namespace conclave::ledger {

namespace {

std::string check_runs(const state& s) {
  std::set<std::uint64_t> ids;
  auto take = [&](const active_run& r) { return r.id == 0 || (r.id < s.next_run && ids.insert(r.id).second); };
  for (auto& m : s.members) {
    if (m.abandoned >= s.next_run)
      return "I1: a run of " + m.id + " that never began was ended";
    if (!take(m.run))
      return "I1: run of " + m.id + " is not its own";
    if (m.run.id != 0 && !m.live)
      return "a run of " + m.id + ", which is out";
    if (m.run.id != 0 && m.closed)
      return "a run of " + m.id + ", which is closed";
    if (m.run.id != 0 && s.phase != phase::coordinating && s.phase != phase::cancelling)
      return "a coordination run outside coordination: " + m.id;
  }
  if (!take(s.presentation))
    return "I1: the presentation's run is not its own";
  if (s.presentation.id != 0 && s.phase != phase::presenting && s.phase != phase::cancelling)
    return "a presentation outside its phase";
  return {};
}

// The ends of calls are in the log before the terminal event.
std::string check_calls(const state& s) {
  for (auto& m : s.members) {
    std::set<std::uint64_t> numbers;
    for (auto& c : m.open)
      if (c.call == 0 || c.call > m.calls || c.run == 0 || c.run >= s.next_run || !numbers.insert(c.call).second)
        return "call " + std::to_string(c.call) + " of " + m.id + " is not its own";
  }
  if (s.phase == phase::done && has_open_calls(s))
    return "the task has ended and a call has no end";
  if (s.phase == phase::closing && !has_open_calls(s))
    return "I9: the end is awaited and no call is under way";
  return {};
}

// Whatever a deadline hangs on has happened: also after time in which nobody worked on the task.
std::string check_times(const state& s) {
  auto past = [&](const active_run& r) { return r.id == 0 || (r.started_ms >= s.started_ms && r.started_ms <= s.last_ms); };
  if (s.phase == phase::idle)
    return {};
  if (s.started_ms > s.last_ms)
    return "the task starts after its newest event";
  if (s.first_verdict_ms > s.last_verdict_ms || s.last_verdict_ms > s.last_ms
      || (s.first_verdict_ms >= 0 && s.first_verdict_ms < s.started_ms))
    return "the times of the round's verdicts";
  for (auto& m : s.members)
    if (!past(m.run))
      return "the start of the run of " + m.id;
  return past(s.presentation) ? "" : "the start of the presentation's run";
}

std::string check_answers(const state& s) {
  std::set<std::uint64_t> epochs;
  for (auto& m : s.members) {
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < m.answers.size(); ++i) {
      auto& a = m.answers[i];
      if (a.label != anonymous(m) + "." + std::to_string(i + 1))
        return "I8: label " + a.label + " is out of order";
      if (a.epoch <= last || a.epoch > s.epoch || !epochs.insert(a.epoch).second)
        return "epoch of " + a.label;
      if (blank(a.text))
        return "a blank answer: " + a.label;
      last = a.epoch;
    }
    if (m.earlier > m.answers.size())
      return "more earlier answers than answers of " + m.id;
    if (s.rules.max_answers_per_agent > 0 && m.answers.size() - m.earlier > s.rules.max_answers_per_agent)
      return "I10: too many answers of " + m.id;
  }
  if (epochs.size() != s.epoch)
    return "the epoch is not the number of answers";
  if (s.rules.max_answers_global > 0 && s.epoch - s.earlier > s.rules.max_answers_global)
    return "I10: too many answers";
  return {};
}

std::string check_votes(const state& s) {
  for (auto& m : s.members) {
    if (m.vote.target.empty())
      continue;
    if (m.vote.epoch > s.epoch)
      return "I2: " + m.id + " voted in an epoch to come";
    auto* target = find(s, m.vote.target);
    if (target == nullptr || target->answers.empty() || find_answer(s, m.vote.label) == nullptr)
      return "I4: " + m.id + " voted for nothing";
    if (holds_vote(s, m) && target->answers.back().label != m.vote.label)
      return "I4: the vote of " + m.id + " is not for a current answer";
    if (holds_vote(s, m) && m.live && !m.closed && s.phase == phase::coordinating && s.rules.pacing == pacing::eager)
      return "I3: " + m.id + " holds a vote and is asked again";
  }
  return {};
}

std::string check_end(const state& s) {
  if (s.presentation_starts > 1 || s.presentation_tries > 2)
    return "I5: presented more than once";
  if ((s.terminals == 1) != (s.phase == phase::done) || s.terminals > 1)
    return "I7: terminal events: " + std::to_string(s.terminals);
  auto* w = find(s, s.winner);
  if (s.phase == phase::presenting && (w == nullptr || !w->live))
    return "I4: the winner cannot present";
  if (!s.winner.empty() && !s.rules.skip_coordination) {
    if (w == nullptr || w->answers.empty())
      return "I4: the winner has no answer";
    auto votes = tally(s);
    auto most = *std::max_element(votes.begin(), votes.end());
    if (votes[w->number - 1] != most)
      return "I4: the winner has fewer votes than another";
  }
  if (s.phase != phase::closing && s.phase != phase::done)
    return {};
  if ((s.outcome == outcome_kind::answered) != !blank(s.final_text))
    return "the outcome is " + to_string(s.outcome) + " and the final text is " + (blank(s.final_text) ? "blank" : "not");
  if (s.outcome != outcome_kind::answered && s.outcome != outcome_kind::interrupted && s.epoch > 0)
    return "answers are lost: the task ended as " + to_string(s.outcome);
  return s.outcome != outcome_kind::answered && s.error.empty() ? "no answer and no error" : "";
}

// I9, I10: something will happen, and not for ever.
std::string check_progress(const state& s) {
  if (s.runs_started > run_limit(s))
    return "I10: too many runs";
  for (auto& m : s.members)
    if (m.live && s.rules.max_failed_runs > 0 && m.failures >= s.rules.max_failed_runs)
      return "I10: " + m.id + " failed too often and is not out";
  auto w = want(s);
  if (w.done != (s.phase == phase::done))
    return "done is not done";
  if (s.phase == phase::idle || s.phase == phase::done)
    return w.runs.empty() && w.timers.empty() ? "" : "something is wanted at rest";
  if (w.runs.empty() && w.timers.empty())
    return "I9: nothing is active and no timer is wanted";
  if (s.phase != phase::coordinating)
    return {};
  if (s.late)
    return "the deadline has struck and coordination goes on";
  if (std::none_of(s.members.begin(), s.members.end(), [&](const member& m) { return needed(s, m); }))
    return "I9: nobody is waited for and coordination goes on";
  // The deadline of coordination alone is no progress: a run is active or due, or a back-off ends.
  auto moves = !w.runs.empty()
               || std::any_of(w.timers.begin(), w.timers.end(), [](const timer_key& k) { return k.kind == timer_kind::backoff; });
  return moves ? "" : "I9: only deadlines are left";
}

} // namespace

std::string check(const state& s) {
  for (auto* part : {check_runs, check_calls, check_times, check_answers, check_votes, check_end, check_progress})
    if (auto broken = part(s); !broken.empty())
      return broken;
  return {};
}

} // namespace conclave::ledger
