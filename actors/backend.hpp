// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One provider connection = dialect + HTTP, shared by the agents of a node that reach it the same way
/// (docs/protocol.md 8.4). Never retries: the breaker in front of it does.

#include "actors/parts.hpp"
#include "actors/provider_gate.hpp"

#include <caf/actor_system.hpp>

namespace conclave {

/// `gate`: is told what the heads of replies say of rate limits; none = nobody is.
backend_actor spawn_backend(caf::actor_system& sys, backend_parts parts, provider_gate_actor gate = {});

/// A backend whose endpoint is a local model server that is acquired from `from` first; calls wait for it (progress goes to the
/// sink).
backend_actor spawn_local_backend(caf::actor_system& sys, backend_parts parts, local_model_options options,
                                  std::shared_ptr<outside> from);

/// Plays a script: one step per model call. A missing step fails the call, unused ones are told at the end (`leftover`). One per
/// agent. `played`: replies it has given before, of a task that goes on after a crash.
backend_actor spawn_scripted_backend(caf::actor_system& sys, std::vector<script_step> steps, std::string decision,
                                     std::uint64_t played = 0);

} // namespace conclave
