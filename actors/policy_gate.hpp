// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool source in front of a tool server of an agent with a workspace: a call whose arguments hold a path that the agent may not
/// use that way does not reach the server. Who judges is the workspace; if that cannot, the call is denied.

#include "actors/workspace_servers.hpp"

#include <caf/actor_system.hpp>

namespace conclave {

/// `guarded` ends with it.
tool_source_actor spawn_policy_gate(caf::actor_system& sys, tool_source_actor guarded, const mcp_server_config& server,
                                    wall_actor judge);

} // namespace conclave
