// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node.hpp"

#include "actors/agent.hpp"
#include "actors/leaving.hpp"
#include "actors/node_tasks.hpp"
#include "actors/relay.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_state.hpp"
#include "protocols/text.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/sha256.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <memory>
#include <optional>

namespace conclave {

using namespace hosting;

namespace {

constexpr std::size_t max_labels = 10'000;
constexpr std::size_t max_text = std::size_t{4} << 20; ///< as the ledger's highest bound
constexpr std::size_t max_task_text = std::size_t{256} << 20;
constexpr std::size_t max_file_bytes = std::size_t{256} << 20; ///< of one task
constexpr std::size_t max_files = 1'000;
constexpr auto ask_limit = std::chrono::seconds(2);
constexpr auto clear_limit = std::chrono::seconds(10); ///< tool servers that run in a workspace are ended first

caf::result<agent_ready> hire(node_ptr self, spawn_agent& order, orchestrator_actor& boss, event_sink_actor& sink) {
  auto& st = self->state;
  auto id = order.agent.id;
  auto refuse = [&, book = st.resources.callers](caf::error e) {
    note(self, note_weight::trouble, "agent_refused",
         {{"task", order.task}, {"peer", book ? book->find(boss.node()) : ""}, {"agent", id}, {"why", text_of(e)}});
    return e;
  };
  if (!is_owner(self, order.task, order.fence))
    return refuse(make_error(ec::denied, "task " + order.task + " has a newer owner"));
  if (auto old = st.tasks.find(order.task); old != st.tasks.end() && old->second.boss != boss) {
    // Two orchestrators of one task: the younger one wins, whatever order they come in (docs/protocol.md 10.2).
    if (order.fence <= old->second.fence)
      return refuse(make_error(ec::bad_request, "task " + order.task + " is in the hands of another orchestrator"));
    end_hosted(self, old, note_weight::trouble, "another orchestrator took it over");
  }
  if (auto e = refusal(self, order))
    return refuse(std::move(e));
  std::vector<connection> connections;
  each_backend(order.agent, [&](const backend_config& x, const std::string&) {
    auto backend = x;
    if (!order.agent.node.empty() && backend.base_url_source == project_source)
      backend.base_url_source += " where the task was started"; // not the file of this name here
    connections.push_back(resolve_backend(backend, st.resources));
  });
  auto& c = connections.front();
  // One that lacks its key or file is told now, and never asked.
  auto which = [](std::size_t i) {
    return i == 0 ? std::string{"its own backend"} : "backend " + std::to_string(i) + " of its failover list";
  };
  if (std::all_of(connections.begin(), connections.end(), [](auto& x) { return x.code != ec::none; })) {
    auto why = c.error;
    for (std::size_t i = 1; i < connections.size(); ++i)
      why += "; " + which(i) + ": " + connections[i].error;
    return refuse(make_error(c.code, why));
  }
  std::vector<std::string> notices;
  for (std::size_t i = 0; i < connections.size(); ++i) {
    auto& x = connections[i];
    notices.insert(notices.end(), x.notices.begin(), x.notices.end());
    if (x.code != ec::none)
      notices.push_back(which(i) + " cannot be used, and will not be asked: " + x.error);
  }
  for (auto& name : order.agent.backend.native_tools)
    if (st.resources.tools.count(name) == 0)
      notices.push_back("native_tools: this process has no tool '" + shown_text(name) + "'");
  std::optional<workspace_parts> files;
  if (!order.agent.backend.workspace.cwd.empty()) {
    std::string why;
    files = workspace_of(order, st.resources, why);
    if (!why.empty())
      return refuse(make_error(ec::bad_config, why));
    if (!files->announce.empty())
      notices.push_back(files->announce);
  }
  auto& task = task_of(self, order, boss);
  auto& a = task.agents[id];
  ++st.agents;
  agent_parts parts;
  for (std::size_t i = 0; i < connections.size(); ++i) {
    auto& x = connections[i];
    task.hidden->add(secrets_of(backend_at(order.agent, i), x, st.resources));
    parts.models.push_back({x.code == ec::none ? backend_for(self, x, order, a) : backend_actor{}, x.code, x.error});
  }
  parts.chunks = sink;
  if (sink.node() != self->node())
    parts.chunks = a.relay = spawn_relay(self->home_system(), sink);
  std::function<void(const std::string&)> lost;
  if (st.resources.note)
    lost = [keep = st.resources.note, cost = task.cost, task = order.task, agent = order.agent.id](const std::string& why) {
      note_lost(keep, *cost, task, agent, why);
    };
  if (files) {
    files->tell = [status = parts.chunks, task = order.task, agent = id](std::string text) {
      caf::anon_send(status, chunk_batch{task, 0, agent, {{chunk_kind::status, std::move(text)}}});
    };
    a.workspace = parts.workspace = spawn_workspace(self->home_system(), std::move(*files));
  }
  parts.tools = a.tools = spawn_tools(self->home_system(), order, st.resources, parts.chunks, task.hidden, lost, a.workspace);
  if (a.workspace) {
    auto limit = tool_waits::native_start;
    a.tools.insert(a.tools.begin(), {spawn_guarded_tools(self->home_system(), caf::actor_cast<tool_source_actor>(a.workspace),
                                                         "its workspace", limit, task.hidden),
                                     "its workspace",
                                     limit,
                                     {},
                                     tool_waits::workspace_call});
    parts.tools = a.tools;
  }
  auto ready_limit = tool_waits::node_ready(order.agent.backend);
  parts.boss = boss;
  parts.outside = st.resources.outside;
  if (st.resources.note)
    parts.watcher = watch_runs(st.resources.note, task.cost, self->clock());
  auto ready = ready_note(order, c);
  parts.order = std::move(order);
  a.handle = spawn_agent_actor(self->home_system(), std::move(parts));
  self->monitor(a.handle);
  auto promise = self->template make_response_promise<agent_ready>();
  auto asked = self->request(a.handle, ready_limit, get_ready{});
  asked.then(
      [self, promise, timer = asked.id(), notices = std::move(notices), ready](agent_ready& r) mutable {
        answered_in_time(self, timer);
        r.notes.insert(r.notes.begin(), notices.begin(), notices.end());
        if (auto& keep = self->state.resources.note)
          note_ready(keep, std::move(ready), r);
        promise.deliver(std::move(r));
      },
      [self, promise, ready](caf::error& e) mutable {
        ready.fields.emplace_back("why", text_of(e));
        note(self, note_weight::trouble, "agent_failed", std::move(ready.fields));
        promise.deliver(std::move(e));
      });
  return caf::delegated<agent_ready>{};
}

void down(node_ptr self, const caf::down_msg& d) {
  auto is = [&d](const auto& handle) { return handle && caf::actor_cast<caf::actor_addr>(handle) == d.source; };
  // A connection that has ended is kept for nobody: the next agent gets a new one.
  shared_backend* dead = nullptr;
  auto& shared = self->state.backends;
  if (auto b = std::find_if(shared.begin(), shared.end(), [&](auto& x) { return is(x.handle); }); b != shared.end()) {
    b->handle = nullptr;
    if (b->users == 0) {
      shared.erase(b);
      return;
    }
    dead = &*b; // goes with its last user
  }
  auto& tasks = self->state.tasks;
  for (auto t = tasks.begin(); t != tasks.end(); ++t) {
    auto& task = t->second;
    if (is(task.boss)) {
      end_hosted(self, t, note_weight::trouble, "its caller is gone"); // nobody is left to work for: cancel at once
      return;
    }
    for (auto a = task.agents.begin(); a != task.agents.end();) {
      auto here = a++;
      if (is(here->second.handle))
        lose_agent(self, t->first, task, here, ec::unknown, "the agent ended unexpectedly");
      else if (auto& its = here->second.shared;
               is(here->second.own_backend) || (dead != nullptr && std::find(its.begin(), its.end(), dead) != its.end()))
        lose_agent(self, t->first, task, here, ec::unavailable, "its connection to the model ended unexpectedly");
    }
  }
}

void run(node_ptr self, start_run& r) {
  auto* hosted = find_task(self, r.task, r.fence);
  auto* a = find_agent(hosted, r.agent);
  if (a == nullptr)
    return; // it ended meanwhile and its boss was told, or a former owner wants it
  auto& task = *hosted;
  for (auto& shown : r.answers) {
    auto text = task.texts.find(shown.label);
    if (text == task.texts.end()) {
      self->send(task.boss, agent_lost{r.task, r.fence, r.agent, ec::bad_request, "the node was never sent answer " + shown.label});
      return;
    }
    shown.text = text->second;
  }
  for (auto& wanted : r.attachments) {
    auto file = task.files.find(wanted.sha);
    if (file == task.files.end() || run::keep_file(file->second, wire::sha256) != wanted.sha) {
      self->send(task.boss, agent_lost{r.task, r.fence, r.agent, ec::bad_request,
                                       "the node was never sent the file " + shown_text(wanted.name, 200)});
      return;
    }
    wanted.data = file->second;
  }
  ++task.runs;
  self->send(a->handle, std::move(r));
}

void take_file(node_ptr self, const publish_file& p) {
  auto* task = find_task(self, p.task, p.fence);
  if (task == nullptr)
    return;
  auto& bytes = task->files[p.sha];
  // A part that does not fit leaves a file that does not fit its name: a run that needs it says that it was never sent.
  if (p.offset != bytes.size() || p.bytes.size() > max_file_bytes - task->file_bytes || task->files.size() > max_files)
    return;
  task->file_bytes += p.bytes.size();
  bytes += p.bytes;
}

/// Asks the scripted connections of a task what they have left, then ends the task.
caf::result<task_closed> close_task(node_ptr self, const end_task& e) {
  auto* hosted = find_task(self, e.task, e.fence);
  if (hosted == nullptr)
    return task_closed{e.task, {}};
  auto out = std::make_shared<task_closed>();
  out->task = e.task;
  auto promise = self->template make_response_promise<task_closed>();
  auto left = std::make_shared<std::size_t>(1);
  auto finish = [self, promise, out, left, fence = e.fence]() mutable {
    if (--*left > 0)
      return;
    promise.deliver(*out);
    auto t = self->state.tasks.find(out->task);
    if (t != self->state.tasks.end() && t->second.fence == fence)
      end_hosted(self, t, note_weight::info, "over");
  };
  for (auto& [id, a] : hosted->agents)
    if (a.workspace) {
      ++*left;
      self->request(a.workspace, clear_limit, clear_workspace{})
          .then(
              [out, finish, agent = id](const workspace_cleared& c) mutable {
                if (!c.fault.empty())
                  out->notes.push_back("the workspace of agent '" + agent + "' cannot be deleted: " + c.fault);
                finish();
              },
              [out, finish, agent = id](const caf::error& why) mutable {
                out->notes.push_back("the workspace of agent '" + agent
                                     + "' is not deleted (conclave rm does it): " + text_of(why));
                finish();
              });
    }
  for (auto& [id, a] : hosted->agents) {
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
  if (auto& r = self->state.resources; !r.disk)
    r.disk = r.outside->open_lanes("disk", disk_threads);
  self->set_down_handler([self](caf::down_msg& d) { down(self, d); });
  self->set_exit_handler([self](caf::exit_msg& m) {
    auto& st = self->state;
    while (!st.tasks.empty())
      end_hosted(self, st.tasks.begin(), note_weight::trouble, "the node ends");
    for (auto& b : st.backends)
      if (b.handle)
        self->send_exit(b.handle, caf::exit_reason::user_shutdown);
    st.backends.clear();
    for (auto& g : st.gates)
      self->send_exit(g.handle, caf::exit_reason::user_shutdown);
    st.gates.clear();
    self->quit(m.reason);
  });
  return {
      [self](spawn_agent& order, orchestrator_actor& boss, event_sink_actor& sink) { return hire(self, order, boss, sink); },
      [self](publish_answer& p) {
        auto* hosted = find_task(self, p.task, p.fence);
        if (hosted == nullptr)
          return;
        auto& task = *hosted;
        if (task.texts.size() >= max_labels || p.text.size() > max_text || task.text_bytes + p.text.size() > max_task_text)
          return; // a run that needs it says that it was never sent
        auto [place, added] = task.texts.try_emplace(p.label);
        task.text_bytes += p.text.size() - place->second.size();
        place->second = std::move(p.text);
      },
      [self](const publish_file& p) { take_file(self, p); },
      [self](start_run& r) { run(self, r); },
      [self](const cancel_run& c) {
        if (auto* a = find_agent(find_task(self, c.of.task, c.of.fence), c.agent))
          self->send(a->handle, c);
      },
      [self](const end_task& e) { return close_task(self, e); },
  };
}

} // namespace

node_actor spawn_node(caf::actor_system& sys, node_resources resources) {
  return sys.spawn(node, std::move(resources));
}

} // namespace conclave
