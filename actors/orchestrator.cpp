// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/orchestrator.hpp"

#include "actors/leaving.hpp"
#include "actors/orchestrator_state.hpp"
#include "protocols/caf_error.hpp"

#include <caf/all.hpp>

namespace conclave {

namespace {

using ledger::command;
using ledger::command_kind;

command from(const verdict& v) {
  command c;
  c.agent = v.agent;
  c.run = v.run;
  c.text = v.text;
  c.target = v.target;
  c.reason = v.reason;
  c.code = v.code;
  c.truncated = v.truncated;
  c.step = v.step;
  switch (v.kind) {
  case verdict_kind::answer:
    c.kind = command_kind::answer;
    break;
  case verdict_kind::vote:
    c.kind = command_kind::vote;
    break;
  case verdict_kind::failed:
    c.kind = command_kind::fail;
    break;
  case verdict_kind::presented:
    c.kind = command_kind::present;
    break;
  }
  return c;
}

caf::result<ruling> on_verdict(orchestrator_ptr self, const verdict& v) {
  auto& st = self->state;
  if (v.task != st.parts.task || v.fence != st.parts.fence || st.failed)
    return ruling{ruling_kind::superseded, "", {}};
  auto promise = self->template make_response_promise<ruling>();
  st.apply(from(v), [promise](const ledger::decision& d) mutable { promise.deliver(ruling{d.kind, d.reason, d.allowed}); });
  return caf::delegated<ruling>{};
}

caf::result<noted> on_notice(orchestrator_ptr self, const call_notice& n) {
  auto& st = self->state;
  if (n.task != st.parts.task || n.fence != st.parts.fence || st.failed || st.log.phase == ledger::phase::done)
    return noted{false};
  auto* m = ledger::find(st.log, n.agent);
  auto current = m != nullptr && (m->run.id == n.run || (st.log.winner == n.agent && st.log.presentation.id == n.run));
  if (!n.ended && (!current || st.log.phase == ledger::phase::cancelling))
    return noted{false};
  if (m == nullptr)
    return noted{false};
  event e;
  e.type = n.ended ? event_type::call_ended : event_type::call_started;
  e.agent = n.agent;
  e.run = n.run;
  e.number = static_cast<std::int64_t>(n.call);
  e.target = n.target;
  e.reason = n.ended ? n.status : n.hash;
  e.use = n.use;
  auto promise = self->template make_response_promise<noted>();
  st.record(std::move(e), [promise]() mutable { promise.deliver(noted{true}); });
  if (!n.trouble.source.empty())
    st.miss_tools(n.agent, n.trouble, false);
  return caf::delegated<noted>{};
}

void cancel(orchestrator_ptr self, const std::string& reason) {
  command c;
  c.kind = command_kind::cancel;
  c.reason = reason;
  self->state.apply(std::move(c), nullptr);
}

caf::result<outcome> on_question(orchestrator_ptr self, question& q) {
  auto& st = self->state;
  if (st.log.phase != ledger::phase::idle || st.asked)
    return make_error(ec::bad_request, "task " + st.parts.task + " already has its question; start another task");
  st.asked = true;
  st.history = std::move(q.history);
  st.done = self->template make_response_promise<outcome>();
  command c;
  c.kind = command_kind::start;
  c.text = std::move(q.text);
  st.apply(std::move(c), [self](const ledger::decision& d) {
    if (d.kind == ruling_kind::refused)
      self->state.give_up(ec::bad_request, d.reason);
  });
  if (st.log.phase != ledger::phase::idle)
    st.hire();
  if (st.cancelled_early)
    cancel(self, *st.cancelled_early);
  return caf::delegated<outcome>{};
}

orchestrator_actor::behavior_type orchestrator(orchestrator_ptr self, orchestrator_parts parts) {
  self->state.init(self, std::move(parts));
  self->set_down_handler([self](caf::down_msg& d) { self->state.node_down(d.source); });
  self->set_exit_handler([self](caf::exit_msg& m) {
    auto& st = self->state;
    if (st.asked && !st.replied)
      st.give_up(ec::cancelled, "the engine is being stopped");
    st.forget_nodes();
    leave(self, m.reason);
  });
  return {
      [self](const verdict& v) { return on_verdict(self, v); },
      [self](const call_notice& n) { return on_notice(self, n); },
      [self](const agent_lost& l) {
        if (l.task != self->state.parts.task)
          return;
        command c;
        c.kind = command_kind::lose_agent;
        c.agent = l.agent;
        c.code = l.code;
        c.reason = l.reason;
        self->state.apply(std::move(c), nullptr);
      },
      [self](question& q) { return on_question(self, q); },
      [self](const cancel_task& t) {
        if (self->state.asked)
          cancel(self, t.reason);
        else
          self->state.cancelled_early = t.reason;
      },
  };
}

} // namespace

orchestrator_actor spawn_orchestrator(caf::actor_system& sys, orchestrator_parts parts) {
  return sys.spawn(orchestrator, std::move(parts));
}

} // namespace conclave
