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

void cancel(orchestrator_ptr self, const std::string& reason) {
  command c;
  c.kind = command_kind::cancel;
  c.reason = reason;
  self->state.apply(std::move(c), nullptr);
}

caf::result<outcome> on_question(orchestrator_ptr self, question& q) {
  auto& st = self->state;
  if (st.asked)
    return make_error(ec::bad_request, "task " + st.parts.task + " already has its question; start another task");
  st.asked = true;
  st.history = std::move(q.history);
  st.done = self->template make_response_promise<outcome>();
  if (st.parts.revived) {
    st.resume();
    return caf::delegated<outcome>{};
  }
  command c;
  c.kind = command_kind::start;
  c.text = std::move(q.text);
  c.opening = std::move(st.parts.opening);
  for (auto& a : st.parts.agents)
    c.placements.push_back({a.config.id, a.node_name, a.config.backend.type, a.config.backend.model});
  for (auto& a : st.parts.attachments)
    c.said.push_back(a.sha);
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
      [self](run_report& r) { return self->state.on_report(r); },
      [self](body_part& p) { return self->state.on_part(p); },
      [self](agent_lost& l) {
        auto& st = self->state;
        if (l.task == st.parts.task && l.fence == st.parts.fence)
          st.lose(l.agent, l.code, std::move(l.reason));
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
