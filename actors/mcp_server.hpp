// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool source speaking MCP over a channel: initialize, tools/list (paged), tools/call, cancelled notifications; restarts its
/// channel on the next use after a loss, but not after a flood. Ends its server when it ends.

#include "actors/known_secrets.hpp"
#include "actors/parts.hpp"
#include "actors/workspace_servers.hpp"
#include "protocols/config_expand.hpp"

namespace conclave {

/// Given a sentence for the user now and then while the server is slow to start, when it tells how far a call is, or where no call
/// fails of its end; and one for the log of a node if it was ended for good (`lost`). Called by the actor; must not block.
using mcp_teller = std::function<void(std::string, bool lost)>;

/// Its server is a child of `from`. `config` has its variables unexpanded; `env` expands them. `stderr_path` may be empty. With
/// each change of the list `version` is another: the server says so, or lists other tools after it was started anew. The new list
/// is read when it is asked for, so a server that says so without end is not asked any oftener. `known`: what nobody may read in
/// the file of its stderr, nor in what is told, beside what the server itself was told. `walls`: who says how it is confined; null
/// = it is not.
tool_source_actor spawn_mcp_server(caf::actor_system& sys, std::shared_ptr<outside> from, mcp_server_config config, lookup env,
                                   std::string stderr_path, bool has_allowed, std::vector<std::string> allowed,
                                   std::vector<std::string> excluded, mcp_teller tell = {}, list_version version = {},
                                   std::shared_ptr<const known_secrets> known = {}, wall_actor walls = {});

} // namespace conclave
