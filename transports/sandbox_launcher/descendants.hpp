// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <cstdint>
#include <vector>

namespace conclave::launcher {

/// All that descend from a process and live, parents first. From /proc.
std::vector<int> descendants_of(int root);

struct usage_of_tree {
  std::int64_t memory = 0; ///< bytes that are resident
  int processes = 0;
};

/// What the descendants of a process use together.
usage_of_tree measure(int root);

} // namespace conclave::launcher
