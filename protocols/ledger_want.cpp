// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// `want`: what should exist in a state. No clock: a timer carries the time it is due, and time enters with the command it causes.

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

} // namespace conclave::ledger
