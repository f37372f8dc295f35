// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <cstdint>
#include <vector>

namespace conclave::launcher {

/// All that descend from a process and live, parents first. From /proc.
std::vector<int> descendants_of(int root);

/// The parent of a process or thread; 0 = there is none of this number.
int parent_of(int pid);

struct usage_of_tree {
  std::int64_t memory = 0; ///< bytes that are resident
  int processes = 0;
};

/// What the descendants of a process use together. Pages that several share are told apart only where all of them counted would be
/// more than `memory_limit`: the kernel walks the whole memory of each process for that.
usage_of_tree measure(int root, std::int64_t memory_limit);

/// Bytes of files without a name that the descendants of a process hold open, each once. One that lets nobody look is not seen.
struct held_files {
  std::int64_t memory = 0; ///< of memfd_create and the like
  std::int64_t disk = 0;   ///< deleted, or made without a name
};
held_files measure_files(int root);

} // namespace conclave::launcher
