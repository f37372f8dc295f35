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

command from(const call_notice& n) {
  command c;
  c.kind = n.ended ? command_kind::end_call : command_kind::begin_call;
  c.agent = n.agent;
  c.run = n.run;
  c.call = n.call;
  c.target = n.target;
  c.hash = n.hash;
  c.status = n.status;
  c.use = n.use;
  return c;
}

caf::result<noted> on_notice(orchestrator_ptr self, const call_notice& n) {
  auto& st = self->state;
  if (n.task != st.parts.task || n.fence != st.parts.fence || st.failed)
    return noted{false};
  auto promise = self->template make_response_promise<noted>();
  st.apply(from(n), [promise](const ledger::decision& d) mutable { promise.deliver(noted{d.kind == ruling_kind::accepted}); });
  if (!n.trouble.source.empty() && st.log.phase != ledger::phase::done && ledger::find(st.log, n.agent) != nullptr)
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
  c.opening = std::move(st.parts.opening);
  for (auto& a : st.parts.agents)
    c.placements.push_back({a.config.id, a.node_name, a.config.backend.type, a.config.backend.model});
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
