// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One seed from its question to its end: which actor runs next, when the disk and the network move, when time passes, who dies.

#include "actors/orchestrator.hpp"
#include "actors/resumer.hpp"
#include "sim/link.hpp"
#include "sim/store.hpp"
#include "support/simulated_outside.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <memory>
#include <string>
#include <vector>

namespace conclave::sim {

struct config : caf::actor_system_config {
  config();
};

/// An engine of the task, as its process holds it.
struct engine {
  process_ptr process;
  std::shared_ptr<test::simulated_outside> outside;
  std::shared_ptr<sim::store> store;
  node_actor local;
  event_sink_actor sink;
  recorder_actor recorder;
  orchestrator_actor boss;
  caf::actor resumer;
  std::vector<link_ptr> links;
  std::uint64_t told = 0; ///< events the host was told of
  bool ended = false;     ///< with `result`
  outcome result;
  std::uint64_t checked = 0; ///< seq at which the orchestrator's view was checked last
};

class simulator {
public:
  simulator(std::uint64_t seed, bool tracing);
  ~simulator();

  /// Returns the finding, or empty.
  std::string run();

private:
  struct far_node {
    process_ptr process;
    std::shared_ptr<test::simulated_outside> outside;
    node_actor node;
  };

  void step();
  bool choose(); ///< lets something run that can; false = nothing can
  void run_job(std::size_t i);
  void pass_time();
  void maybe_die();

  void begin_engine(); ///< a new process with the engine in it
  void ask();          ///< a new task
  void resume();
  void spawn_boss(orchestrator_parts parts, question q);
  std::vector<placed_agent> place(const std::vector<agent_config>& agents);
  std::shared_ptr<test::simulated_outside> make_outside(int process); ///< of a process; its random numbers come from the seed
  void start_node(std::size_t i);
  void end_engine();
  void crash();
  void restart();
  void kill_node(std::size_t i);
  void send_stale();
  void check_view();
  void check_idle();
  void wind_down();

  config config_;
  caf::actor_system sys_;
  caf::scheduler::test_coordinator& sched_;
  caf::actor_clock::time_point start_;
  caf::actor_clock::time_point idle_since_; ///< when there was last nothing to do but to let time pass
  std::size_t at_rest_ = 0;                 ///< actors of the system itself
  world w_;
  disk disk_;
  std::vector<far_node> nodes_;
  std::unique_ptr<engine> engine_;                   ///< none = it died and is to be started again
  std::vector<std::unique_ptr<engine>> old_engines_; ///< dead; late actors still know them
  std::vector<link_ptr> old_links_;
  bool node_died_ = false, cancelled_ = false, over_ = false;
  int tasks_ = 0;
};

} // namespace conclave::sim
