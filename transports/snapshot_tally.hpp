// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a scan came to so far, by the bounds of a snapshot, and what of it is large. Private to transports/snapshot_*. One thread.

#include "transports/snapshot_types.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace conclave::snapshots {

class tally {
public:
  explicit tally(const bounds& limits) : limits_(limits) {}

  /// One more file, link or folder.
  void another();
  /// A folder in more folders than may be.
  void too_deep(const std::string& path);
  /// All files together, so far.
  void holds(std::uint64_t bytes);

  /// For too_much(): a file, or all that one name in the root stands for.
  void remember_file(sized file) { remember(large_files_, std::move(file)); }
  void remember_part(sized part) { remember(large_parts_, std::move(part)); }

  bool over() const { return over_; }      ///< it is more than may be
  bool enough() const { return stopped_; } ///< so much more that nothing else need be counted

  /// Which bound, and what is large. `bytes`: of all files.
  failure too_much(const std::string& folder, std::uint64_t bytes) const;

private:
  void remember(std::vector<sized>& all, sized s) const;

  const bounds& limits_;
  std::uint64_t count_ = 0;
  bool over_ = false, stopped_ = false;
  std::string too_deep_;
  std::vector<sized> large_parts_, large_files_;
};

} // namespace conclave::snapshots
