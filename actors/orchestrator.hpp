// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The owner of one task: feeds commands to the ledger, persists the events, releases effects and events in order once they are
/// durable, and reconciles what is (runs, timers) with what the ledger wants. Asks nobody where an agent lives.

#include "protocols/interfaces.hpp"
#include "protocols/ledger.hpp"

#include <caf/actor_system.hpp>

#include <string>
#include <vector>

namespace conclave {

/// Where an agent is to live. A null handle = its node could not be reached (`reason`): the agent is out at once.
struct placed_agent {
  agent_config config;
  node_actor node;
  std::string node_name; ///< for events and errors; "local" = this process
  std::string reason;
};

struct orchestrator_parts {
  std::string task;
  std::uint64_t fence = 1;
  ledger::rules rules;
  std::string opening; ///< what the log begins with (protocols/opening.hpp), as JSON text; empty = nothing
  std::vector<placed_agent> agents;
  recorder_actor recorder;
  std::vector<event_sink_actor> sinks; ///< get every durable event
  event_sink_actor chunks;             ///< gets the chunks of all agents
};

orchestrator_actor spawn_orchestrator(caf::actor_system& sys, orchestrator_parts parts);

} // namespace conclave
