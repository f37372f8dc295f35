// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The folder a task was started in, which its relative paths count from wherever one goes on with it. Of agents in the process of
/// the engine; those on nodes count from the folder of their node.

#include "protocols/config_expand.hpp"
#include "protocols/opening.hpp"

#include <string>

namespace conclave {

/// Returns the working folder of this process (absolute) if something of these agents depends on it: a tool server that is not
/// confined to a workspace, a relative path of authorities or of a local model. Else an empty text.
std::string folder_of_start(const opening& o);

/// Returns the task's agents with their relative paths counted from the folder it was started in: tool servers begin there. One
/// that stored no folder is as it was.
std::vector<agent_config> agents_at_start(const opening& o);

/// Returns what the agent of this number needs that is missing on this machine now, in words, or empty: the folder of the start,
/// variables of its tool servers. `env` finds variables.
std::string lack_of_tools(const opening& o, std::size_t agent, const lookup& env);

} // namespace conclave
