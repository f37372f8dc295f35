// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One process that hosts agents: spawns an agent with its backend, breakers and tools (the kind -> actor table); agents whose
/// connections are equal share one (docs/protocol.md 8.4), and one that ends is replaced for the next agent; relays chunks to other
/// nodes; keeps the answer texts of a task; ends a task's agents when its orchestrator is gone.

#include "actors/parts.hpp"

namespace conclave {

node_actor spawn_node(caf::actor_system& sys, node_resources resources);

/// The frozen first handshake: checks versions, hands out the node or a reason. `with`: a node that is ending hands out none; whom
/// it turned away goes to the log.
door_actor spawn_door(caf::actor_system& sys, node_actor node, std::string build, const node_resources& with = {});

} // namespace conclave
