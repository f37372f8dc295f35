// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node.hpp"

#include "actors/agent.hpp"
#include "actors/leaving.hpp"
#include "actors/node_parts.hpp"
#include "actors/relay.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <map>
#include <memory>

namespace conclave {

namespace {

constexpr std::size_t max_agents = 256;
constexpr std::size_t max_tasks = 64;
constexpr std::size_t max_labels = 10'000;
constexpr std::size_t max_unused_backends = 64;
constexpr std::size_t max_text = std::size_t{4} << 20; ///< as the ledger's highest bound
constexpr std::size_t max_task_text = std::size_t{256} << 20;
constexpr auto ask_limit = std::chrono::seconds(2);

struct hosted_agent {
  agent_actor handle;
  std::vector<tool_source> tools;
  backend_actor own_backend; ///< scripted: ends with the agent
  std::string share;         ///< else the key of its shared connection
  chunk_sink_actor relay;    ///< when the sink is on another node
};

struct shared_backend {
  backend_actor handle;
  std::size_t users = 0;
  bool leaves = false; ///< ends with its last user: it holds a server that costs memory
};

struct hosted_task {
  std::uint64_t fence = 0;
  orchestrator_actor boss;
  std::map<std::string, hosted_agent> agents;
  std::map<std::string, std::string> texts; ///< label -> answer
  std::size_t text_bytes = 0;
};

struct node_state {
  static inline const char* name = "node";
  node_resources resources;
  std::map<std::string, hosted_task> tasks;
  std::map<std::string, shared_backend> backends; ///< by share key; unused ones keep what they learned, up to a bound
  std::size_t agents = 0;
};

using node_ptr = node_actor::stateful_pointer<node_state>;

void release_backend(node_ptr self, const std::string& share) {
  auto& st = self->state;
  auto i = st.backends.find(share);
  if (i == st.backends.end() || --i->second.users > 0)
    return;
  if (i->second.leaves || st.backends.size() > max_unused_backends) {
    self->send_exit(i->second.handle, caf::exit_reason::user_shutdown);
    st.backends.erase(i);
  }
}

void end_agent(node_ptr self, hosted_agent& a) {
  // The agent first: on its way out it cancels its calls, which the backend and tools must still hear.
  self->send_exit(a.handle, caf::exit_reason::user_shutdown);
  for (auto& t : a.tools)
    self->send_exit(t.actor, caf::exit_reason::user_shutdown);
  if (a.own_backend)
    self->send_exit(a.own_backend, caf::exit_reason::user_shutdown);
  if (!a.share.empty())
    release_backend(self, a.share);
  if (a.relay)
    self->send_exit(a.relay, caf::exit_reason::user_shutdown);
  --self->state.agents;
}

void end_hosted(node_ptr self, std::map<std::string, hosted_task>::iterator i) {
  for (auto& [id, a] : i->second.agents)
    end_agent(self, a);
  self->demonitor(caf::actor_cast<caf::actor_addr>(i->second.boss));
  self->state.tasks.erase(i);
}

backend_actor backend_for(node_ptr self, const connection& c, const spawn_agent& order, hosted_agent& a) {
  auto& st = self->state;
  if (c.share.empty())
    return a.own_backend = spawn_connection(self->home_system(), c, order, st.resources);
  auto& shared = st.backends[c.share];
  if (!shared.handle) {
    shared.handle = spawn_connection(self->home_system(), c, order, st.resources);
    shared.leaves = c.kind == "local";
  }
  ++shared.users;
  a.share = c.share;
  return shared.handle;
}

caf::result<agent_ready> hire(node_ptr self, spawn_agent& order, orchestrator_actor& boss, event_sink_actor& sink) {
  auto& st = self->state;
  if (auto old = st.tasks.find(order.task); old != st.tasks.end() && old->second.boss != boss) {
    // Two orchestrators of one task: the younger one wins, whatever order they come in (docs/protocol.md 10.2).
    if (order.fence <= old->second.fence)
      return make_error(ec::bad_request, "task " + order.task + " is in the hands of another orchestrator");
    end_hosted(self, old);
  }
  auto known = st.tasks.count(order.task) > 0;
  if (st.agents >= max_agents || (!known && st.tasks.size() >= max_tasks))
    return make_error(ec::unavailable, "the node is full: " + std::to_string(st.agents) + " agents in "
                                           + std::to_string(st.tasks.size()) + " tasks");
  auto backend = order.agent.backend;
  if (!order.agent.node.empty() && backend.base_url_source == project_source)
    backend.base_url_source += " where the task was started"; // not the file of this name here
  auto c = resolve_backend(backend, st.resources);
  if (c.code != ec::none)
    return make_error(c.code, c.error);
  auto& task = st.tasks[order.task];
  if (!known) {
    task.boss = boss;
    task.fence = order.fence;
    self->monitor(boss);
  }
  auto id = order.agent.id;
  if (task.agents.count(id) > 0)
    return make_error(ec::bad_request, "agent '" + id + "' is already here");
  auto& a = task.agents[id];
  ++st.agents;
  agent_parts parts;
  parts.backend = backend_for(self, c, order, a);
  parts.chunks = sink;
  if (sink.node() != self->node())
    parts.chunks = a.relay = spawn_relay(self->home_system(), sink);
  parts.tools = a.tools = spawn_tools(self->home_system(), order, st.resources, parts.chunks);
  auto ready_limit = tool_waits::node_ready(order.agent.backend);
  parts.boss = boss;
  parts.order = std::move(order);
  a.handle = spawn_agent_actor(self->home_system(), std::move(parts));
  self->monitor(a.handle);
  auto promise = self->template make_response_promise<agent_ready>();
  auto asked = self->request(a.handle, ready_limit, get_ready{});
  asked.then(
      [self, promise, timer = asked.id(), notices = std::move(c.notices)](agent_ready& r) mutable {
        answered_in_time(self, timer);
        r.notes.insert(r.notes.begin(), notices.begin(), notices.end());
        promise.deliver(std::move(r));
      },
      [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
  return caf::delegated<agent_ready>{};
}

void down(node_ptr self, const caf::down_msg& d) {
  auto& tasks = self->state.tasks;
  for (auto t = tasks.begin(); t != tasks.end(); ++t) {
    if (caf::actor_cast<caf::actor_addr>(t->second.boss) == d.source) {
      end_hosted(self, t); // nobody is left to work for: cancel at once
      return;
    }
    for (auto& [id, a] : t->second.agents)
      if (caf::actor_cast<caf::actor_addr>(a.handle) == d.source) {
        self->send(t->second.boss, agent_lost{t->first, id, ec::unknown, "the agent ended unexpectedly"});
        end_agent(self, a);
        t->second.agents.erase(id);
        return;
      }
  }
}

hosted_agent* find_agent(node_ptr self, const std::string& task, const std::string& agent) {
  auto t = self->state.tasks.find(task);
  if (t == self->state.tasks.end())
    return nullptr;
  auto a = t->second.agents.find(agent);
  return a == t->second.agents.end() ? nullptr : &a->second;
}

void run(node_ptr self, run_task& r) {
  auto* a = find_agent(self, r.task, r.agent);
  if (a == nullptr)
    return; // it ended meanwhile; its boss was told
  auto& task = self->state.tasks[r.task];
  for (auto& shown : r.answers) {
    auto text = task.texts.find(shown.label);
    if (text == task.texts.end()) {
      self->send(task.boss, agent_lost{r.task, r.agent, ec::bad_request, "the node was never sent answer " + shown.label});
      return;
    }
    shown.text = text->second;
  }
  self->send(a->handle, std::move(r));
}

/// Asks the scripted connections of a task what they have left, then ends the task.
caf::result<task_closed> close_task(node_ptr self, const end_task& e) {
  auto i = self->state.tasks.find(e.task);
  if (i == self->state.tasks.end())
    return task_closed{e.task, {}};
  auto out = std::make_shared<task_closed>();
  out->task = e.task;
  auto promise = self->template make_response_promise<task_closed>();
  auto left = std::make_shared<std::size_t>(1);
  auto finish = [self, promise, out, left]() mutable {
    if (--*left > 0)
      return;
    promise.deliver(*out);
    auto t = self->state.tasks.find(out->task);
    if (t != self->state.tasks.end())
      end_hosted(self, t);
  };
  for (auto& [id, a] : i->second.agents) {
    if (!a.own_backend)
      continue;
    ++*left;
    self->request(a.own_backend, ask_limit, describe_backend{})
        .then(
            [out, finish, agent = id](const backend_info& info) mutable {
              if (info.leftover > 0)
                out->notes.push_back("script: " + std::to_string(info.leftover) + " steps of agent '" + agent + "' were unused");
              finish();
            },
            [finish](const caf::error&) mutable { finish(); });
  }
  finish();
  return caf::delegated<task_closed>{};
}

node_actor::behavior_type node(node_ptr self, node_resources resources) {
  self->state.resources = std::move(resources);
  self->set_down_handler([self](caf::down_msg& d) { down(self, d); });
  self->set_exit_handler([self](caf::exit_msg& m) {
    auto& st = self->state;
    while (!st.tasks.empty())
      end_hosted(self, st.tasks.begin());
    for (auto& [key, b] : st.backends)
      self->send_exit(b.handle, caf::exit_reason::user_shutdown);
    st.backends.clear();
    self->quit(m.reason);
  });
  return {
      [self](spawn_agent& order, orchestrator_actor& boss, event_sink_actor& sink) { return hire(self, order, boss, sink); },
      [self](publish_answer& p) {
        auto t = self->state.tasks.find(p.task);
        if (t == self->state.tasks.end())
          return;
        auto& task = t->second;
        if (task.texts.size() >= max_labels || p.text.size() > max_text || task.text_bytes + p.text.size() > max_task_text)
          return; // a run that needs it says that it was never sent
        auto [place, added] = task.texts.try_emplace(p.label);
        task.text_bytes += p.text.size() - place->second.size();
        place->second = std::move(p.text);
      },
      [self](run_task& r) { run(self, r); },
      [self](const cancel_run& c) {
        if (auto* a = find_agent(self, c.task, c.agent))
          self->send(a->handle, c);
      },
      [self](const end_task& e) { return close_task(self, e); },
  };
}

door_actor::behavior_type door(door_actor::pointer, node_actor node, std::string build) {
  return {
      [node, build](const hello& h) -> caf::result<welcome> {
        welcome w;
        w.build = build;
        if (h.max < protocol_min || h.min > protocol_max) {
          w.reason = "this node speaks protocol " + std::to_string(protocol_min) + " to " + std::to_string(protocol_max)
                     + ", the caller " + std::to_string(h.min) + " to " + std::to_string(h.max) + ": update the older side";
          return w;
        }
        w.version = std::min(h.max, protocol_max);
        w.node = caf::actor_cast<caf::strong_actor_ptr>(node);
        return w;
      },
  };
}

} // namespace

node_actor spawn_node(caf::actor_system& sys, node_resources resources) {
  return sys.spawn(node, std::move(resources));
}

door_actor spawn_door(caf::actor_system& sys, node_actor n, std::string build) {
  return sys.spawn(door, std::move(n), std::move(build));
}

} // namespace conclave
