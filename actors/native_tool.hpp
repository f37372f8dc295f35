// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tool written in C++ as a tool source: its function runs on a lane of the outside, a thread of its own, so it may block; a call
/// past its deadline is answered with an error result while the function finishes in the background. It holds up nothing, not even
/// the end of the actor system: a function that is still at work then returns into the void.

#include "actors/parts.hpp"

namespace conclave {
tool_source_actor spawn_native_tool(caf::actor_system& sys, std::shared_ptr<outside> from, listed_tool tool,
                                    std::function<std::string(const std::string&)> run);
} // namespace conclave
