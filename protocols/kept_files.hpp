// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The files that go with what a run hands in. Plain data.

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// A folder of the user's as an agent wants it to be.
struct folder_change {
  std::string folder;        ///< absolute
  std::string before, after; ///< snapshots
  std::int64_t files = 0;    ///< that differ
  std::string commit = {};   ///< of the folder's git repository, that HEAD was at when `before` was taken; empty = none
  bool operator==(const folder_change&) const = default;
};

/// The files that go with a verdict.
struct kept_files {
  std::string snapshot;               ///< of the workspace; empty = none
  std::int64_t files = 0, bytes = 0;  ///< that were made or changed: copies of the user's that are as they were do not count
  std::string why;                    ///< they could not be kept; empty = they were, or there is no workspace
  bool mend = false;                  ///< the answer is not taken until they can be: `why` tells the model what to do
  std::vector<folder_change> changes; ///< that they make: of a presentation, and of what agents may change from the start
  std::string left = {};              ///< what was made and goes nowhere, for people; one line, empty = nothing
  bool operator==(const kept_files&) const = default;
};

} // namespace conclave
