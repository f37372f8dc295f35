// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a node's log says of its tasks and agents.

#include "actors/node_parts.hpp"

namespace conclave {

/// What a task has cost here so far. Its agents count, each on its own thread.
struct task_cost {
  std::mutex mutex;
  usage use;
  std::uint64_t calls = 0; ///< of models
  std::uint64_t tool_calls = 0;
  std::uint64_t failed = 0;                ///< runs
  std::map<std::string, std::string> lost; ///< by agent: why it lost a tool server, as noted last
};

/// Says that an agent has lost a tool server; not again if several calls, or the server's own end, tell of the same.
void note_lost(const note_taker& keep, task_cost& cost, const std::string& task, const std::string& agent, const std::string& why);

/// Appends what is known of a cost.
void add_cost(note_fields& to, const usage& use, std::uint64_t calls, std::uint64_t tool_calls);

/// The beginning of what is said once an agent is ready, or is not.
node_note ready_note(const spawn_agent& order, const connection_parts& c);

/// Says that it is ready, and what is wrong with it all the same.
void note_ready(const note_taker& keep, node_note ready, const agent_ready& r);

/// Returns who keeps the notes of an agent's runs: one when a run begins (-v), one when it is over, one per lost tool source. A
/// cancelled run is no trouble. `clock` outlives the agent.
std::shared_ptr<run_watcher> watch_runs(note_taker keep, std::shared_ptr<task_cost> cost, const caf::actor_clock& clock);

} // namespace conclave
