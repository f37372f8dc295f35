// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// CAF derives a node's identity from hardware addresses, the file system and the process id: two containers with pid 1 would take
/// each other for themselves. This overrides its process id by a random number. In executables only: a library must not decide
/// that.

#include "transports/outside.hpp"

namespace caf::detail {

__attribute__((visibility("default"))) unsigned get_process_id() {
  static const unsigned id = conclave::outside::of_machine()->seed("process") | 1u; // never 0
  return id;
}

} // namespace caf::detail
