// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one reader of a task on behalf of its host: calls back on a thread of its own, so a slow or blocking host delays nobody and
/// is never cancelled. Chunks that wait for it are bounded (1 MiB): newer ones are left out then, and a status chunk says how much.
/// What on_event or on_chunk throws takes nobody down; the outcome has a warning then. Ends itself after on_done.

#include "protocols/interfaces.hpp"

#include <caf/actor_system.hpp>

#include <functional>

namespace conclave {

struct host_callbacks {
  std::function<void(const event&)> on_event;
  std::function<void(const chunk_batch&)> on_chunk;
  std::function<void(outcome)> on_done; ///< once; after every event of the task
};

/// Takes the outcome too; everything that was sent before it is seen first.
using host_sink_actor = event_sink_actor::extend<caf::reacts_to<outcome>>;

host_sink_actor spawn_host_sink(caf::actor_system& sys, host_callbacks callbacks);

/// What other nodes get to see of `sink`: hands on chunks, refuses what a node sends beyond 16 MiB without waiting for
/// acknowledgements, takes no events, and ends with the sink. CAF's network broker keeps a message that arrives
/// while the system goes down, and with it the actor that sent it; a detached one like `sink` would be waited for, for ever.
event_sink_actor spawn_chunk_gate(caf::actor_system& sys, event_sink_actor sink);

} // namespace conclave
