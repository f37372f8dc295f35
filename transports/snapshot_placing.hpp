// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A folder that is filled beside its place and gets there by one rename. Private to transports/snapshot_*.

#include "transports/snapshot_objects.hpp"

#include <optional>
#include <string>

namespace conclave::snapshots {

/// Goes with what it made, unless that got to its place.
class placing {
public:
  placing() = default;
  ~placing();
  placing(const placing&) = delete;
  placing& operator=(const placing&) = delete;

  /// Makes "`folder`.XXXXXX". `noted`: where nobody else would delete it, the store notes it first, in placing/XXXXXX: the path and
  /// a NUL, then, once it is there, its device and inode. The store is to be locked as long as this lives.
  std::optional<failure> begin(const objects& kept, const std::string& folder, bool noted);
  int folder() const { return fd_.get(); }
  /// Gives it its place. Returns 0 or errno.
  int finish(const std::string& folder);

private:
  std::optional<failure> note(const objects& kept, const std::string& folder);

  std::string path_, note_;
  descriptor fd_, notes_;
};

} // namespace conclave::snapshots
