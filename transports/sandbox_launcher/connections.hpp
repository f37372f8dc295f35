// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// connect() of commands at tier 2, which the filter hands to the warden. A read-only mount keeps nobody from a socket in it, and
/// no rule of the kernel tells the sandbox's own from the host's. So the warden looks where a socket that is named by a path lies,
/// and connects to what it looked at, on the caller's own socket: what the caller may change meanwhile is read once.

#include "transports/sandbox_launcher/launcher.hpp"

#include <cstdint>
#include <linux/seccomp.h>
#include <sys/types.h>
#include <vector>

namespace conclave::launcher {

class connections {
public:
  connections(int listener, const profile& p) : listener_(listener), profile_(p) {}

  /// Performs one, in a child if it may have to wait, and answers it.
  void answer(const seccomp_notif& n);

  /// For each child of the warden that has ended.
  void reaped(pid_t pid, int status);

  /// Ends those whose callers do not wait any more. Returns how many milliseconds later to look again, for poll().
  int look();

private:
  struct waiting {
    pid_t child;
    std::uint64_t id;
    std::uint32_t caller; ///< a thread
  };

  bool is_wanted(std::uint64_t id) const;
  bool reply(std::uint64_t id, int error) const;
  void end_stale(std::uint32_t caller);

  int listener_;
  const profile& profile_;
  std::vector<waiting> waiting_;
  std::uint32_t lost_ = 0; ///< who was interrupted as it was connected, and asks again
};

} // namespace conclave::launcher
