// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/orchestrator_state.hpp"

#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/replay.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/sha256.hpp"
#include "protocols/workspace_paths.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace conclave {

using ledger::command;
using ledger::command_kind;
using std::chrono::milliseconds;

namespace {
constexpr int max_notices = 3;                                   ///< of one agent about one tool source
constexpr std::size_t file_part_bytes = std::size_t{256} * 1024; ///< of a message
} // namespace

void orchestrator_state::init(orchestrator_ptr ptr, orchestrator_parts p) {
  self = ptr;
  parts = std::move(p);
  std::vector<std::string> ids;
  for (auto& a : parts.agents)
    ids.push_back(a.config.id);
  if (parts.revived) {
    log = std::move(parts.revived->log);
    seq = parts.revived->seq;
    stored_bytes = parts.revived->stored_bytes;
  } else {
    log = ledger::make(parts.rules, ids);
  }
  std::seed_seq of_this_owner{parts.seed & UINT32_MAX, parts.seed >> 32, parts.fence};
  random.seed(of_this_owner);
  wall_start = std::max(parts.outside->now_unix_ms(), log.last_ms); // a clock set back since: deadlines go on from the log's time
  mono_start = self->clock().now();
}

std::int64_t orchestrator_state::now_ms() const {
  auto gone = self->clock().now() - mono_start;
  return wall_start + std::chrono::duration_cast<milliseconds>(gone).count();
}

const placed_agent* orchestrator_state::place(const std::string& agent) const {
  for (auto& a : parts.agents)
    if (a.config.id == agent)
      return &a;
  return nullptr;
}

void orchestrator_state::lose(const std::string& agent, ec code, std::string reason) {
  command c;
  c.kind = command_kind::lose_agent;
  c.agent = agent;
  c.code = code;
  c.reason = std::move(reason);
  apply(std::move(c), nullptr);
}

void orchestrator_state::resume() {
  command c;
  c.kind = command_kind::take_over;
  c.target = parts.owner;
  c.fence = parts.fence;
  apply(std::move(c), nullptr);
  for (auto& [agent, text] : parts.revived->notices)
    note(agent, text);
  in_use = parts.revived->backends;
  hire();
  if (cancelled_early) {
    command end;
    end.kind = command_kind::cancel;
    end.reason = *cancelled_early;
    apply(std::move(end), nullptr);
  }
}

void orchestrator_state::hire() {
  std::set<const void*> watched;
  for (std::size_t i = 0; i < parts.agents.size(); ++i) {
    auto& a = parts.agents[i];
    auto lost = [this, id = a.config.id](ec code, std::string reason) { lose(id, code, std::move(reason)); };
    if (!a.node) {
      lost(ec::unavailable, a.reason.empty() ? "its node '" + a.node_name + "' cannot be reached" : a.reason);
      continue;
    }
    auto addr = caf::actor_cast<caf::actor_addr>(a.node);
    if (watched.insert(addr.get()).second)
      self->monitor(a.node);
    spawn_agent order{parts.task, parts.fence, a.config, static_cast<std::uint32_t>(i + 1),
                      static_cast<std::uint32_t>(parts.agents.size())};
    order.agent.budget.counted = log.rules.budget.limits();
    if (parts.revived)
      order.played = parts.revived->played[a.config.id];
    order.backend = in_use[a.config.id];
    order.place = workspace_paths::place_name(parts.task, parts.seed, order.number);
    self->request(a.node, tool_waits::hire(a.config.backend), std::move(order), caf::actor_cast<orchestrator_actor>(self),
                  parts.chunks)
        .then(
            [this](const agent_ready& r) {
              ready.insert(r.agent);
              for (auto& text : r.notes)
                note(r.agent, text);
              for (auto& t : r.missing)
                miss_tools(r.agent, t, true);
              batch b;
              reconcile(b, now_ms());
              commit(std::move(b));
            },
            [lost, where = a.node_name == "local" ? "" : "on node '" + a.node_name + "': "](const caf::error& e) {
              lost(code_of(e), where + text_of(e));
            });
  }
}

void orchestrator_state::miss_tools(const std::string& agent, const tool_trouble& t, bool at_start) {
  auto& m = missing[{t.source, at_start}];
  if (m.why.empty())
    m.why = t.why;
  if (++m.agents[agent] > max_notices)
    return;
  note(agent, (at_start ? "works without tools: " : "a tool call failed: ") + t.why);
}

void orchestrator_state::note(const std::string& agent, std::string reason) {
  command c;
  c.kind = command_kind::note;
  c.agent = agent;
  c.reason = std::move(reason);
  apply(std::move(c), nullptr);
}

void orchestrator_state::forget_nodes() {
  for (auto& a : parts.agents)
    if (a.node)
      self->demonitor(caf::actor_cast<caf::actor_addr>(a.node)); // else it keeps the memory of whoever watched it
}

void orchestrator_state::node_down(const caf::actor_addr& source) {
  command c;
  c.kind = command_kind::lose_node;
  for (auto& a : parts.agents)
    if (a.node && caf::actor_cast<caf::actor_addr>(a.node) == source) {
      c.target = a.node_name;
      c.agents.push_back(a.config.id);
      for (auto i = dispatched.begin(); i != dispatched.end();)
        i = i->second == a.config.id ? dispatched.erase(i) : std::next(i);
      a.node = nullptr; // CAF answers no request to it, not even with an error
    }
  closed(source, nullptr);
  c.reason = "node '" + c.target + "' is lost";
  if (!c.agents.empty())
    apply(std::move(c), nullptr);
}

void orchestrator_state::fire(const ledger::timer_key& key) {
  armed.erase(std::remove(armed.begin(), armed.end(), key), armed.end());
  auto wanted = ledger::want(log);
  if (failed || std::find(wanted.timers.begin(), wanted.timers.end(), key) == wanted.timers.end())
    return; // the ledger no longer waits for it
  command c;
  c.kind = command_kind::timer;
  c.timer = key;
  apply(std::move(c), nullptr);
}

// What a decision says about runs and answers happens once it is durable.
ledger::decision orchestrator_state::decide(batch& b, const command& c) {
  auto d = ledger::advance(log, c);
  if (!d.events.empty())
    d.events.front().cause = ledger::cause_of(c, d.events, [&b](const std::string& text) {
      b.bodies.push_back({wire::sha256(text), text});
      return b.bodies.back().sha;
    });
  for (auto& e : std::exchange(d.events, {})) {
    e.seq = ++seq;
    e.task = parts.task;
    if (e.type == event_type::run_started || e.type == event_type::run_continued)
      runs[e.run] = e.agent;
    if (e.type == event_type::new_answer)
      publish(b, e.label, e.text);
    if (e.type == event_type::task_opened)
      for (auto& a : parts.attachments)
        run::keep_file(a.data, [&b](std::string bytes) {
          b.bodies.push_back({wire::sha256(bytes), std::move(bytes)});
          return b.bodies.back().sha;
        });
    if (e.type == event_type::run_ended && dispatched.erase(e.run) > 0) {
      stopping.erase(e.run);
      // A run the ledger ended by itself (straggler, deadline, agent out) is still working somewhere: it is cancelled on the wire
      // at once.
      auto* at = e.run == c.run && e.agent == c.agent ? nullptr : place(e.agent);
      if (at != nullptr && at->node)
        b.effects.push_back([this, node = at->node, msg = cancel_run{{parts.task, parts.fence, e.run}, e.agent, "superseded"}] {
          self->send(node, msg);
        });
    }
    b.events.push_back(std::move(e));
  }
  return d;
}

void orchestrator_state::apply(command c, std::function<void(const ledger::decision&)> effect) {
  if (failed)
    return;
  c.now_ms = now_ms();
  c.jitter_permille = static_cast<std::uint32_t>(random() % 251);
  batch b;
  auto d = decide(b, c);
  if (effect)
    b.effects.push_back([effect = std::move(effect), d = std::move(d)] { effect(d); });
  reconcile(b, c.now_ms);
  commit(std::move(b));
}

void orchestrator_state::reconcile(batch& b, std::int64_t now) {
  retry_parked(b);
  auto wanted = ledger::want(log);
  for (auto progress = true; progress && !wanted.done;) {
    progress = false;
    for (auto& w : wanted.runs)
      if (w.run == 0 && ready.count(w.agent) > 0) {
        begin(b, w, now);
        progress = true;
      } else if (w.run != 0 && parts.revived && dispatched.count(w.run) == 0 && ready.count(w.agent) > 0) {
        go_on(b, w, now); // a run of before the crash
        progress = true;
      }
    if (progress)
      wanted = ledger::want(log);
  }
  // Runs the ledger still knows but no longer wants (the task is being cancelled): stop them; they report their partial text.
  for (auto& [run, agent] : dispatched) {
    auto still =
        std::any_of(wanted.runs.begin(), wanted.runs.end(), [&, r = run](const ledger::wanted_run& w) { return w.run == r; });
    if (still || !stopping.insert(run).second)
      continue;
    if (auto* at = place(agent); at != nullptr && at->node)
      b.effects.push_back(
          [this, node = at->node, msg = cancel_run{{parts.task, parts.fence, run}, agent, "cancelled"}] { self->send(node, msg); });
  }
  arm(wanted.timers, now);
}

void orchestrator_state::begin(batch& b, const ledger::wanted_run& w, std::int64_t now) {
  command c;
  c.kind = command_kind::begin_run;
  c.agent = w.agent;
  c.now_ms = now;
  decide(b, c);
  dispatch(b, w, now, {});
}

void orchestrator_state::go_on(batch& b, const ledger::wanted_run& w, std::int64_t now) {
  command c;
  c.kind = command_kind::continue_run;
  c.agent = w.agent;
  c.run = w.run;
  c.now_ms = now;
  decide(b, c);
  std::vector<stored_run> stored;
  if (auto known = parts.revived->runs.find(w.run); known != parts.revived->runs.end())
    stored.push_back(std::move(known->second));
  dispatch(b, w, now, std::move(stored));
}

void orchestrator_state::dispatch(batch& b, const ledger::wanted_run& w, std::int64_t now, std::vector<stored_run> stored) {
  auto& run = w.present ? log.presentation : ledger::find(log, w.agent)->run;
  auto* at = place(w.agent);
  if (run.id == 0 || at == nullptr || !at->node || !dispatched.emplace(run.id, w.agent).second)
    return;
  auto t = task_for(w, now);
  t.stored = std::move(stored);
  t.on_unknown = parts.on_unknown;
  publish_missing(b, *at, t);
  publish_files(b, *at, t);
  b.effects.push_back([this, node = at->node, t = std::move(t)]() mutable { self->send(node, std::move(t)); });
}

// One copy for all nodes. They had their order before, so they know the task.
void orchestrator_state::publish(batch& b, const std::string& label, const std::string& text) {
  std::vector<caf::actor> to;
  for (auto& a : parts.agents)
    if (auto addr = caf::actor_cast<caf::actor_addr>(a.node); a.node && told.emplace(addr.get(), label).second)
      to.push_back(caf::actor_cast<caf::actor>(a.node));
  if (!to.empty())
    b.effects.push_back([to = std::move(to), msg = caf::make_message(publish_answer{parts.task, parts.fence, label, text})] {
      for (auto& node : to)
        caf::anon_send(node, msg);
    });
}

// Answers from before this orchestrator: of an earlier task, or of before a crash.
void orchestrator_state::publish_missing(batch& b, const placed_agent& to, const start_run& t) {
  auto addr = caf::actor_cast<caf::actor_addr>(to.node);
  for (auto& shown : t.answers)
    if (told.count({addr.get(), shown.label}) == 0)
      if (auto* a = ledger::find_answer(log, shown.label))
        publish(b, a->label, a->text);
}

// In parts: a connection between machines is also there for others.
void orchestrator_state::publish_files(batch& b, const placed_agent& to, const start_run& t) {
  auto addr = caf::actor_cast<caf::actor_addr>(to.node);
  for (auto& wanted : t.attachments) {
    auto file = std::find_if(parts.attachments.begin(), parts.attachments.end(), [&](auto& a) { return a.sha == wanted.sha; });
    if (file == parts.attachments.end() || !told.emplace(addr.get(), wanted.sha).second)
      continue;
    b.effects.push_back([this, node = to.node, file] {
      auto& data = file->data;
      for (std::size_t at = 0; at < data.size(); at += file_part_bytes)
        self->send(node, publish_file{parts.task, parts.fence, file->sha, at, data.size(), data.substr(at, file_part_bytes)});
    });
  }
}

start_run orchestrator_state::task_for(const ledger::wanted_run& w, std::int64_t now) const {
  auto t = ledger::task_for(log, w.agent, w.present); // the node has the texts
  t.task = parts.task;
  t.fence = parts.fence;
  t.history = history;
  t.now_ms = now;
  for (auto& a : parts.attachments)
    if (a.agent.empty() || a.agent == w.agent)
      t.attachments.push_back({a.name, a.media_type, a.sha, a.bytes, a.agent, {}});
  return t;
}

void orchestrator_state::arm(const std::vector<ledger::timer_key>& timers, std::int64_t now) {
  for (auto& t : timers) {
    if (std::find(armed.begin(), armed.end(), t) != armed.end())
      continue;
    armed.push_back(t);
    call_after(self, milliseconds(t.due_ms - now), [this, t] { fire(t); });
  }
}

} // namespace conclave
