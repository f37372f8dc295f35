// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The owner of one task: feeds commands to the ledger, persists the events, releases effects and events in order once they are
/// durable, and reconciles what is (runs, timers) with what the ledger wants. Asks nobody where an agent lives.

#include "protocols/cost.hpp"
#include "protocols/interfaces.hpp"
#include "protocols/ledger.hpp"
#include "protocols/run_state.hpp"
#include "transports/outside.hpp"

#include <caf/actor_system.hpp>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

/// Where an agent is to live. A null handle = its node could not be reached (`reason`): the agent is out at once.
struct placed_agent {
  agent_config config;
  node_actor node;
  std::string node_name; ///< for events and errors; "local" = this process
  std::string reason;
};

/// What a log may hold, over all its owners. At the bounds of the whole log its task ends as by a deadline; an agent that sends a
/// larger body is out.
struct log_bounds {
  std::uint64_t events = 100'000;
  std::uint64_t bytes = std::uint64_t{1} << 30; ///< of bodies, and of what the events themselves hold (ledger::stored_bytes)
  std::uint64_t body = run::max_body;
};

/// What an orchestrator goes on from after a crash.
struct revived_task {
  ledger::state log;
  std::uint64_t seq = 0;                                    ///< of the last event
  std::uint64_t stored_bytes = 0;                           ///< that count against the bound, by then
  std::map<std::uint64_t, stored_run> runs;                 ///< unfinished ones by their number
  std::map<std::string, std::uint64_t> played;              ///< by agent: model calls that brought a reply
  std::map<std::string, std::uint32_t> backends;            ///< by agent: which of its backends it goes on with
  std::vector<std::pair<std::string, std::string>> notices; ///< agent, what a person should know
};

struct orchestrator_parts {
  std::string task;
  std::uint64_t fence = 1;
  ledger::rules rules;
  std::string opening; ///< what the log begins with (protocols/opening.hpp), as JSON text; empty = nothing
  std::vector<placed_agent> agents;
  recorder_actor recorder;
  std::vector<event_sink_actor> sinks;   ///< get every durable event
  event_sink_actor chunks;               ///< gets the chunks of all agents
  std::shared_ptr<revived_task> revived; ///< set: the question only says where the outcome goes
  std::string owner;                     ///< of a revived task: who it is now, for people
  std::string on_unknown;                ///< of a revived task, see start_run
  std::uint64_t seed = 0;                ///< of its random numbers, as in the opening; a stream of its own for each fence
  std::vector<attachment> attachments;   ///< what goes with the question, with `data`
  log_bounds bounds;
  std::shared_ptr<conclave::outside> outside = conclave::outside::of_machine();
  price_source price = prices_of({}); ///< what the models of the agents cost
};

orchestrator_actor spawn_orchestrator(caf::actor_system& sys, orchestrator_parts parts);

} // namespace conclave
