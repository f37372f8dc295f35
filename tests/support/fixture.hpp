// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A deterministic actor system with our message types. Never `run()` while an actor ticks: use consume_messages() and
/// advance_time().

#include "actors/message_types.hpp"
#include "caf/test/dsl.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

namespace conclave::test {

struct config : caf::actor_system_config {
  config() { add_messages(*this); }
};

/// For tests with threads and time of their own.
struct threads_config : config {
  threads_config() { set("scheduler.policy", caf::atom("sharing")); }
};

struct fixture : test_coordinator_fixture<config> {
  /// Delivers everything that can be delivered now; timers stay where they are.
  void settle() {
    while (consume_message()) {
    }
  }

  template <class Handle>
  void kill(Handle& h) {
    if (!h)
      return;
    caf::anon_send_exit(h, caf::exit_reason::user_shutdown);
    h = nullptr;
    settle();
  }
};

} // namespace conclave::test
