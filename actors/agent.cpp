// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/agent.hpp"

#include "actors/agent_state.hpp"
#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_state.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/sha256.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace conclave {

void agent_state::input(run::input in) {
  with.tools_stale = is_stale();
  for (auto& action : run::step(with, *run, std::move(in)))
    std::visit([this](auto& a) { carry_out(a); }, action);
}

/// Starts a run, or goes on with one of before a crash.
void agent_state::start(start_run t) {
  resumed = {};
  with.utc_offset_s = parts.outside->utc_offset_s(t.now_ms);
  for (auto& a : t.attachments) // the log has them, in the pieces that messages are kept in
    if (known.count(a.sha) == 0)
      run::keep_file(a.data, [this](const std::string& bytes) { return *known.insert(wire::sha256(bytes)).first; });
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
  *run = std::move(s);
  with.unknown = t.on_unknown == "fail"     ? run::on_unknown::fail
                 : t.on_unknown == "repeat" ? run::on_unknown::repeat
                                            : run::on_unknown::tell;
  if (parts.watcher)
    parts.watcher->began(t);
  if (!parts.workspace || run->workspace.empty())
    return go_on(std::move(t), std::move(stored));
  prepare_workspace msg{{t.task, t.fence, t.run}, t.kind == run_kind::present, true, {}, {}};
  for (auto& x : t.answers)
    msg.shown.push_back({x.id, x.label, {}, x.snapshot});
  resumed_as = msg.of;
  auto kept = std::make_shared<std::pair<start_run, stored_run>>(std::move(t), std::move(stored));
  resumed = [this, kept] { go_on(std::move(kept->first), std::move(kept->second)); };
  auto then = [this, of = resumed_as] {
    if (resumed && of == resumed_as) // else it was cancelled, and did not wait
      std::exchange(resumed, {})();
  };
  self->request(parts.workspace, tool_waits::workspace, std::move(msg))
      .then([then](const workspace_ready&) { then(); },
            [this, then, of = resumed_as](const caf::error& e) {
              if (resumed && of == resumed_as) { // its tools will say the same
                run::tell notice{"its workspace: " + text_of(e)};
                carry_out(notice);
              }
              then();
            });
}

void agent_state::go_on(start_run t, stored_run stored) {
  input(run::continued{std::move(t), std::move(stored.ends), stored.refused, std::move(stored.refusal)});
}

void agent_state::cancel(const cancel_run& c) {
  if (resumed) {
    if (!(c.of == resumed_as))
      return;
    std::exchange(resumed, {})(); // its state is there, and says what it owes
  }
  if (run.none() || c.of.task != run->task.task || c.of.fence != run->task.fence || c.of.run != run->task.run)
    return;
  end.why = c.reason;
  input(run::cancelled{c.reason});
}

/// The run is dropped as it is: its node has ended it.
void agent_state::shut_down() {
  resumed = {};
  using run::stage;
  if (run.none())
    return;
  if ((run->stage == stage::model || run->stage == stage::announced) && model().actor)
    caf::anon_send(model().actor, cancel_call{run->task.task, run->task.agent, run->task.run, 0});
  if (!run->pending.empty())
    carry_out(run::cancel_all_tools{run->task.run});
  if (run->stage != stage::idle) {
    end = {"failed", ec::cancelled, "its task is over"};
    carry_out(run::over{});
  }
  run.drop();
}

namespace {

agent_impl::behavior_type agent(agent_ptr self, agent_parts parts) {
  self->state.self = self;
  self->state.with.agent = std::move(parts.order.agent);
  self->state.with.number = parts.order.number;
  if (parts.models.empty())
    parts.models.push_back({parts.backend, ec::none, {}});
  if (auto backend = std::min(parts.order.backend, static_cast<std::uint32_t>(parts.models.size() - 1)); backend != 0)
    self->state.run->memory.backend = backend;
  for (auto& m : parts.models)
    self->state.with.unusable.push_back(m.actor ? "" : m.error);
  if (parts.policies != nullptr)
    self->state.with.policies = parts.policies;
  self->state.parts = std::move(parts);
  self->set_exit_handler([self](caf::exit_msg& m) {
    self->state.shut_down();
    leave(self, m.reason);
  });
  return {
      [self](get_ready) { return self->state.get_tools(); },
      [self](start_run& t) { self->state.start(std::move(t)); },
      [self](const cancel_run& c) { self->state.cancel(c); },
      [self](agent_input& x) { self->state.input(std::move(x.in)); },
      [self](const agent_asks_again& x) { self->state.ask_again(x.call); },
  };
}

} // namespace

agent_actor spawn_agent_actor(caf::actor_system& sys, agent_parts parts) {
  return sys.spawn(agent, std::move(parts));
}

} // namespace conclave
