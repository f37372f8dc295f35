// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `decide`: the start of a task and of its runs, failures, losses, timers, cancelling. Verdicts are in ledger_verdict.cpp.

#include "protocols/ledger_draft.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

decision no_start(const char* reason) {
  decision d;
  d.kind = ruling_kind::refused;
  d.reason = reason;
  return d;
}

decision start(state& s, const command& c) {
  if (s.phase != phase::idle)
    return superseded();
  if (s.members.empty())
    return no_start("there is no agent to ask");
  if (blank(c.text))
    return no_start("there is no question: the text is blank");
  draft x{s, c.now_ms};
  if (!c.opening.empty())
    x.emit(events::task_opened(c.opening, c.said));
  for (auto& p : c.placements)
    x.emit(events::agent_placed(p));
  std::vector<std::string> agents;
  for (auto& m : s.members)
    agents.push_back(m.id);
  x.emit(events::session_start(c.text, std::move(agents)));
  if (s.rules.skip_coordination && s.earlier > 0)
    x.choose();
  else if (s.rules.skip_coordination)
    x.select(std::string{s.members.front().id}, "coordination skipped", 0, false);
  else if (s.rules.pacing == pacing::barrier)
    x.emit(events::round_started(s.earlier > 0 ? 1 : 0)); // where there are answers already, they are what is asked about
  return std::move(x.d);
}

decision begin_run(state& s, const command& c) {
  auto* m = find(s, c.agent);
  if (m == nullptr || !may_begin(s, *m))
    return superseded();
  auto present = s.phase == phase::presenting;
  draft x{s, c.now_ms};
  if (m->restart_pending && !present)
    x.emit(events::restart_completed(m->id, m->restarts + 1));
  auto run = s.next_run;
  if (present && s.presentation_starts == 0)
    x.emit(events::presentation_started(m->id, run));
  else if (present)
    x.emit(events::presentation_retried(m->id, run, s.presentation_error));
  auto labels = shown(s, m->id);
  auto round = s.rules.pacing == pacing::eager ? m->restarts : s.round;
  auto attempt = (present ? s.presentation_tries : m->attempts) + 1;
  x.emit(events::context_received(m->id, run, labels));
  x.emit(events::run_started({m->id, run, round, s.epoch, std::move(labels), attempt}));
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
  x.emit(events::agent_error(agent, run, code, reason, failures, out ? 0 : back_off(r, failures, jitter)));
  if (out)
    x.put_out(agent, code, is_fatal(code) ? reason : std::to_string(failures) + " failed runs in a row, the last: " + reason);
  x.settle();
}

// A cancelled run reports: what came so far is kept, and the task ends with the last of them.
void note_cancelled(draft& x, const std::string& agent, std::uint64_t run, const std::string& partial) {
  x.end_run(agent, run, "cancelled", partial, ec::cancelled);
  x.emit(events::agent_cancelled(agent, run));
  x.settle_cancel();
}

// A run that the ledger ended by itself reports late: no effect, but its partial text stays visible, once.
decision late_report(state& s, const command& c) {
  auto* m = find(s, c.agent);
  if (m == nullptr || m->abandoned != c.run || c.run == 0 || s.phase == phase::closing || s.phase == phase::done || blank(c.text))
    return superseded();
  draft x{s, c.now_ms};
  x.emit(events::late_text(c.agent, c.run, kept_partial(s, c.agent, c.text), c.code));
  x.d.kind = ruling_kind::superseded;
  return std::move(x.d);
}

decision fail(state& s, const command& c) {
  draft x{s, c.now_ms};
  auto reason = c.reason.empty() ? to_string(c.code) : c.reason;
  auto presenting = s.phase == phase::presenting;
  x.end_run(c.agent, c.run, "failed", c.text, c.code);
  if (presenting)
    fail_presentation(x, c.run, c.code, reason);
  else
    fail_run(x, c.agent, c.run, c.code, reason, c.jitter_permille);
  return std::move(x.d);
}

// Agents are gone: they report nothing any more, not even the ends of calls.
decision lose(state& s, const command& c, const std::vector<std::string>& agents) {
  auto concerns = [&](auto what) {
    return std::any_of(agents.begin(), agents.end(), [&](const std::string& id) {
      auto* m = find(s, id);
      return m != nullptr && what(*m);
    });
  };
  auto live = concerns([](const member& m) { return m.live; });
  auto open = concerns([](const member& m) { return !m.open.empty(); });
  if ((!live && !open) || s.phase == phase::idle || s.phase == phase::done)
    return superseded();
  draft x{s, c.now_ms};
  for (auto& id : agents)
    x.end_calls(id);
  if (s.phase == phase::closing) {
    x.settle_closing();
    return std::move(x.d);
  }
  if (c.kind == command_kind::lose_node && live)
    x.emit(events::node_lost(c.target, agents, c.reason));
  auto code = c.code == ec::none ? ec::unavailable : c.code;
  auto reason = c.reason.empty() ? to_string(code) : c.reason;
  for (auto& id : agents)
    x.put_out(id, code, reason);
  if (s.phase == phase::presenting && !find(s, s.winner)->live)
    x.fall_back("the winner is out: " + reason, outcome_kind::failed, code);
  x.settle();
  x.settle_cancel();
  return std::move(x.d);
}

std::string after(const char* which, std::int64_t ms) {
  auto whole = std::to_string(ms / 1000);
  auto rest = ms % 1000 == 0 ? std::string{} : "." + std::to_string(1000 + ms % 1000).substr(1);
  return std::string{which} + " of " + whole + rest + " s passed";
}

// Patience is over, or half the deadline is: whoever has not handed in anything is asked again in the next round.
void close_round(draft& x, const char* why) {
  std::vector<std::string> stragglers;
  for (auto& m : x.s.members)
    if (needed(x.s, m))
      stragglers.push_back(m.id);
  x.emit(events::round_timeout(x.s.round, std::move(stragglers), why));
  x.end_all_runs("straggler");
  x.settle();
}

void end_coordination(draft& x) {
  auto which = after("the coordination deadline", x.s.rules.coordination_ms);
  std::vector<std::pair<std::string, std::uint64_t>> waiting;
  for (auto& m : x.s.members)
    if (needed(x.s, m) || m.run.id != 0)
      waiting.emplace_back(m.id, m.run.id);
  x.emit(events::coordination_timeout());
  x.end_all_runs("deadline", ec::timeout);
  for (auto& [agent, run] : waiting)
    x.emit(events::agent_timeout(agent, run, which));
  x.settle();
}

void end_presentation(draft& x) {
  auto run = x.s.presentation.id;
  auto which = after("the presentation deadline", x.s.rules.presentation_ms);
  if (run != 0)
    x.end_run(x.s.winner, run, "deadline", {}, ec::timeout);
  x.emit(events::agent_timeout(x.s.winner, run, which));
  x.fall_back(which, outcome_kind::timed_out, ec::timeout);
}

void end_late_run(draft& x, const command& c) {
  auto& k = c.timer;
  auto limit = find(x.s, k.agent)->run.round == 0 ? x.s.rules.initial_run_ms : x.s.rules.later_run_ms;
  auto which = after("the deadline of a run", limit);
  x.end_run(k.agent, k.run, "timeout", {}, ec::timeout);
  x.emit(events::agent_timeout(k.agent, k.run, which));
  fail_run(x, k.agent, k.run, ec::timeout, which, c.jitter_permille);
}

void end_cancelling(draft& x) {
  std::vector<std::pair<std::string, std::uint64_t>> active;
  for (auto& m : x.s.members)
    if (m.run.id != 0)
      active.emplace_back(m.id, m.run.id);
  if (x.s.presentation.id != 0)
    active.emplace_back(x.s.winner, x.s.presentation.id);
  for (auto& [agent, run] : active)
    note_cancelled(x, agent, run, {});
}

decision timer(state& s, const command& c) {
  auto w = want(s);
  if (std::find(w.timers.begin(), w.timers.end(), c.timer) == w.timers.end())
    return superseded();
  draft x{s, c.now_ms};
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
    x.emit(events::backoff_over(c.timer.agent));
    break;
  case timer_kind::cancel_grace:
    end_cancelling(x);
    break;
  case timer_kind::closing:
    x.end_all_calls();
    x.settle_closing();
    break;
  }
  return std::move(x.d);
}

decision cancel(state& s, const command& c) {
  if (s.phase != phase::coordinating && s.phase != phase::presenting)
    return superseded();
  draft x{s, c.now_ms};
  x.emit(events::cancel_requested(c.reason));
  x.settle_cancel();
  return std::move(x.d);
}

decision hand_in(state& s, const command& c) {
  if (!is_current(s, c.agent, c.run))
    return late_report(s, c);
  if (s.phase == phase::cancelling) {
    draft x{s, c.now_ms};
    note_cancelled(x, c.agent, c.run, c.kind == command_kind::vote ? std::string{} : c.text);
    x.d.kind = ruling_kind::superseded;
    return std::move(x.d);
  }
  switch (c.kind) {
  case command_kind::answer:
    return hand_in_answer(s, c);
  case command_kind::vote:
    return hand_in_vote(s, c);
  case command_kind::present:
    return hand_in_presentation(s, c);
  default:
    return fail(s, c);
  }
}

} // namespace

decision superseded() {
  decision d;
  d.kind = ruling_kind::superseded;
  return d;
}

bool is_current(const state& s, const std::string& agent, std::uint64_t run) {
  auto* m = find(s, agent);
  return m != nullptr && run != 0 && (m->run.id == run || (s.winner == agent && s.presentation.id == run));
}

void fail_presentation(draft& x, std::uint64_t run, ec code, const std::string& reason) {
  auto winner = x.s.winner;
  x.emit(events::agent_notice(winner, run, code, reason)); // no failure is counted: the presentation has its own attempts
  if (is_fatal(code))
    x.put_out(winner, code, reason);
  else if (x.s.presentation_tries < 2)
    return; // the winner is asked once more
  x.fall_back(reason, outcome_kind::failed, code);
}

decision advance(state& s, const command& c) {
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
  case command_kind::begin_call:
    return begin_call(s, c);
  case command_kind::end_call:
    return end_call(s, c);
  case command_kind::note:
    return note(s, c);
  case command_kind::take_over:
    return take_over(s, c);
  case command_kind::continue_run:
    return continue_run(s, c);
  case command_kind::give_up:
    return give_up(s, c);
  }
  return superseded();
}

decision decide(const state& s, const command& c) {
  auto copy = s;
  return advance(copy, c);
}

} // namespace conclave::ledger
