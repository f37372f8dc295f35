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

  /// A process that writes "0" to each of these descriptors puts itself, and what it starts from now on, into them. To put itself
  /// there costs 0.1 ms; for another the kernel waits until no process is just forking anywhere, 10 ms.
  const std::vector<int>& entries() const { return entries_; }

  /// Whether there are any without such an entry (version 2): a process is put there by take_in().
  bool takes_in() const { return !without_entry_.empty(); }
  std::string take_in(int pid) const;

  bool limits_processes() const { return processes_; }
  bool limits_memory() const { return memory_; }

  /// The sweeper, which is not to be ended with the commands; 0 = none.
  int sweeper() const { return sweeper_; }

  /// Returns whether the kernel ended a process for want of memory since the last call.
  bool ran_out_of_memory();

private:
  bool start_sweeper(std::vector<std::string> folders);

  void open_entry(const std::string& folder);

  std::vector<std::string> folders_, without_entry_;
  std::vector<int> entries_;
  std::string memory_folder_;
  bool processes_ = false, memory_ = false;
  std::int64_t killed_ = 0;
  int sweeper_ = 0;
};

} // namespace conclave::launcher
