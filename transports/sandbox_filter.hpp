// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <string>

namespace conclave {

/// Which system calls what runs in a sandbox may make. Pure but for the kernel's version; any thread.
struct sandbox_filter {
  bool namespaces = true; ///< tier 2; else tier 1: no sockets, and modes and times of files are handed to the launcher
  int landlock = 0;       ///< the kernel's version of Landlock: before 3 it does not know truncation
  bool internet = false;  ///< tier 1: sockets of the internet are left, and no others

  /// Returns the filter as the kernel takes it (struct sock_filter[]), empty with one sentence in `error`.
  /// Compiled once in a process.
  std::string compile(std::string& error) const;
};

/// Returns the kernel's version of Landlock, 0 if it has none.
int landlock_version();

} // namespace conclave
