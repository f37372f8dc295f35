// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Engines of the simulator: how one begins, dies, and the next one goes on, as app/engine_core.cpp does it.

#include "actors/node.hpp"
#include "actors/orchestrator_state.hpp"
#include "actors/recorder.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/replay.hpp"
#include "protocols/type_ids.hpp"
#include "sim/servers.hpp"
#include "sim/simulator.hpp"

#include <caf/all.hpp>

namespace conclave::sim {

namespace {

event_sink_actor::behavior_type host(event_sink_actor::pointer, world* w, engine* of, process_ptr p) {
  return {[w, of, p](const event& e) {
            if (p->cut || !w->broken.empty())
              return;
            if (e.seq == 0 || e.seq > w->log.size())
              return w->find("the host was told of " + to_string(e.type) + " (seq " + std::to_string(e.seq)
                             + ") before it was durable");
            auto stored = w->log[e.seq - 1];
            stored.task = e.task; // the store knows it without
            if (!(stored == e))
              w->find("the host was told something else than what is stored as " + std::to_string(e.seq));
            if (of->told != 0 && e.seq != of->told + 1)
              w->find("the host was told of event " + std::to_string(e.seq) + " after " + std::to_string(of->told));
            of->told = e.seq;
          },
          [](const chunk_batch&) {}, [](const chunk_delivery&) { return chunk_ack{}; }};
}

node_resources resources_of(world& w, const process_ptr& p, std::shared_ptr<outside> from) {
  node_resources r;
  r.outside = std::move(from);
  r.env = [](const std::string&) -> const std::string* { return nullptr; };
  r.scripted = models_of(w, p);
  r.tools = tools_of(w, p);
  return r;
}

void end(auto& handle) {
  if (handle)
    caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
  handle = nullptr;
}

void wait_for(caf::event_based_actor* self, orchestrator_actor boss, question q, process_ptr p, engine* of) {
  auto finish = [of, p](outcome o) {
    if (p->cut)
      return;
    of->ended = true;
    of->result = std::move(o);
  };
  self->request(boss, caf::infinite, std::move(q))
      .then([finish](outcome& o) { finish(std::move(o)); },
            [finish](const caf::error& e) {
              outcome o;
              o.error = text_of(e);
              finish(std::move(o));
            });
}

} // namespace

std::shared_ptr<test::simulated_outside> simulator::make_outside(int process) {
  test::simulated_world played;
  played.unix_ms += std::chrono::duration_cast<std::chrono::milliseconds>(sched_.clock().now() - start_).count();
  played.seed = w_.seed * 1000 + static_cast<std::uint64_t>(process);
  played.job_takes = [this] { return std::chrono::milliseconds(w_.chance.between(0, 5'000)); };
  return std::make_shared<test::simulated_outside>(sys_, std::move(played));
}

void simulator::start_node(std::size_t i) {
  auto& n = nodes_[i - 1];
  n.process = std::make_shared<process>(process{static_cast<int>(i) * 100, false});
  n.outside = make_outside(n.process->number);
  n.node = spawn_node(sys_, resources_of(w_, n.process, n.outside));
}

void simulator::begin_engine() {
  ++w_.engines;
  w_.trace("engine " + std::to_string(w_.engines) + " begins");
  engine_ = std::make_unique<engine>();
  engine_->process = std::make_shared<process>(process{w_.engines, false});
  engine_->store = std::make_shared<sim::store>(disk_, engine_->process);
  engine_->outside = make_outside(w_.engines);
  engine_->local = spawn_node(sys_, resources_of(w_, engine_->process, engine_->outside));
  engine_->sink = sys_.spawn(host, &w_, engine_.get(), engine_->process);
}

std::vector<placed_agent> simulator::place(const std::vector<agent_config>& agents) {
  std::vector<placed_agent> out;
  std::map<std::size_t, node_actor> joined;
  for (std::size_t i = 0; i < agents.size(); ++i) {
    auto to = w_.what.at[i];
    placed_agent a{agents[i], engine_->local, "local", ""};
    if (to > 0) {
      a.node_name = agents[i].node;
      a.node = nullptr;
      if (auto& n = nodes_[to - 1]; n.node) {
        if (joined.count(to) == 0) {
          auto l = open_link(sys_, w_, engine_->process, to, n.node);
          joined[to] = caf::actor_cast<node_actor>(l->near);
          engine_->links.push_back(l);
          old_links_.push_back(l);
        }
        a.node = joined[to];
      } else {
        a.reason = "it is down";
      }
    }
    out.push_back(std::move(a));
  }
  return out;
}

void simulator::ask() {
  opening o;
  for (std::size_t i = 0; i < w_.what.agents; ++i) {
    agent_config a;
    a.id = "a" + std::to_string(i + 1);
    a.backend.type = "scripted";
    a.backend.decision = "tools";
    a.backend.tool_timeout_ms = 20'000;
    a.backend.max_tool_iterations = 4;
    if (w_.what.has_budgets()) {
      a.backend.max_tokens = 200;
      a.budget = w_.what.budgets[i];
    }
    if (auto to = w_.what.at[i]; to > 0) {
      a.node = "far" + std::to_string(to);
      if (std::none_of(o.cluster.nodes.begin(), o.cluster.nodes.end(), [&](auto& n) { return n.first == a.node; }))
        o.cluster.nodes.emplace_back(a.node, "far" + std::to_string(to) + ":1");
    }
    o.agents.push_back(std::move(a));
  }
  disk_.begin_task("t" + std::to_string(++tasks_));
  w_.forget_log();
  orchestrator_parts parts;
  parts.task = disk_.task();
  parts.rules = o.rules = w_.what.rules;
  parts.agents = place(o.agents);
  parts.on_unknown = o.on_unknown = w_.what.on_unknown;
  for (auto& a : parts.agents)
    o.nodes.push_back(a.node_name);
  o.build = "sim";
  parts.seed = o.seed = w_.chance.next();
  parts.opening = to_json(o);
  spawn_boss(std::move(parts), {"why?", {}});
}

void simulator::spawn_boss(orchestrator_parts parts, question q) {
  auto& e = *engine_;
  e.recorder = spawn_recorder(sys_, e.store, parts.task, parts.fence, {"sim", 1, 0});
  parts.recorder = e.recorder;
  parts.sinks = {e.sink};
  parts.chunks = e.sink;
  parts.outside = e.outside;
  parts.price = [](const backend_config&, std::int64_t, std::int64_t) { return price{3, 1, 4, 15, 0, 0, 0}; };
  e.boss = spawn_orchestrator(sys_, std::move(parts));
  sys_.spawn(wait_for, e.boss, std::move(q), e.process, &e);
}

void simulator::resume() {
  auto& e = *engine_;
  opening o;
  std::string error;
  if (!from_json(w_.log.front().detail, o, error))
    return w_.find("the opening cannot be read: " + error);
  orchestrator_parts parts;
  parts.task = disk_.task();
  parts.rules = o.rules;
  parts.on_unknown = o.on_unknown;
  parts.seed = o.seed;
  parts.owner = "engine " + std::to_string(w_.engines);
  parts.agents = place(o.agents);
  resumer_parts r;
  r.task = disk_.task();
  r.store = e.store;
  r.owner = {"sim", w_.engines, 0};
  r.done = [this, p = e.process, parts = std::move(parts)](resumed_task t) mutable {
    if (p->cut)
      return;
    engine_->resumer = nullptr;
    if (t.code != ec::none)
      return w_.find("the task cannot be resumed: " + t.error);
    for (auto& [agent, text] : t.from.notices)
      w_.find("a notice of " + agent + ": " + text);
    parts.fence = t.fence;
    question q{t.from.log.question, std::move(t.opening.history)};
    parts.revived = std::make_shared<revived_task>(std::move(t.from));
    spawn_boss(std::move(parts), std::move(q));
  };
  e.resumer = spawn_resumer(sys_, std::move(r));
}

void simulator::end_engine() {
  auto& e = *engine_;
  end(e.resumer);
  end(e.boss);
  end(e.recorder);
  end(e.local);
  end(e.sink);
}

/// What leaves the process counts no more from now on; its actors end in whatever order.
void simulator::crash() {
  --w_.what.crashes;
  w_.trace("CRASH of engine " + std::to_string(w_.engines));
  engine_->process->cut = true;
  engine_->outside->cut();
  disk_.crash();
  for (auto& l : engine_->links) {
    l->up.clear();
    if (!l->broken)
      caf::anon_send_exit(l->near, caf::exit_reason::user_shutdown);
  }
  end_engine();
  old_engines_.push_back(std::move(engine_));
  if (w_.resumed_since)
    w_.at_crash = w_.folded;
  w_.resumed_since = false;
}

void simulator::restart() {
  if (!w_.log.empty() && w_.log.back().type == event_type::task_ended) {
    over_ = true;
    return;
  }
  sched_.clock().current_time += std::chrono::milliseconds(w_.chance.chance(500) ? 0 : w_.chance.between(1, 600'000));
  for (std::size_t i = 1; i <= nodes_.size(); ++i)
    if (!nodes_[i - 1].node && w_.chance.chance(600))
      start_node(i);
  begin_engine();
  if (w_.log.empty())
    ask();
  else
    resume();
}

void simulator::kill_node(std::size_t i) {
  auto& n = nodes_[i - 1];
  if (!n.node)
    return;
  w_.trace("node " + std::to_string(i) + " dies");
  n.process->cut = true;
  n.outside->cut();
  for (auto& l : old_links_)
    if (!l->broken && l->to == i)
      break_link(*l);
  end(n.node);
}

/// What an engine that is dead said arrives now.
void simulator::send_stale() {
  auto& d = w_.chance;
  std::uint64_t fence = 1 + d.below(static_cast<std::size_t>(w_.engines - 1));
  std::vector<node_actor> to{engine_->local};
  for (auto& n : nodes_)
    if (n.node)
      to.push_back(n.node);
  auto& node = to[d.below(to.size())];
  auto agent = "a" + std::to_string(1 + d.below(w_.what.agents));
  auto run = 1 + d.below(static_cast<std::size_t>(w_.folded.next_run));
  if (auto* m = ledger::find(w_.folded, agent); m != nullptr && m->run.id != 0 && d.chance(700))
    run = static_cast<std::size_t>(m->run.id);
  if (fence >= w_.folded.fence)
    return; // no one of before owned it
  w_.trace("a message of fence " + std::to_string(fence) + " arrives late");
  run_report r;
  start_run s;
  switch (d.below(5)) {
  case 0:
    caf::anon_send(node, end_task{disk_.task(), fence});
    break;
  case 1:
    caf::anon_send(node, cancel_run{{disk_.task(), fence, run}, agent, "stale"});
    break;
  case 2:
    caf::anon_send(node, publish_answer{disk_.task(), fence, "agent1.1", "a stale text"});
    break;
  case 3:
    s.task = disk_.task();
    s.fence = fence;
    s.agent = agent;
    s.run = run;
    s.question = "a stale question";
    caf::anon_send(node, std::move(s));
    break;
  default:
    r.of = {disk_.task(), fence, run};
    r.agent = agent;
    r.number = 1 + d.below(40);
    r.has_verdict = true;
    r.handed_in.kind = verdict_kind::answer;
    r.handed_in.text = "a stale answer";
    if (engine_->boss)
      caf::anon_send(engine_->boss, r);
  }
}

void simulator::check_view() {
  if (!engine_ || !engine_->boss || engine_->ended)
    return;
  auto* boss = dynamic_cast<orchestrator_ptr>(caf::actor_cast<caf::abstract_actor*>(engine_->boss));
  if (boss == nullptr || boss->getf(caf::abstract_actor::is_terminated_flag))
    return w_.find("the orchestrator ended");
  auto& st = boss->state;
  if (st.seq == engine_->checked)
    return;
  engine_->checked = st.seq;
  if (auto wrong = ledger::check(st.log); !wrong.empty())
    w_.find("the orchestrator's view: " + wrong);
  for (auto& m : st.log.members)
    for (auto& a : m.answers)
      if (a.text == "a stale answer")
        w_.find("a verdict of a former owner was accepted");
}

/// Nothing can happen before time passes: then each run is worked on outside, and what the ledger waits for is due no earlier than
/// the next timer. That a connection died with a call is noticed by the time limit of the call.
void simulator::check_idle() {
  if (!engine_ || !engine_->boss || engine_->ended)
    return;
  auto& st = dynamic_cast<orchestrator_ptr>(caf::actor_cast<caf::abstract_actor*>(engine_->boss))->state;
  auto wanted = ledger::want(st.log);
  const auto base_ms = test::simulated_world{}.unix_ms; // when the clock began
  auto next = sched_.clock().schedule().begin()->first - start_;
  auto soonest = sched_.clock().now() - start_ + std::chrono::milliseconds(1);
  for (auto& t : wanted.timers)
    if (std::max<caf::timespan>(std::chrono::milliseconds(t.due_ms + 1 - base_ms), soonest) < next)
      w_.find("nothing is armed for a timer of " + (t.agent.empty() ? "the task" : t.agent) + " that is due at "
              + std::to_string(t.due_ms - base_ms) + " ms");
  for (auto& run : wanted.runs)
    if (std::any_of(st.parked.begin(), st.parked.end(), [&](auto& r) { return r.of.run == run.run; })) {
      if (ledger::reserved(st.log) == amount{})
        w_.find("run " + std::to_string(run.run) + " of " + run.agent + " waits for room in a budget, and nothing is reserved");
    } else if (w_.what.lost_source == 0 && st.ready.count(run.agent) > 0 && !w_.works(run.agent, run.run))
      w_.find("nobody works on run " + std::to_string(run.run) + " of " + run.agent);
}

/// Nobody works any more: everything ends, and everything that was to happen happens.
void simulator::wind_down() {
  if (engine_)
    end_engine();
  for (auto& l : old_links_)
    if (!l->broken)
      break_link(*l);
  for (auto& n : nodes_)
    end(n.node);
  for (auto busy = true; busy;) {
    busy = false;
    while (!sched_.jobs.empty()) {
      sched_.run_once();
      busy = true;
    }
    while (disk_.can_sync()) {
      disk_.sync(1);
      busy = true;
    }
    while (disk_.can_call_back()) {
      disk_.call_back();
      busy = true;
    }
  }
  sched_.clock().cancel_all();
  while (!sched_.jobs.empty())
    sched_.run_once();
  old_links_.clear();
}

} // namespace conclave::sim
