// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool source speaking MCP over a channel: initialize, tools/list (paged), tools/call, cancelled notifications; restarts its
/// channel on the next use after a loss. Ends its server when it ends.

#include "actors/parts.hpp"

namespace conclave {

/// `config` has its variables unexpanded; `env` expands them. `stderr_path` may be empty. `tell` is given a sentence now and then
/// while the server is slow to start; it is called by the actor and must not block.
tool_source_actor spawn_mcp_server(caf::actor_system& sys, mcp_server_config config, lookup env, std::string stderr_path,
                                   bool has_allowed, std::vector<std::string> allowed, std::vector<std::string> excluded,
                                   std::function<void(std::string)> tell = {});

} // namespace conclave
