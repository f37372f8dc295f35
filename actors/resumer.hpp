// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Takes over a task that was cut off: claims it from the store, reads its log and the bodies its unfinished runs stand on, and
/// says what an orchestrator goes on from. An actor, and asynchronous like all of the store, so that whatever interrupts it can be
/// played in a test. Ends by itself once it has called `done`, exactly once.

#include "actors/orchestrator.hpp"
#include "protocols/opening.hpp"
#include "transports/event_store.hpp"

#include <caf/actor_system.hpp>

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace conclave {

struct resumed_task {
  ec code = ec::none; ///< denied: another process works on it (`error` names it); bad_request: it cannot be gone on with
  std::string error;
  std::uint64_t fence = 0;
  conclave::opening opening;
  revived_task from;
  std::vector<event> log; ///< all events so far
};

struct resumer_parts {
  std::string task;
  std::shared_ptr<event_store> store;
  task_owner owner;
  std::vector<event> log; ///< what is known of its log already, from the first event on: only what follows is read
  std::unordered_map<std::string, std::string> bodies; ///< what is known of its bodies, by SHA-256
  std::shared_ptr<const conclave::opening> opening;    ///< what the first event says, where it is known already
  std::function<void(resumed_task)> done;              ///< called in the actor's context
};

caf::actor spawn_resumer(caf::actor_system& sys, resumer_parts parts);

} // namespace conclave
