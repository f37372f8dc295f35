// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Between the streams of a node and an event sink on another: one batch per run is under way at a time, text is merged meanwhile
/// and capped at 64 KiB: older text is dropped, and the next batch says how much.

#include "protocols/interfaces.hpp"

#include <caf/actor_system.hpp>

namespace conclave {
chunk_sink_actor spawn_relay(caf::actor_system& sys, event_sink_actor sink);
} // namespace conclave
