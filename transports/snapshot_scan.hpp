// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the last scan of a folder saw, in the order in which a scan goes, so that neither is held in memory: the next one walks
/// beside it. Private to transports/snapshot_*. One thread.

#include "transports/snapshot_disk.hpp"

#include <cstdio>
#include <memory>
#include <string>

namespace conclave::snapshots {

/// A file as a scan saw it.
struct seen {
  std::uint64_t inode = 0, size = 0;
  moment modified = 0, changed = 0;
  wire::digest hash{};
};

/// Reads the last scan and writes the next one.
class scan {
public:
  /// `begun`: when the scan began, by the disk's clock. A scan of another folder, or whose snapshot `is_held` denies, says nothing.
  template <class F>
  void open(const std::string& path, const found& root, moment begun, F&& is_held) {
    if (path.empty())
      return;
    begin(path, root, begun);
    if (auto id = last_id(); !id.empty() && !is_held(id))
      forget();
  }

  /// The hash of a file that is as the last scan saw it; null if that is not sure. Paths come in the order of the scan.
  const wire::digest* unchanged(const std::string& path, const found& now);

  /// Notes a file for the next scan, unless it is so young that it might change without anybody seeing that.
  void note(const std::string& path, const found& now, const wire::digest& hash);

  /// Makes the new scan the last one. Costs a new read of all files if it fails, so nothing is said.
  void keep(const std::string& id);

  ~scan();

private:
  using file = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  void begin(const std::string& path, const found& root, moment begun);
  std::string last_id();
  bool advance();
  void forget();

  std::string path_;
  found root_;
  moment begun_ = 0;
  file old_{nullptr, &std::fclose}, new_{nullptr, &std::fclose};
  std::string at_, written_; ///< the paths last read and written
  seen now_, noted_;         ///< what it said of them
  bool any_ = false;
};

} // namespace conclave::snapshots
