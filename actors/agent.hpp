// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One member of the team on its node: model call, tool calls, again, until a verdict or the limit. Never blocks. Owned by the
/// node, which monitors it and ends it; owns nothing: backend and tools belong to the node.

#include "actors/parts.hpp"

#include <caf/actor_system.hpp>

namespace conclave {
agent_actor spawn_agent_actor(caf::actor_system& sys, agent_parts parts);
} // namespace conclave
