// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What nodes say to each other. A node publishes a frozen `door` first: hello in, welcome out; never change those two structs.

#include "protocols/config.hpp"

#include <cstdint>
#include <string>

namespace conclave {

inline constexpr std::uint32_t protocol_min = 6;
inline constexpr std::uint32_t protocol_max = 6;

/// Engine -> door. FROZEN.
struct hello {
  std::uint32_t min = protocol_min;
  std::uint32_t max = protocol_max;
  std::string build;
  bool operator==(const hello&) const = default;
};

/// Engine -> node: make this agent ready for this task. Secrets are unexpanded; the node expands them from its own environment.
struct spawn_agent {
  std::string task;
  std::uint64_t fence = 0;
  agent_config agent;
  std::uint32_t number = 0;  ///< "agentN"
  std::uint32_t team = 1;    ///< agents in the task, for sharing a local server's slots
  std::uint64_t played = 0;  ///< model calls of the agent that have ended: a scripted model goes on there
  std::uint32_t backend = 0; ///< which of its backends it goes on with (backend_at)
  std::string place = {};    ///< names its workspace on the disk: 8 hex digits that say nothing of the agent
  bool operator==(const spawn_agent&) const = default;
};

/// Reply to spawn_agent.
struct agent_ready {
  std::string agent;
  std::vector<std::string> tools;    ///< public names offered
  std::vector<std::string> notes;    ///< what degraded (a filter that matches no tool)
  std::vector<tool_trouble> missing; ///< sources that could not list their tools (a tool server that did not start)
  bool operator==(const agent_ready&) const = default;
};

} // namespace conclave
