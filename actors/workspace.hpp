// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// An agent's files and commands on its node, for one task. Event-based: the disk is used on a lane, whose threads all workspaces
/// of a node share, so that a cancel is heard at once; commands run in a sandbox (transports/sandbox.hpp). What it offers:
/// docs/workspaces.md.

#include "actors/parts.hpp"
#include "actors/workspace_servers.hpp"
#include "actors/workspace_use.hpp"
#include "transports/file_tools.hpp"
#include "transports/sandbox.hpp"
#include "transports/snapshot_types.hpp"

#include <caf/actor_system.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace conclave {

struct workspace_parts {
  std::shared_ptr<conclave::outside> outside;
  std::shared_ptr<lane_group> lanes; ///< for its disk
  std::string home;                  ///< where this process keeps workspaces and snapshots; readable to no agent
  std::string place;                 ///< the agent's own folder below it (protocols/workspace_paths.hpp)
  std::string task;
  std::uint32_t number = 0;               ///< of the agent
  workspace_config config;                ///< variables expanded
  std::map<std::string, std::string> env; ///< of its commands, beside what the sandbox sets
  std::vector<std::string> replaced;      ///< servers of the user's that stand for ours: filesystem, workspace_tools, command_line
  bool has_allowed_tools = false;         ///< as of tool servers
  std::vector<std::string> allowed_tools = {}, exclude_tools = {};
  std::optional<sandbox_tier> tier;           ///< how commands and servers are confined; none = they cannot be, and none is run
  bool confines = false;                      ///< there are commands, or tool servers that run confined
  std::string announce;                       ///< what a person is to know of that; empty = nothing
  std::string launcher;                       ///< path of conclave-sandbox
  std::function<void(std::string)> tell = {}; ///< what a person should know; any thread
  snapshots::bounds limits = {};              ///< of its folders; looked at before what fills them, and while commands run
  std::chrono::milliseconds file_time = file_tool_bounds{}.time; ///< of one call of a file tool, once it has begun
};

workspace_actor spawn_workspace(caf::actor_system& sys, workspace_parts parts);

/// The same actor, for the tool servers of its agent.
wall_actor walls_of(const workspace_actor& w);

/// The same actor, for tools of the host's; none = none.
file_user_actor files_of(const workspace_actor& w);

} // namespace conclave
