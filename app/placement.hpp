// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where the agents of a task are to live.

#include "actors/orchestrator.hpp"
#include "transports/outside.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave {

/// Finds the node behind HOST:PORT, or a null handle and why.
using node_finder = std::function<node_actor(const std::string& address, std::string& error)>;

/// Finds the nodes that have an agent, side by side, and returns the agents in their order. Waits for the slowest (`find` has a
/// limit of its own). An agent whose node was not found has a null handle and the reason. Any thread.
std::vector<placed_agent> place_agents(const run_config& config, const node_actor& local, const node_finder& find, outside& from);

} // namespace conclave
