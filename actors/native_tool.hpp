// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool written in C++ as a tool source: its function runs on a lane of the outside, a thread of its own, so it may block; a call
/// past its deadline is answered with an error result while the function finishes in the background. It holds up nothing, not even
/// the end of the actor system: a function that is still at work then returns into the void.

#include "actors/parts.hpp"
#include "actors/workspace_use.hpp"

namespace conclave {

using native_function = std::function<std::string(const std::string& arguments)>;
using native_file_function = std::function<std::string(const std::string& arguments, workspace_handle files)>;

tool_source_actor spawn_native_tool(caf::actor_system& sys, std::shared_ptr<outside> from, listed_tool tool, native_function run);

/// `files`: the workspace of the agent whose tool this is; none = it has none. The handle of a tool that is read-only writes
/// nothing.
tool_source_actor spawn_native_tool(caf::actor_system& sys, std::shared_ptr<outside> from, listed_tool tool,
                                    native_file_function run, file_user_actor files);

} // namespace conclave
