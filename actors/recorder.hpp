// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// In front of the event store: one per task, hands on the numbered events and acknowledges them once they are durable, in order.
/// Event-based: the store owns the writing thread.

#include "protocols/interfaces.hpp"

#include <caf/actor_system.hpp>

#include <memory>
#include <string>

namespace conclave {
class event_store;
struct task_owner;
/// `owner` is noted with the first event.
recorder_actor spawn_recorder(caf::actor_system& sys, std::shared_ptr<event_store> store, std::string task, std::uint64_t fence,
                              task_owner owner);
} // namespace conclave
