// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Boost.Process, and what it leaves to an initializer. Internal to transports/; reasons: docs/decisions/0006-boost-process.md.

#include "transports/child_command.hpp"
#include "transports/child_reactor.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

namespace conclave {

/// A child, by our ends of its pipes on the reactor: all close-on-exec and non-blocking.
struct launched_child {
  using stream = boost::asio::posix::stream_descriptor;
  explicit launched_child(child_reactor& r) : end(r.io()), in(r.io()), out(r.io()), err(r.io()) {}

  int pid = 0;         ///< also its group
  stream end;          ///< readable once the child has ended (a pidfd)
  stream in, out, err; ///< its stdin, stdout and stderr
};

/// `dependent`: ended with us, in a group of its own. `keeper`: outlives us, in a session of its own.
enum class child_bond : std::uint8_t { dependent, keeper };

/// Starts the program. Returns once the program runs, or why it does not. Call it on the reactor thread only.
std::string launch_child(const child_command& command, child_bond bond, launched_child& child);

/// Opens /dev/null, until its number is above 2: a host may run with stdin, stdout or stderr closed, and an end of a pipe with such
/// a number would be overwritten by the dup2 of another. Throws what the system says against it.
std::vector<unique_fd> open_null();

/// Executes the program of a command with these as its stdin, stdout and stderr. Returns its pid, which is also its group; throws
/// what the system says against it.
int execute_child(const child_command& command, const std::string& program, child_bond bond, int in, int out, int err);

} // namespace conclave
