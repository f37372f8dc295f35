// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Boost.Process, and what it leaves to an initializer. Internal to transports/; reasons: docs/decisions/0006-boost-process.md.

#include "transports/child_process.hpp"
#include "transports/child_reactor.hpp"

namespace conclave {

/// A child with our ends of its pipes, all close-on-exec. `pid` is also its group.
struct launched_child {
  int pid = 0;         ///< 0 = it does not run
  unique_fd end{};     ///< readable once the child has ended (a pidfd)
  unique_fd in{};      ///< its stdin
  unique_fd out{};     ///< its stdout
  unique_fd err{};     ///< its stderr
  std::string error{}; ///< why pid is 0
};

/// `dependent`: ended with us, in a group of its own. `keeper`: outlives us, in a session of its own.
enum class child_bond : std::uint8_t { dependent, keeper };

/// Starts `options.argv`; returns once the program runs or could not be run. Call it on the reactor thread only.
launched_child launch_child(const child_options& options, child_bond bond);

} // namespace conclave
