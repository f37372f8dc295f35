// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Which calls of a log other budgets would not have let begin: the log has what each may use at most, and what it used.

#include "protocols/events.hpp"
#include "protocols/what_if_way.hpp"

#include <algorithm>
#include <utility>

namespace conclave::ledger {

namespace {

std::string call_of(const command& c) {
  return "call " + std::to_string(c.call) + " of " + quoted(c.agent);
}

/// Whether the budget of its agent ended the agent instead of letting a call begin.
bool puts_out(const decision& d) {
  return std::any_of(d.events.begin(), d.events.end(), [](auto& e) { return e.type == event_type::agent_out; });
}

} // namespace

void other_way::begin_call(command c, const std::vector<event>& decision) {
  auto made = std::any_of(decision.begin(), decision.end(), [](auto& e) { return e.type == event_type::call_started; });
  auto* r = run_of(c);
  if (r == nullptr)
    return;
  c.run = r->ours;
  auto d = apply(c);
  if (!would_.over_budget.empty() && made)
    return note(seq_, "the task would have ended here: " + (d.events.empty() ? d.reason : d.events.front().reason), false);
  if (d.kind == ruling_kind::accepted) {
    calls_[{c.agent, c.call}] = c.run;
  } else if (made && d.waits) {
    gap(call_of(c) + " would have waited for the ends of others, and what follows from it would have come later: " + d.reason);
    held_.push_back(std::move(c));
  } else if (made) {
    refuse_call(c, d);
  }
}

/// A call that is not made fails its run; who has other backends would have asked one of them, and that is in no log.
void other_way::refuse_call(const command& c, const decision& d) {
  if (puts_out(d))
    return note(seq_, call_of(c) + " would not have been made: " + d.events.front().reason, false);
  if (d.kind != ruling_kind::refused)
    return;
  auto elsewhere = has_failover_.count(c.agent) > 0;
  note(seq_,
       call_of(c) + " would not have been made: " + d.reason
           + (elsewhere ? "; what another backend of its `failover` would have said is not in the log" : ""),
       elsewhere);
  command fails;
  fails.kind = command_kind::fail;
  fails.agent = c.agent;
  fails.run = c.run;
  fails.code = d.code;
  fails.reason = d.reason;
  fails.now_ms = would_.last_ms;
  apply(std::move(fails));
}

void other_way::end_call(command c) {
  auto held = std::find_if(held_.begin(), held_.end(), [&](auto& x) { return x.agent == c.agent && x.call == c.call; });
  if (held != held_.end()) { // it may wait no longer: it has ended
    auto begun = std::move(*held);
    held_.erase(held);
    begun.now_ms = would_.last_ms;
    auto d = apply(begun);
    if (d.waits) {
      note(seq_, call_of(begun) + " would still have waited when it ended in the log: what came of it is left out", true);
      if (auto* r = run_of(c))
        r->ours = 0;
      return abstain(c.agent);
    }
    if (d.kind != ruling_kind::accepted)
      return refuse_call(begun, d);
    calls_[{c.agent, c.call}] = begun.run;
  }
  auto call = calls_.extract({c.agent, c.call});
  if (call.empty())
    return;
  c.run = call.mapped();
  apply(std::move(c));
  ask_again();
}

void other_way::ask_again() {
  for (auto i = held_.begin(); i != held_.end() && would_.phase == phase::coordinating;) {
    i->now_ms = would_.last_ms;
    auto d = apply(*i);
    if (d.waits) {
      ++i;
      continue;
    }
    auto c = std::move(*i);
    i = held_.erase(i);
    if (d.kind == ruling_kind::accepted)
      calls_[{c.agent, c.call}] = c.run;
    else
      refuse_call(c, d);
  }
}

/// A run that a budget ended tells nothing of another budget: what the call might have used is in no log.
void other_way::fail(command c, const std::vector<event>& decision) {
  auto* r = run_of(c);
  if (r == nullptr || c.code != ec::budget_exceeded || !other_budgets_)
    return hand_in(std::move(c), decision);
  gap("a budget ended the run of " + quoted(c.agent) + " here: whether the other one would have is not in the log");
  r->ours = 0;
  abstain(c.agent);
}

} // namespace conclave::ledger
