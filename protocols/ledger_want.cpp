// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `want`: what should exist in a state, and what a run of it is told. No clock: a timer carries the time it is due, and time
/// enters with the command it causes.

#include "protocols/ledger.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

void want_member(const state& s, const member& m, wanted& w) {
  if (m.run.id != 0) {
    w.runs.push_back({m.id, m.run.id, false});
    auto limit = m.run.round == 0 ? s.rules.initial_run_ms : s.rules.later_run_ms;
    if (limit > 0)
      w.timers.push_back({timer_kind::run, m.id, m.run.id, m.run.started_ms + limit});
  } else if (needed(s, m)) {
    if (may_begin(s, m))
      w.runs.push_back({m.id, 0, false});
    else
      w.timers.push_back({timer_kind::backoff, m.id, 0, m.not_before_ms});
  }
}

void want_coordination(const state& s, wanted& w) {
  auto open = false;
  for (auto& m : s.members) {
    want_member(s, m, w);
    open = open || needed(s, m);
  }
  auto& r = s.rules;
  if (r.coordination_ms > 0)
    w.timers.push_back({timer_kind::coordination, "", 0, s.started_ms + r.coordination_ms});
  if (r.pacing != pacing::barrier || !open)
    return;
  if (r.coordination_ms > 0 && s.round == 0 && s.epoch > 0)
    w.timers.push_back({timer_kind::round0_half, "", 0, s.started_ms + r.coordination_ms / 2});
  if (r.patience_ms > 0 && s.first_verdict_ms >= 0)
    w.timers.push_back({timer_kind::patience, "", 0, s.last_verdict_ms + std::max(r.patience_ms, 2 * s.longest_verdict_ms)});
}

} // namespace

wanted want(const state& s) {
  wanted w;
  switch (s.phase) {
  case phase::idle:
    break;
  case phase::coordinating:
    want_coordination(s, w);
    break;
  case phase::presenting:
    w.runs.push_back({s.winner, s.presentation.id, true});
    if (s.presentation_deadline_ms > 0)
      w.timers.push_back({timer_kind::presentation, "", 0, s.presentation_deadline_ms});
    break;
  case phase::cancelling:
    w.timers.push_back({timer_kind::cancel_grace, "", 0, s.cancel_deadline_ms});
    break;
  case phase::closing:
    w.timers.push_back({timer_kind::closing, "", 0, s.closing_deadline_ms});
    break;
  case phase::done:
    w.done = true;
    break;
  }
  return w;
}

start_run task_for(const state& s, const std::string& agent, bool present) {
  start_run t;
  auto* m = find(s, agent);
  if (m == nullptr)
    return t;
  auto& active = present ? s.presentation : m->run;
  t.agent = agent;
  t.run = active.id;
  t.round = active.round;
  t.epoch = active.epoch;
  t.first_call = m->calls + 1;
  t.kind = present ? run_kind::present : run_kind::coordinate;
  t.question = s.question;
  for (auto& label : active.shown)
    if (auto* a = find_answer(s, label))
      t.answers.push_back({shown_id(label), label, {}, a->snapshot});
  if (!m->answers.empty())
    t.snapshot = m->answers.back().snapshot;
  t.again = !present && m->broke_off; // who presents does so from its answer
  if (!present) {
    t.may_answer = may_answer(s, agent);
    t.may_vote = may_vote(s, agent);
    t.planning = s.rules.planning_mode;
    t.planning_reads = s.rules.planning_mode_allow_readonly;
    t.planning_instruction = s.rules.planning_mode_instruction;
    return t;
  }
  t.may_answer = false;
  t.own_id = "agent" + std::to_string(m->number);
  t.tie = s.tie;
  for (auto& voter : s.members)
    if (voter.vote.target == agent && voter.vote.epoch == s.epoch) {
      ++t.votes;
      if (!voter.vote.reason.empty())
        t.vote_reasons.push_back(voter.vote.reason);
    }
  return t;
}

} // namespace conclave::ledger
