// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include "transports/sandbox_launcher/descendants.hpp"

#include <cstdint>
#include <vector>

namespace conclave::launcher {

/// What is looked for with all that descends from a process.
struct look {
  int pid = 0;
  bool count = false, files = false; ///< memory and processes; files without a name
  usage_of_tree used;                ///< if counted
  held_files held;                   ///< if looked for
};

/// Performs it here and now.
void perform(look& l, std::int64_t memory_limit);

/// Performs looks in a process beside this one: to read the maps of a process that breeds can take longer than a command may run,
/// and who ends commands in time must not wait for it.
class looker {
public:
  looker() = default;
  ~looker();
  looker(const looker&) = delete;
  looker& operator=(const looker&) = delete;

  /// Asks for looks, `max_looks` at most. Does nothing while an answer is awaited.
  void ask(const std::vector<look>& what, std::int64_t memory_limit);

  /// Readable once there is an answer; -1 = none is awaited.
  int awaited() const { return asked_ ? socket_ : -1; }

  /// The answer. Empty if the process has ended; the next question starts another.
  std::vector<look> take();

  /// The process, which is not to be ended with the commands; 0 = none.
  int pid() const { return pid_; }

  static constexpr std::size_t max_looks = 16;

private:
  bool start(std::int64_t memory_limit);
  void drop();

  int socket_ = -1, pid_ = 0;
  bool asked_ = false;
};

} // namespace conclave::launcher
