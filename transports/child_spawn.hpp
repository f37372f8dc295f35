// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// fork and exec, done by hand. Internal to transports/; why not a library: docs/decisions/0002-child-processes.md.

#include "transports/child_process.hpp"
#include "transports/child_reactor.hpp"

#include <string>

namespace conclave {

/// A forked child with the parent's ends of its pipes, all non-blocking and close-on-exec.
struct spawned_child {
  int pid = 0;       ///< also its process group; 0 = it could not be forked
  unique_fd pidfd;   ///< readable once the child has ended
  unique_fd in;      ///< its stdin
  unique_fd out;     ///< its stdout
  unique_fd err;     ///< its stderr; closed if that goes to /dev/null
  unique_fd failure; ///< holds a spawn_failure if exec did not happen; empty at end of file if it did
  std::string error; ///< why pid is 0
};

/// What a child that could not become its program sends before it ends.
struct spawn_failure {
  int stage = 0; ///< 1 = working directory, 2 = exec
  int code = 0;  ///< errno
};

/// Forks and starts `options.argv`. Call it on the reactor thread only.
spawned_child spawn_child(const child_options& options);

} // namespace conclave
