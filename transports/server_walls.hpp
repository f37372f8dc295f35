// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool server of an agent with a workspace is started by the launcher of the sandbox, and sees what the agent's commands see. It
/// has the network, and a HOME of its own that no command can write to. Pure but for looking where its program is.

#include "protocols/config.hpp"
#include "transports/sandbox.hpp"

#include <map>
#include <string>
#include <vector>

namespace conclave {

struct server_walls {
  sandbox_profile profile; ///< without its environment; at tier 0 there are no walls
  std::string launcher;    ///< path of conclave-sandbox
  std::string work;        ///< where it starts, unless it has a `cwd`
};

/// Rewrites the command of a server, with its variables expanded, into one that starts it within the walls. `base` is the
/// environment it gets beside its own `env`. `opening` goes to its stdin first (open_mcp_channel). Returns what is wrong, for
/// people, or empty.
std::string confine(mcp_server_config& c, const server_walls& w, std::map<std::string, std::string> base, std::string& opening);

/// Whether a path of this machine (absolute) is one of those that every server sees: programs and libraries of the system.
bool walls_show_always(const std::string& path);

/// What may help a server that ended before it was ready; the end of a sentence.
extern const char* const server_walls_hint;

} // namespace conclave
