// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include "transports/sandbox_launcher/descendants.hpp"
#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/output.hpp"

namespace conclave::launcher {

/// A command under way.
struct command {
  explicit command(std::size_t limit) : out(limit), err(limit) {}

  std::string id;
  int pidfd = -1, pid = 0;
  int out_fd = -1, err_fd = -1, status_fd = -1, life_fd = -1;
  bounded_output out, err;
  last_word last;
  std::string reason; ///< why it was ended; empty = by itself
  std::int64_t began_ms = 0, deadline_ms = 0, ended_ms = 0;
  bool background = false;
  held_files held;
};

/// Since the machine's start.
std::int64_t now_ms();

/// Closes it if it is open; -1 from then on.
void close_at(int& fd);

/// Reads what is there, `most` bytes at most. Closes at the end.
void drain(int& fd, bounded_output& to, std::size_t most);

/// Of its warden. At tier 2 it is looked up when somebody asks for it first.
int pid_of(command& c);

/// What it wrote since the last time.
void add_output(sandbox_line& line, command& c);

/// Has it ended with all it started: by its warden, which hears of it, or at tier 2 by the kernel with the warden.
void kill_command(command& c, int tier);

} // namespace conclave::launcher
