// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `decide`: the start of a task and of its runs, failures, losses, timers, cancelling. Verdicts are in ledger_verdict.cpp.

#include "protocols/ledger_draft.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

decision superseded() {
  decision d;
  d.kind = ruling_kind::superseded;
  return d;
}

decision no_start(const char* reason) {
  decision d;
  d.kind = ruling_kind::refused;
  d.reason = reason;
  return d;
}

decision start(const state& from, const command& c) {
  if (from.phase != phase::idle)
    return superseded();
  if (from.members.empty())
    return no_start("there is no agent to ask");
  if (blank(c.text))
    return no_start("there is no question: the text is blank");
  draft x{from, c.now_ms};
  if (!c.opening.empty()) {
    event opened;
    opened.type = event_type::task_opened;
    opened.detail = c.opening;
    x.emit(std::move(opened));
  }
  event e;
  e.type = event_type::session_start;
  e.text = c.text;
  for (auto& m : from.members)
    e.labels.push_back(m.id);
  x.emit(std::move(e));
  if (from.rules.skip_coordination)
    x.select(from.members.front().id, "coordination skipped", 0, false);
  else if (from.rules.pacing == pacing::barrier)
    x.next_round(0);
  return std::move(x.d);
}

event run_event(event_type type, const state& s, const member& m, bool present) {
  event e;
  e.type = type;
  e.agent = m.id;
  e.run = s.next_run;
  e.labels = shown(s, m.id);
  if (type == event_type::run_started) {
    e.epoch = s.epoch;
    e.round = s.rules.pacing == pacing::eager ? m.restarts : s.round;
    e.number = present ? s.presentation_tries + 1 : m.attempts + 1;
  }
  return e;
}

decision begin_run(const state& from, const command& c) {
  auto w = want(from);
  auto wanted = std::find_if(w.runs.begin(), w.runs.end(), [&](const wanted_run& r) { return r.agent == c.agent && r.run == 0; });
  if (wanted == w.runs.end())
    return superseded();
  draft x{from, c.now_ms};
  auto* m = find(x.s, c.agent);
  if (m->restart_pending && !wanted->present) {
    event e;
    e.type = event_type::restart_completed;
    e.agent = m->id;
    e.number = m->restarts + 1;
    x.emit(std::move(e));
  }
  if (wanted->present) {
    event e;
    e.type = x.s.presentation_starts == 0 ? event_type::presentation_started : event_type::presentation_retried;
    e.agent = m->id;
    e.run = x.s.next_run;
    e.reason = x.s.presentation_starts == 0 ? "" : x.s.presentation_error;
    x.emit(std::move(e));
  }
  auto context = run_event(event_type::context_received, x.s, *m, wanted->present);
  auto run = run_event(event_type::run_started, x.s, *m, wanted->present);
  x.emit(std::move(context));
  x.emit(std::move(run));
  return std::move(x.d);
}

std::int64_t back_off(const rules& r, std::uint32_t failures, std::uint32_t jitter) {
  auto delay = std::max<std::int64_t>(r.backoff_ms, 0);
  for (std::uint32_t i = 1; i < failures && delay < r.backoff_cap_ms; ++i)
    delay *= 2;
  delay = std::min(delay, std::max<std::int64_t>(r.backoff_cap_ms, 0));
  return delay + delay * std::min<std::uint32_t>(jitter, 250) / 1000;
}

// The run has ended already. Counts the failure; the agent is asked again later, or is out.
void fail_run(draft& x, const std::string& agent, std::uint64_t run, ec code, const std::string& reason, std::uint32_t jitter) {
  auto& r = x.s.rules;
  auto failures = find(x.s, agent)->failures + 1;
  auto out = is_fatal(code) || (r.max_failed_runs > 0 && failures >= r.max_failed_runs);
  event e;
  e.type = event_type::agent_error;
  e.agent = agent;
  e.run = run;
  e.code = code;
  e.reason = reason;
  e.number = failures;
  if (!out)
    e.text = std::to_string(back_off(r, failures, jitter));
  x.emit(std::move(e));
  if (out)
    x.put_out(agent, code, is_fatal(code) ? reason : std::to_string(failures) + " failed runs in a row, the last: " + reason);
  x.settle();
}

// A cancelled run reports: what came so far is kept, and the task ends with the last of them.
void note_cancelled(draft& x, const std::string& agent, std::uint64_t run, const std::string& partial) {
  x.end_run(agent, run, "cancelled", partial, ec::cancelled);
  x.emit(event_type::agent_cancelled, agent, run);
  x.settle_cancel();
}

// A run that the ledger ended by itself reports late: no effect, but its partial text stays visible, once.
decision late_report(const state& from, const command& c) {
  auto* m = find(from, c.agent);
  auto d = superseded();
  if (m == nullptr || m->abandoned != c.run || c.run == 0 || from.phase == phase::done || blank(c.text))
    return d;
  event e;
  e.time_ms = c.now_ms;
  e.type = event_type::run_ended;
  e.agent = c.agent;
  e.run = c.run;
  e.reason = "late";
  e.text = kept_partial(from, c.agent, c.text);
  e.code = c.code;
  e.flag = true;
  d.events.push_back(std::move(e));
  return d;
}

decision fail(const state& from, const command& c) {
  draft x{from, c.now_ms};
  auto reason = c.reason.empty() ? to_string(c.code) : c.reason;
  if (from.phase == phase::presenting) {
    x.end_run(c.agent, c.run, "failed", c.text, c.code);
    fail_presentation(x, c.run, c.code, reason);
    return std::move(x.d);
  }
  x.end_run(c.agent, c.run, "failed", c.text, c.code);
  fail_run(x, c.agent, c.run, c.code, reason, c.jitter_permille);
  return std::move(x.d);
}

decision lose(const state& from, const command& c, const std::vector<std::string>& agents) {
  auto live = std::any_of(agents.begin(), agents.end(), [&](const std::string& id) {
    auto* m = find(from, id);
    return m != nullptr && m->live;
  });
  if (!live || from.phase == phase::idle || from.phase == phase::done)
    return superseded();
  draft x{from, c.now_ms};
  if (c.kind == command_kind::lose_node) {
    event e;
    e.type = event_type::node_lost;
    e.target = c.target;
    e.labels = agents;
    e.reason = c.reason;
    x.emit(std::move(e));
  }
  auto code = c.code == ec::none ? ec::unavailable : c.code;
  auto reason = c.reason.empty() ? to_string(code) : c.reason;
  for (auto& id : agents)
    x.put_out(id, code, reason);
  if (x.s.phase == phase::presenting && !find(x.s, x.s.winner)->live)
    x.fall_back("the winner is out: " + reason, outcome_kind::failed, code);
  x.settle();
  x.settle_cancel();
  return std::move(x.d);
}

void time_out(draft& x, const std::string& agent, std::uint64_t run, const std::string& which) {
  event e;
  e.type = event_type::agent_timeout;
  e.agent = agent;
  e.run = run;
  e.reason = which;
  x.emit(std::move(e));
}

std::string after(const char* which, std::int64_t ms) {
  auto whole = std::to_string(ms / 1000);
  auto rest = ms % 1000 == 0 ? std::string{} : "." + std::to_string(1000 + ms % 1000).substr(1);
  return std::string{which} + " of " + whole + rest + " s passed";
}

// Patience is over, or half the deadline is: whoever has not handed in anything is asked again in the next round.
void close_round(draft& x, const std::string& why) {
  event e;
  e.type = event_type::round_timeout;
  e.reason = why;
  e.round = x.s.round;
  for (auto& m : x.s.members)
    if (needed(x.s, m))
      e.labels.push_back(m.id);
  x.emit(std::move(e));
  x.end_all_runs("straggler");
  x.settle();
}

void end_coordination(draft& x) {
  auto which = after("the coordination deadline", x.s.rules.coordination_ms);
  std::vector<std::pair<std::string, std::uint64_t>> waiting;
  for (auto& m : x.s.members)
    if (needed(x.s, m) || m.run.id != 0)
      waiting.emplace_back(m.id, m.run.id);
  x.emit(event_type::coordination_timeout);
  x.end_all_runs("deadline", ec::timeout);
  for (auto& [agent, run] : waiting)
    time_out(x, agent, run, which);
  x.settle();
}

void end_presentation(draft& x) {
  auto run = x.s.presentation.id;
  auto which = after("the presentation deadline", x.s.rules.presentation_ms);
  if (run != 0)
    x.end_run(x.s.winner, run, "deadline", {}, ec::timeout);
  time_out(x, std::string{x.s.winner}, run, which);
  x.fall_back(which, outcome_kind::timed_out, ec::timeout);
}

void end_late_run(draft& x, const command& c) {
  auto& k = c.timer;
  auto limit = find(x.s, k.agent)->run.round == 0 ? x.s.rules.initial_run_ms : x.s.rules.later_run_ms;
  auto which = after("the deadline of a run", limit);
  x.end_run(k.agent, k.run, "timeout", {}, ec::timeout);
  time_out(x, k.agent, k.run, which);
  fail_run(x, k.agent, k.run, ec::timeout, which, c.jitter_permille);
}

void end_cancelling(draft& x) {
  for (auto& m : std::vector<member>{x.s.members})
    if (m.run.id != 0 && x.s.phase == phase::cancelling)
      note_cancelled(x, m.id, m.run.id, {});
  if (x.s.presentation.id != 0 && x.s.phase == phase::cancelling)
    note_cancelled(x, std::string{x.s.winner}, x.s.presentation.id, {});
}

decision timer(const state& from, const command& c) {
  auto w = want(from);
  if (std::find(w.timers.begin(), w.timers.end(), c.timer) == w.timers.end())
    return superseded();
  draft x{from, c.now_ms};
  switch (c.timer.kind) {
  case timer_kind::coordination:
    end_coordination(x);
    break;
  case timer_kind::round0_half:
    close_round(x, "half the coordination deadline passed");
    break;
  case timer_kind::patience:
    close_round(x, "the patience for stragglers is over");
    break;
  case timer_kind::run:
    end_late_run(x, c);
    break;
  case timer_kind::presentation:
    end_presentation(x);
    break;
  case timer_kind::backoff:
    x.emit(event_type::backoff_over, c.timer.agent);
    break;
  case timer_kind::cancel_grace:
    end_cancelling(x);
    break;
  case timer_kind::closing:
    break;
  }
  return std::move(x.d);
}

decision cancel(const state& from, const command& c) {
  if (from.phase != phase::coordinating && from.phase != phase::presenting)
    return superseded();
  draft x{from, c.now_ms};
  event e;
  e.type = event_type::cancel_requested;
  e.reason = c.reason;
  x.emit(std::move(e));
  x.settle_cancel();
  return std::move(x.d);
}

decision hand_in(const state& from, const command& c) {
  auto* m = find(from, c.agent);
  auto presents = m != nullptr && from.winner == c.agent && from.presentation.id == c.run;
  if (m == nullptr || c.run == 0 || (m->run.id != c.run && !presents))
    return late_report(from, c);
  if (from.phase == phase::cancelling) {
    draft x{from, c.now_ms};
    note_cancelled(x, c.agent, c.run, c.kind == command_kind::vote ? std::string{} : c.text);
    x.d.kind = ruling_kind::superseded;
    return std::move(x.d);
  }
  switch (c.kind) {
  case command_kind::answer:
    return hand_in_answer(from, c);
  case command_kind::vote:
    return hand_in_vote(from, c);
  case command_kind::present:
    return hand_in_presentation(from, c);
  default:
    return fail(from, c);
  }
}

} // namespace

void fail_presentation(draft& x, std::uint64_t run, ec code, const std::string& reason) {
  auto winner = x.s.winner;
  event e;
  e.type = event_type::agent_error;
  e.agent = winner;
  e.run = run;
  e.code = code;
  e.reason = reason;
  e.flag = true; // a notice: the presentation has its own budget of attempts
  x.emit(std::move(e));
  if (is_fatal(code))
    x.put_out(winner, code, reason);
  else if (x.s.presentation_tries < 2)
    return; // the winner is asked once more
  x.fall_back(reason, outcome_kind::failed, code);
}

decision decide(const state& s, const command& c) {
  switch (c.kind) {
  case command_kind::start:
    return start(s, c);
  case command_kind::begin_run:
    return begin_run(s, c);
  case command_kind::answer:
  case command_kind::vote:
  case command_kind::fail:
  case command_kind::present:
    return hand_in(s, c);
  case command_kind::lose_agent:
    return lose(s, c, {c.agent});
  case command_kind::lose_node:
    return lose(s, c, c.agents);
  case command_kind::timer:
    return timer(s, c);
  case command_kind::cancel:
    return cancel(s, c);
  default:
    return superseded();
  }
}

} // namespace conclave::ledger
