// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/agent.hpp"

#include "actors/agent_state.hpp"
#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_state.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/verdict.hpp"

#include <caf/all.hpp>

#include <memory>

namespace conclave {

void agent_state::input(run::input in) {
  for (auto& action : run::step(with, run, std::move(in)))
    std::visit([this](auto& a) { carry_out(a); }, action);
}

/// Starts a run, or goes on with one of before a crash.
void agent_state::start(start_run t) {
  with.utc_offset_s = parts.outside->utc_offset_s(t.now_ms);
  if (t.stored.empty() || t.stored.front().state.empty())
    return input(run::started{std::move(t)});
  auto stored = std::move(t.stored.front());
  t.stored.clear();
  run::state s;
  std::string error;
  if (!run::from_json(stored.state, s, error)) {
    t.stored.clear();
    run::tell notice{"its run cannot go on where it stood and starts anew: " + error};
    carry_out(notice);
    return input(run::started{std::move(t)});
  }
  s.talk = std::move(stored.talk);
  s.kept = s.talk.size();
  run = std::move(s);
  with.unknown = t.on_unknown == "fail"     ? run::on_unknown::fail
                 : t.on_unknown == "repeat" ? run::on_unknown::repeat
                                            : run::on_unknown::tell;
  if (parts.watcher)
    parts.watcher->began(t);
  input(run::continued{std::move(t), std::move(stored.ends), stored.refused, std::move(stored.refusal)});
}

void agent_state::cancel(const cancel_run& c) {
  if (c.of.task != run.task.task || c.of.fence != run.task.fence || c.of.run != run.task.run)
    return;
  end.why = c.reason;
  input(run::cancelled{c.reason});
}

/// The run is dropped as it is: its node has ended it.
void agent_state::shut_down() {
  using run::stage;
  if (run.stage == stage::model || run.stage == stage::announced)
    caf::anon_send(parts.backend, cancel_call{run.task.task, run.task.agent, run.task.run, 0});
  if (!run.pending.empty())
    carry_out(run::cancel_all_tools{run.task.run});
  if (run.stage != stage::idle) {
    end = {"failed", ec::cancelled, "its task is over"};
    carry_out(run::over{});
  }
  run = {};
}

namespace {

/// Asks every tool source for its tools. One that fails is told, and no failure of the agent.
caf::result<agent_ready> get_tools(agent_ptr self) {
  auto& st = self->state;
  auto out = std::make_shared<agent_ready>();
  out->agent = st.with.agent.id;
  if (st.parts.tools.empty())
    return *out;
  auto promise = self->template make_response_promise<agent_ready>();
  auto left = std::make_shared<std::size_t>(st.parts.tools.size());
  auto finish = [self, out, promise, left]() mutable {
    if (--*left > 0)
      return;
    for (auto& [tool, known] : self->state.with.tools)
      out->tools.push_back(tool);
    promise.deliver(*out);
  };
  for (std::size_t i = 0; i < st.parts.tools.size(); ++i)
    self->request(st.parts.tools[i].actor, tool_waits::agent_list(st.parts.tools[i].start_limit), list_tools{})
        .then(
            [self, i, out, finish](tool_list& list) mutable {
              for (auto& note : list.notes)
                out->notes.push_back(list.source + ": " + note);
              for (auto& [spec, says] : list.tools) {
                auto tool = spec.name;
                run::offered_tool offered{std::move(spec), i, says.read_only, says.idempotent};
                if (wire::is_workflow_tool(tool) || !self->state.with.tools.emplace(tool, std::move(offered)).second)
                  out->notes.push_back(list.source + ": tool '" + tool + "' is left out, the name is taken");
              }
              finish();
            },
            [self, i, out, finish](const caf::error& e) mutable {
              out->missing.push_back({self->state.parts.tools[i].name, text_of(e)});
              finish();
            });
  return caf::delegated<agent_ready>{};
}

agent_impl::behavior_type agent(agent_ptr self, agent_parts parts) {
  self->state.self = self;
  self->state.with.agent = std::move(parts.order.agent);
  if (parts.policies != nullptr)
    self->state.with.policies = parts.policies;
  self->state.parts = std::move(parts);
  self->set_exit_handler([self](caf::exit_msg& m) {
    self->state.shut_down();
    leave(self, m.reason);
  });
  return {
      [self](get_ready) { return get_tools(self); },
      [self](start_run& t) { self->state.start(std::move(t)); },
      [self](const cancel_run& c) { self->state.cancel(c); },
      [self](agent_input& x) { self->state.input(std::move(x.in)); },
  };
}

} // namespace

agent_actor spawn_agent_actor(caf::actor_system& sys, agent_parts parts) {
  return sys.spawn(agent, std::move(parts));
}

} // namespace conclave
