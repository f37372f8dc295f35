// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an agent works with, played: a model connection and tools. What one of them did stays done, whatever dies afterwards.

#include "actors/parts.hpp"
#include "sim/world.hpp"

namespace conclave::sim {

/// A model that says what the seed says.
model_factory models_of(world& w, process_ptr p);

/// What they say of themselves: look is read-only, put idempotent, stamp neither: it has an effect outside that must not be
/// repeated.
std::map<std::string, tool_factory> tools_of(world& w, process_ptr p);

} // namespace conclave::sim
