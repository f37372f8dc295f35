// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `fold`: the only way a ledger's state changes. Works from stored events alone and takes any log without a crash: what does not
/// fit (an unknown agent, an unknown event) has no effect.

#include "protocols/ledger.hpp"

#include <algorithm>
#include <charconv>

namespace conclave::ledger {

namespace {

member* seek(state& s, const std::string& agent) {
  for (auto& m : s.members)
    if (m.id == agent)
      return &m;
  return nullptr;
}

std::int64_t number_in(const std::string& text) {
  std::int64_t x = 0;
  std::from_chars(text.data(), text.data() + text.size(), x);
  return std::clamp<std::int64_t>(x, 0, 86'400'000);
}

void start_session(state& s, const event& e) {
  if (s.phase != phase::idle)
    return;
  auto same = s.members.size() == e.labels.size();
  for (std::size_t i = 0; same && i < e.labels.size(); ++i)
    same = s.members[i].id == e.labels[i];
  if (!same && !e.labels.empty())
    s.members = make(s.rules, e.labels).members;
  s.question = e.text;
  s.started_ms = e.time_ms;
  s.phase = phase::coordinating;
}

void start_round(state& s, const event& e) {
  s.round = e.round;
  s.improved = false;
  s.first_verdict_ms = s.last_verdict_ms = -1;
  s.longest_verdict_ms = 0;
  for (auto& m : s.members) {
    m.closed = false;
    m.attempts = 0;
  }
}

void start_run(state& s, member& m, const event& e) {
  active_run run{e.run, e.epoch, e.round, e.labels, e.time_ms};
  s.next_run = std::max(s.next_run, e.run + 1);
  if (s.phase == phase::presenting) {
    s.presentation = std::move(run);
    ++s.presentation_tries;
    return;
  }
  m.run = std::move(run);
  m.attempts = static_cast<std::uint32_t>(std::clamp<std::int64_t>(e.number, 0, UINT32_MAX));
  m.not_before_ms = 0;
  ++s.runs_started;
}

// An accepted verdict: failures start anew, and the patience for stragglers is armed or armed again.
void note_verdict(state& s, member& m, const event& e) {
  m.failures = 0;
  if (s.first_verdict_ms < 0)
    s.first_verdict_ms = e.time_ms;
  s.last_verdict_ms = e.time_ms;
  if (m.run.id == e.run)
    s.longest_verdict_ms = std::max(s.longest_verdict_ms, e.time_ms - m.run.started_ms);
}

void take_answer(state& s, member& m, const event& e) {
  note_verdict(s, m, e);
  m.answers.push_back({e.label, e.text, e.epoch});
  s.epoch = e.epoch;
  s.improved = true;
  if (s.rules.pacing == pacing::barrier) {
    m.closed = true;
    return;
  }
  // Every vote is void now, and everybody is asked again.
  for (auto& x : s.members)
    x.closed = false;
}

void take_vote(state& s, member& m, const event& e) {
  note_verdict(s, m, e);
  m.vote = {e.target, e.target_label, e.reason, e.epoch};
  ++m.votes_cast;
  m.closed = true;
}

void end_run(state& s, member& m, const event& e) {
  if (e.flag || e.type == event_type::late_text) {
    if (m.abandoned == e.run)
      m.abandoned = 0;
    return;
  }
  m.partial_bytes += e.text.size();
  // Ended by the ledger, not by the agent's own report: that may still come and bring its partial text.
  if (e.reason == "straggler" || e.reason == "round_over" || e.reason == "deadline" || e.reason == "timeout" || e.reason == "lost")
    m.abandoned = e.run;
  if (m.run.id == e.run)
    m.run = {};
  if (s.presentation.id == e.run)
    s.presentation = {};
}

void take_error(state& s, member& m, const event& e) {
  if (e.flag || e.type == event_type::agent_notice) {
    if (s.phase == phase::presenting && m.id == s.winner && e.run != 0)
      s.presentation_error = e.reason;
    return;
  }
  m.failures = static_cast<std::uint32_t>(std::clamp<std::int64_t>(e.number, 0, UINT32_MAX));
  m.last_error = e.reason;
  m.last_code = e.code;
  auto delay = e.ms > 0 ? std::min<std::int64_t>(e.ms, 86'400'000) : number_in(e.text);
  m.not_before_ms = delay > 0 ? e.time_ms + delay : 0;
}

void go_out(member& m, const event& e) {
  m.live = false;
  m.out_code = e.code;
  m.out_reason = e.reason;
  m.not_before_ms = 0;
  m.restart_pending = false;
}

void restart(state& s, const event& e) {
  for (auto& id : e.labels)
    if (auto* m = seek(s, id))
      m->restart_pending = true;
}

void count_call(member& m, const event& e) {
  m.calls = std::max(m.calls, e.number > 0 ? static_cast<std::uint64_t>(e.number) : 0);
  if (e.target != "model")
    return;
  if (e.type == event_type::call_started) {
    ++m.model_calls;
    return;
  }
  add(m.use, e.use);
}

void select(state& s, const event& e) {
  s.winner = e.agent;
  s.win_reason = e.reason;
  s.tie = e.flag;
  s.phase = phase::presenting;
  s.presentation_deadline_ms = s.rules.presentation_ms > 0 ? e.time_ms + s.rules.presentation_ms : 0;
  auto complete = std::all_of(s.members.begin(), s.members.end(), [&](const member& m) { return !m.live || holds_vote(s, m); });
  s.finish_reason = s.late ? "timeout" : (complete || s.rules.skip_coordination ? "completed" : "votes incomplete");
}

void fall_back(state& s, const event& e) {
  s.fallback = true;
  s.presentation_error = e.reason;
  if (!s.late)
    s.finish_reason = "fallback";
}

void finish(state& s, const event& e) {
  ++s.terminals;
  s.phase = phase::done;
  s.outcome = outcome_kind::failed;
  for (auto k : {outcome_kind::answered, outcome_kind::failed, outcome_kind::timed_out, outcome_kind::interrupted})
    if (to_string(k) == e.reason)
      s.outcome = k;
  s.error_code = e.code;
  if (s.outcome == outcome_kind::answered) {
    s.finish_reason = e.text;
    return;
  }
  s.error = e.text;
  s.finish_reason = s.outcome == outcome_kind::timed_out ? "timeout" : to_string(s.outcome);
}

void fold_member(state& s, member& m, const event& e) {
  switch (e.type) {
  case event_type::run_started:
    return start_run(s, m, e);
  case event_type::call_started:
  case event_type::call_ended:
    return count_call(m, e);
  case event_type::new_answer:
    return take_answer(s, m, e);
  case event_type::vote_cast:
    return take_vote(s, m, e);
  case event_type::vote_ignored:
    note_verdict(s, m, e);
    m.closed = s.rules.pacing == pacing::barrier;
    return;
  case event_type::restart_completed:
    m.restarts = static_cast<std::uint32_t>(std::clamp<std::int64_t>(e.number, 0, UINT32_MAX));
    m.restart_pending = false;
    m.attempts = 0;
    return;
  case event_type::run_ended:
  case event_type::late_text:
    return end_run(s, m, e);
  case event_type::agent_error:
  case event_type::agent_notice:
    return take_error(s, m, e);
  case event_type::backoff_over:
    m.not_before_ms = 0;
    return;
  case event_type::agent_out:
    return go_out(m, e);
  case event_type::final_agent_selected:
    return select(s, e);
  case event_type::presentation_started:
    ++s.presentation_starts;
    return;
  default:
    return;
  }
}

} // namespace

void fold(state& s, const event& e) {
  switch (e.type) {
  case event_type::session_start:
    return start_session(s, e);
  case event_type::round_started:
    return start_round(s, e);
  case event_type::restart_triggered:
    return restart(s, e);
  case event_type::round_timeout:
    for (auto& id : e.labels)
      if (auto* m = seek(s, id))
        m->closed = true;
    return;
  case event_type::coordination_timeout:
    s.late = true;
    return;
  case event_type::presentation_fallback:
    return fall_back(s, e);
  case event_type::final_answer:
    s.final_text = e.text;
    s.final_truncated = e.flag;
    return;
  case event_type::cancel_requested:
    s.phase = phase::cancelling;
    s.cancel_reason = e.reason;
    s.cancel_deadline_ms = e.time_ms + s.rules.cancel_grace_ms;
    return;
  case event_type::task_ended:
    return finish(s, e);
  default:
    if (auto* m = seek(s, e.agent))
      fold_member(s, *m, e);
  }
}

} // namespace conclave::ledger
