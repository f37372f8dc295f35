// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace conclave::launcher {

/// The control groups of one run: a limit on processes and one on memory, where this user may make them. A sweeper, a process of
/// its own that is there before them, removes them when the launcher has ended, in whatever way and whenever.
class cgroup {
public:
  /// Makes what can be made; without the right to, nothing.
  void make(std::int64_t processes, std::int64_t memory);

  /// Puts a process, and what it starts from now on, into them.
  std::string take_in(int pid) const;

  bool limits_processes() const { return processes_; }
  bool limits_memory() const { return memory_; }

  /// The sweeper, which is not to be ended with the commands; 0 = none.
  int sweeper() const { return sweeper_; }

  /// Returns whether the kernel ended a process for want of memory since the last call.
  bool ran_out_of_memory();

private:
  bool start_sweeper(std::vector<std::string> folders);

  std::vector<std::string> folders_;
  std::string memory_folder_;
  bool processes_ = false, memory_ = false;
  std::int64_t killed_ = 0;
  int sweeper_ = 0;
};

} // namespace conclave::launcher
