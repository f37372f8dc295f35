// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "sim/simulator.hpp"

#include "actors/message_types.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave::sim {

using std::chrono::milliseconds;

config::config() {
  set("scheduler.policy", caf::atom("testing"));
  add_messages(*this);
}

simulator::simulator(std::uint64_t seed, bool tracing)
    : sys_(config_), sched_(dynamic_cast<caf::scheduler::test_coordinator&>(sys_.scheduler())), start_(sched_.clock().now()),
      idle_since_(start_), at_rest_(sys_.registry().running()), w_(seed), disk_(w_) {
  w_.tracing = tracing;
  w_.trace(to_string(w_.what));
}

simulator::~simulator() {
  wind_down();
}

std::string simulator::run() {
  for (std::size_t i = 1; i <= w_.what.far_nodes; ++i) {
    nodes_.emplace_back();
    start_node(i);
  }
  begin_engine();
  ask();
  while (w_.broken.empty() && !over_)
    step();
  if (!w_.broken.empty())
    return w_.broken;
  wind_down();
  w_.check_end();
  if (auto left = sys_.registry().running(); left != at_rest_)
    w_.find(std::to_string(left - at_rest_) + " actors are left");
  return w_.broken;
}

void simulator::step() {
  if (++w_.steps > 200'000)
    return w_.find("it does not end");
  w_.now_ms = std::chrono::duration_cast<milliseconds>(sched_.clock().now() - start_).count();
  maybe_die();
  auto early = w_.chance.chance(w_.what.timer_permille) && sched_.has_pending_timeout()
               && sched_.clock().schedule().begin()->first
                      < std::min(sched_.clock().now() + std::chrono::seconds(3), idle_since_ + std::chrono::seconds(6));
  if (early)
    pass_time();
  else if (!choose()) {
    if (!sched_.has_pending_timeout())
      return w_.find("nothing is left to happen and the task has not ended");
    check_idle();
    pass_time();
    idle_since_ = sched_.clock().now();
  }
  check_view();
  if (engine_ && engine_->ended) {
    w_.trace("outcome: " + to_string(engine_->result.kind) + " " + engine_->result.error);
    if (ledger::to_outcome(w_.folded, disk_.task()).kind != engine_->result.kind)
      w_.find("the outcome is " + to_string(engine_->result.kind) + ": " + engine_->result.error);
    over_ = true;
  }
}

void simulator::pass_time() {
  sched_.trigger_timeout();
}

bool simulator::choose() {
  enum what { sync, call_back, read, down, up, notice, again };
  struct option {
    what kind;
    std::size_t which;
  };
  std::vector<option> options;
  if (disk_.can_sync())
    options.push_back({sync, 0});
  if (disk_.can_call_back())
    options.push_back({call_back, 0});
  if (disk_.can_read())
    options.push_back({read, 0});
  for (std::size_t i = 0; i < old_links_.size(); ++i) {
    auto& l = *old_links_[i];
    if (l.broken)
      continue;
    if (!l.down.empty())
      options.push_back({down, i});
    if (!l.up.empty() && !l.engine->cut)
      options.push_back({up, i});
    if (l.engine->cut)
      options.push_back({notice, i});
  }
  if (!engine_)
    options.push_back({again, 0});
  auto n = w_.chance.below(options.size() + sched_.jobs.size());
  if (options.empty() && sched_.jobs.empty())
    return false;
  if (n >= options.size()) {
    run_job(n - options.size());
    return true;
  }
  switch (options[n].kind) {
  case sync:
    disk_.sync(1 + w_.chance.below(4));
    if (engine_ && w_.what.crashes > 0 && w_.chance.chance(w_.what.sync_crash_permille))
      crash();
    break;
  case call_back:
    disk_.call_back();
    break;
  case read:
    disk_.read_one();
    break;
  case down:
    deliver_down(*old_links_[options[n].which]);
    break;
  case up:
    deliver_up(*old_links_[options[n].which]);
    break;
  case notice:
    if (w_.chance.chance(100)) {
      w_.trace("node " + std::to_string(old_links_[options[n].which]->to) + " notices that the engine is gone");
      break_link(*old_links_[options[n].which]);
    }
    break;
  case again:
    if (w_.chance.chance(100))
      restart();
    break;
  }
  return true;
}

void simulator::run_job(std::size_t i) {
  auto& jobs = sched_.jobs;
  std::rotate(jobs.begin(), jobs.begin() + static_cast<std::ptrdiff_t>(i), jobs.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  if (w_.tracing)
    if (auto* a = dynamic_cast<caf::scheduled_actor*>(jobs.front())) {
      auto* m = a->mailbox().peek();
      w_.trace(std::string(a->name()) + " " + std::to_string(a->id())
               + (m == nullptr ? "" : " <- " + caf::to_string(m->content()).substr(0, 160)));
    }
  sched_.run_once();
}

void simulator::maybe_die() {
  auto& d = w_.chance;
  auto& p = w_.what;
  if (engine_ && p.crashes > 0 && d.chance(p.crash_permille))
    return crash();
  if (!node_died_ && !nodes_.empty() && d.chance(p.node_death_permille)) {
    node_died_ = true;
    kill_node(1 + d.below(nodes_.size()));
  }
  if (!cancelled_ && engine_ && engine_->boss && d.chance(p.cancel_permille)) {
    cancelled_ = true;
    w_.trace("the user cancels");
    caf::anon_send(engine_->boss, cancel_task{"the user had enough"});
  }
  if (engine_ && w_.engines > 1 && d.chance(p.stale_permille))
    send_stale();
}

} // namespace conclave::sim
