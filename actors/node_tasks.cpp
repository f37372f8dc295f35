// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node_tasks.hpp"

#include "protocols/caf_error.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave::hosting {

namespace {
constexpr std::size_t max_agents = 256;
constexpr std::size_t max_tasks = 64;
constexpr std::size_t max_fences = 10'000;
constexpr std::size_t max_unused_backends = 64;
constexpr std::size_t max_gates = 256; ///< beyond it those of nobody are let go

void end_unused_gates(node_ptr self) {
  auto& st = self->state;
  for (auto g = st.gates.begin(); g != st.gates.end();) {
    auto used = std::any_of(st.backends.begin(), st.backends.end(), [&](auto& b) { return b.gate == g->handle; });
    if (!used)
      self->send_exit(g->handle, caf::exit_reason::user_shutdown);
    g = used ? std::next(g) : st.gates.erase(g);
  }
}

} // namespace

void note(node_ptr self, note_weight weight, const char* type, note_fields fields) {
  if (auto& keep = self->state.resources.note)
    keep({weight, type, std::move(fields)});
}

void count_tasks(node_ptr self) {
  auto* load = self->state.resources.load.get();
  if (load == nullptr)
    return;
  std::lock_guard lock{load->mutex};
  load->tasks = self->state.tasks.size();
  load->changed.notify_all();
}

void release_backend(node_ptr self, shared_backend* shared) {
  auto& all = self->state.backends;
  if (--shared->users > 0)
    return;
  // A local one holds a server that costs memory. One that is gone serves nobody any more.
  if (!shared->handle || shared->what.kind == "local" || all.size() > max_unused_backends) {
    if (shared->handle)
      self->send_exit(shared->handle, caf::exit_reason::user_shutdown);
    all.remove_if([shared](auto& b) { return &b == shared; });
  }
}

void end_agent(node_ptr self, hosted_agent& a) {
  // The agent first: on its way out it cancels its calls, which the backend and tools must still hear.
  self->send_exit(a.handle, caf::exit_reason::user_shutdown);
  for (auto& t : a.tools)
    self->send_exit(t.actor, caf::exit_reason::user_shutdown);
  if (a.workspace)
    self->send_exit(a.workspace, caf::exit_reason::user_shutdown);
  if (a.own_backend)
    self->send_exit(a.own_backend, caf::exit_reason::user_shutdown);
  for (auto* shared : a.shared)
    release_backend(self, shared);
  if (a.relay)
    self->send_exit(a.relay, caf::exit_reason::user_shutdown);
  --self->state.agents;
}

void end_hosted(node_ptr self, std::map<std::string, hosted_task>::iterator i, note_weight weight, const char* why) {
  auto& t = i->second;
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(self->clock().now() - t.since).count();
  note_fields fields{{"task", i->first},          {"peer", t.peer}, {"why", why}, {"seconds", note_value::seconds(ms)},
                     {"agents", t.agents.size()}, {"runs", t.runs}};
  {
    std::lock_guard lock{t.cost->mutex};
    fields.emplace_back("failed", t.cost->failed);
    add_cost(fields, t.cost->use, t.cost->calls, t.cost->tool_calls);
  }
  note(self, weight, "task_ended", std::move(fields));
  for (auto& [id, a] : t.agents)
    end_agent(self, a);
  self->demonitor(caf::actor_cast<caf::actor_addr>(t.boss));
  self->state.tasks.erase(i);
  count_tasks(self);
}

void lose_agent(node_ptr self, const std::string& task, hosted_task& t, std::map<std::string, hosted_agent>::iterator a, ec code,
                const std::string& why) {
  note(self, note_weight::trouble, "agent_lost", {{"task", task}, {"agent", a->first}, {"why", why}});
  self->send(t.boss, agent_lost{task, t.fence, a->first, code, why});
  end_agent(self, a->second);
  t.agents.erase(a);
}

namespace {

/// The gate of this place and key. Its breaker is as the first who came wanted it, its limits are the strictest of all.
provider_gate_actor gate_for(node_ptr self, const gate_parts& what) {
  auto& st = self->state;
  if (what.place.empty())
    return {};
  auto i =
      std::find_if(st.gates.begin(), st.gates.end(), [&](auto& g) { return g.what.place == what.place && g.what.key == what.key; });
  if (i == st.gates.end()) {
    if (st.gates.size() >= max_gates)
      end_unused_gates(self);
    return st.gates
        .insert(i, {what, spawn_provider_gate(self->home_system(), what.name, what.policy, what.limits, st.resources.outside)})
        ->handle;
  }
  if (auto both = strictest(i->what.limits, what.limits); !(both == i->what.limits)) {
    i->what.limits = both;
    self->send(i->handle, gate_limits{both});
  }
  return i->handle;
}

} // namespace

backend_actor backend_for(node_ptr self, const connection& c, const spawn_agent& order, hosted_agent& a) {
  auto& st = self->state;
  if (c.kind == "scripted") {
    a.own_backend = spawn_connection(self->home_system(), c, order, st.resources, st.hidden);
    self->monitor(a.own_backend);
    return a.own_backend;
  }
  const connection_parts& what = c;
  auto i = std::find_if(st.backends.begin(), st.backends.end(), [&](auto& b) { return b.handle && b.what == what; });
  if (i == st.backends.end()) {
    auto gate = gate_for(self, c.gate);
    i = st.backends.insert(i, {what, spawn_connection(self->home_system(), c, order, st.resources, st.hidden, gate), 0, gate});
    self->monitor(i->handle);
  } else if (i->gate) {
    gate_for(self, c.gate); // with these limits, too
  }
  ++i->users;
  a.shared.push_back(&*i);
  return i->handle;
}

caf::error refusal(node_ptr self, const spawn_agent& order) {
  auto& st = self->state;
  auto known = st.tasks.count(order.task) > 0;
  if (!known && st.resources.load && st.resources.load->ending)
    return make_error(ec::unavailable, "the node is ending and takes no new task");
  if (st.agents >= max_agents || (!known && st.tasks.size() >= max_tasks))
    return make_error(ec::unavailable, "the node is full: " + std::to_string(st.agents) + " agents in "
                                           + std::to_string(st.tasks.size()) + " tasks");
  if (known && st.tasks[order.task].agents.count(order.agent.id) > 0)
    return make_error(ec::bad_request, "agent '" + order.agent.id + "' is already here");
  return {};
}

hosted_task& task_of(node_ptr self, const spawn_agent& order, const orchestrator_actor& boss) {
  auto [place, fresh] = self->state.tasks.try_emplace(order.task);
  auto& task = place->second;
  if (fresh) {
    task.boss = boss;
    task.hidden = std::make_shared<known_secrets>(self->state.resources.known);
    self->state.hidden->add(task.hidden);
    task.fence = order.fence;
    task.since = self->clock().now();
    if (auto& book = self->state.resources.callers)
      task.peer = book->find(boss.node());
    self->monitor(boss);
    count_tasks(self);
    note(self, note_weight::info, "task_started", {{"task", order.task}, {"peer", task.peer}, {"team", order.team}});
  }
  return task;
}

bool is_owner(node_ptr self, const std::string& task, std::uint64_t fence) {
  auto& st = self->state;
  auto [place, fresh] = st.fences.try_emplace(task, fence);
  if (fresh) {
    st.fence_order.push_back(task);
    if (st.fence_order.size() > max_fences) {
      st.fences.erase(st.fence_order.front());
      st.fence_order.pop_front();
    }
  }
  if (fence < place->second)
    return false;
  place->second = fence;
  return true;
}

hosted_task* find_task(node_ptr self, const std::string& task, std::uint64_t fence) {
  auto t = self->state.tasks.find(task);
  return t == self->state.tasks.end() || t->second.fence != fence ? nullptr : &t->second;
}

hosted_agent* find_agent(hosted_task* t, const std::string& agent) {
  if (t == nullptr)
    return nullptr;
  auto a = t->agents.find(agent);
  return a == t->agents.end() ? nullptr : &a->second;
}

} // namespace conclave::hosting
