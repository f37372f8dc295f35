// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `fold`: the only way a ledger's state changes. Works from stored events alone and takes any log without a crash: what does not
/// fit (an unknown agent, an unknown event) has no effect.

#include "protocols/ledger_draft.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace conclave::ledger {

namespace {

member* seek(state& s, const std::string& agent) {
  for (auto& m : s.members)
    if (m.id == agent)
      return &m;
  return nullptr;
}

// A log may hold any number: no sum overflows.
std::int64_t later(std::int64_t time, std::int64_t by) {
  return time > std::numeric_limits<std::int64_t>::max() - by ? std::numeric_limits<std::int64_t>::max() : time + by;
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
  active_run run{e.run, e.epoch, e.round, e.labels, e.time_ms, {}};
  s.next_run = std::max(s.next_run, e.run + 1);
  if (s.phase == phase::presenting) {
    s.presentation = std::move(run);
    ++s.presentation_tries;
    return;
  }
  m.run = std::move(run);
  m.attempts = events::attempt_of(e);
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
  m.answers.push_back({e.label, e.text, e.epoch, key_of(folded(e.text)), {}, 0});
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

void take_snapshot(state& s, member& m, const event& e) {
  for (auto& a : m.answers)
    if (a.label == e.label) {
      a.snapshot = e.target;
      auto kept = events::kept_of(e);
      a.files = kept.files;
      a.bytes = kept.bytes;
      a.changes = std::move(kept.changes);
      return;
    }
  s.final_snapshot = e.target;
  s.final_files = e.number;
}

void take_vote(state& s, member& m, const event& e) {
  note_verdict(s, m, e);
  m.vote = {e.target, e.target_label, e.reason, e.epoch};
  ++m.votes_cast;
  m.closed = true;
}

void end_run(state& s, member& m, const event& e) {
  m.partial_bytes += e.text.size();
  if (events::ended_by_ledger(e))
    m.abandoned = e.run;
  if (m.run.id == e.run) {
    m.run = {};
    m.broke_off = e.reason != "answered" && e.reason != "voted" && e.reason != "ignored";
  }
  if (s.presentation.id == e.run)
    s.presentation = {};
}

void take_error(member& m, const event& e) {
  auto f = events::failure_of(e);
  m.failures = f.in_a_row;
  m.last_error = f.reason;
  m.last_code = f.code;
  m.not_before_ms = f.backoff_ms > 0 ? later(e.time_ms, f.backoff_ms) : 0;
}

// Of a presentation that failed, it says why; of a budget, who knows that it might be exceeded. Everything else is for people.
void take_notice(state& s, member& m, const event& e) {
  if (auto b = events::budget_mark_of(e)) {
    if (b->permille > 1'000)
      (b->whose == "task" ? s.told_over : m.told_over) = true;
    if (b->ends_task && s.over_budget.empty())
      s.over_budget = e.reason.substr(0, e.reason.rfind("; the task ends"));
    return;
  }
  auto failed = s.phase == phase::presenting && m.id == s.winner && s.presentation.id == 0 && s.presentation_tries > 0;
  if (failed && e.run != 0 && e.code != ec::none)
    s.presentation_error = e.reason;
}

void continue_run(state& s, member& m, const event& e) {
  auto c = events::continued_of(e);
  auto& run = s.presentation.id == c.old_run && s.winner == m.id ? s.presentation : m.run;
  if (c.old_run == 0 || run.id != c.old_run)
    return;
  run.id = c.new_run;
  s.next_run = std::max(s.next_run, c.new_run + 1);
}

// Nobody worked on the task for a while: every time that a deadline hangs on moves with it.
void resume(state& s, const event& e) {
  auto t = events::resumed_of(e);
  s.owner = t.owner;
  s.fence = t.fence;
  auto rest = [&](std::int64_t& time) { time = later(time, t.pause_ms); };
  auto rest_if_set = [&](std::int64_t& time) {
    if (time > 0)
      rest(time);
  };
  rest(s.started_ms);
  for (auto* verdict : {&s.first_verdict_ms, &s.last_verdict_ms})
    if (*verdict >= 0)
      rest(*verdict);
  for (auto* deadline : {&s.presentation_deadline_ms, &s.cancel_deadline_ms, &s.closing_deadline_ms})
    rest_if_set(*deadline);
  for (auto& m : s.members) {
    rest_if_set(m.not_before_ms);
    if (m.run.id != 0)
      rest(m.run.started_ms);
  }
  if (s.presentation.id != 0)
    rest(s.presentation.started_ms);
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

void count_call(state& s, member& m, const event& e) {
  auto c = events::call_of(e);
  m.calls = std::max(m.calls, c.number);
  if (e.type == event_type::call_started) {
    m.open.push_back({e.run, c.number, e.target, e.use});
    m.model_calls += c.model ? 1 : 0;
    return;
  }
  auto open = std::find_if(m.open.begin(), m.open.end(), [&](const open_call& o) { return o.run == e.run && o.call == c.number; });
  if (c.model) {
    add(m.use, e.use);
    if (auto* run = m.run.id == e.run            ? &m.run
                    : s.presentation.id == e.run ? &s.presentation
                                                 : nullptr;
        run != nullptr && e.run != 0)
      add(run->use, e.use);
    add(m.spent, settled(open == m.open.end() ? usage{} : open->reserve, e.use));
  }
  if (open != m.open.end())
    m.open.erase(open);
}

void select(state& s, const event& e) {
  s.winner = e.agent;
  s.win_reason = e.reason;
  s.tie = events::is_tie(e);
  s.phase = phase::presenting;
  s.presentation_deadline_ms = s.rules.presentation_ms > 0 ? later(e.time_ms, s.rules.presentation_ms) : 0;
  auto complete = std::all_of(s.members.begin(), s.members.end(), [&](const member& m) { return !m.live || holds_vote(s, m); });
  s.finish_reason = s.late                   ? "timeout"
                    : !s.over_budget.empty() ? "budget_exceeded"
                                             : (complete || s.rules.skip_coordination ? "completed" : "votes incomplete");
}

void fall_back(state& s, const event& e) {
  s.fallback = true;
  s.presentation_error = e.reason;
  if (!s.late)
    s.finish_reason = s.over_budget.empty() ? "fallback" : "budget_exceeded";
}

// How the task ends is decided.
void end_as(state& s, const event& e) {
  s.outcome = events::outcome_of(e);
  s.error_code = e.code;
  if (s.outcome == outcome_kind::answered) {
    s.finish_reason = e.text;
    return;
  }
  s.error = e.text;
  s.finish_reason = s.outcome == outcome_kind::timed_out ? "timeout" : to_string(s.outcome);
}

void begin_closing(state& s, const event& e) {
  end_as(s, e);
  s.phase = phase::closing;
  s.closing_deadline_ms = later(e.time_ms, s.rules.closing_ms);
}

void finish(state& s, const event& e) {
  end_as(s, e);
  ++s.terminals;
  s.phase = phase::done;
}

void fold_member(state& s, member& m, const event& e) {
  switch (e.type) {
  case event_type::run_started:
    return start_run(s, m, e);
  case event_type::call_started:
  case event_type::call_ended:
    return count_call(s, m, e);
  case event_type::new_answer:
    return take_answer(s, m, e);
  case event_type::snapshot_taken:
    return take_snapshot(s, m, e);
  case event_type::changes_proposed:
    s.changes.push_back(events::change_of(e));
    return;
  case event_type::vote_cast:
    return take_vote(s, m, e);
  case event_type::vote_ignored:
    note_verdict(s, m, e);
    m.closed = s.rules.pacing == pacing::barrier;
    return;
  case event_type::restart_completed:
    m.restarts = events::restarts_of(e);
    m.restart_pending = false;
    m.attempts = 0;
    return;
  case event_type::run_ended:
    return end_run(s, m, e);
  case event_type::late_text:
    if (m.abandoned == e.run)
      m.abandoned = 0;
    return;
  case event_type::run_continued:
    return continue_run(s, m, e);
  case event_type::agent_error:
    return take_error(m, e);
  case event_type::agent_notice:
    return take_notice(s, m, e);
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
  if (is_delivery(e.type)) // it came when all was over: the time of the task is not its time either
    return;
  if (e.time_ms < 0 || e.time_ms > max_time_ms) { // of a log that was meddled with: sums of it must stay numbers
    auto sane = e;
    sane.time_ms = std::clamp<std::int64_t>(e.time_ms, 0, max_time_ms);
    return fold(s, sane);
  }
  s.last_ms = std::max(s.last_ms, e.time_ms);
  switch (e.type) {
  case event_type::task_opened:
    return open_task(s, e);
  case event_type::task_resumed:
    return resume(s, e);
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
    s.final_truncated = events::is_truncated(e);
    return;
  case event_type::cancel_requested:
    s.phase = phase::cancelling;
    s.cancel_reason = e.reason;
    s.cancel_deadline_ms = later(e.time_ms, s.rules.cancel_grace_ms);
    return;
  case event_type::task_closing:
    return begin_closing(s, e);
  case event_type::task_ended:
    return finish(s, e);
  default:
    if (auto* m = seek(s, e.agent))
      fold_member(s, *m, e);
  }
}

} // namespace conclave::ledger
