// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How much folders hold, by the bounds of a snapshot (transports/snapshot_types.hpp), while others write in them. Blocks on the
/// disk: for a worker thread.

#include "transports/snapshot_types.hpp"

#include <string>
#include <vector>

namespace conclave::snapshots {

struct amount {
  std::uint64_t bytes = 0; ///< of the files of all folders, as their sizes say
  std::uint64_t files = 0; ///< everything with a name
  unsigned depth = 0;      ///< folders in folders, of the deepest
  bool whole = true;       ///< false: the count was given up, there is more
  std::string over;        ///< which bound a folder is beyond, one sentence without its full stop; empty = none

  /// More of anything than there was, or too much to be sure.
  bool grown_from(const amount& before) const {
    return !whole || bytes > before.bytes || files > before.files || depth > before.depth;
  }
};

/// Counts what is below each folder, and looks whether the disk of the first keeps `limits.keep_free`. Each folder may hold what
/// `limits` says; of one that holds four times as many files no more is counted. One that is not there holds nothing. No link is
/// followed, no mount point crossed; a folder that its owner closed is opened for the owner.
amount measure(const std::vector<std::string>& folders, const bounds& limits, cancel_flag cancel = nullptr);

} // namespace conclave::snapshots
