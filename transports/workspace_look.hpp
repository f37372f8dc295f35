// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Looking through the folders of a workspace. Blocks on the disk.

#include "transports/snapshot_store.hpp"

#include <filesystem>
#include <string>

namespace conclave::workspace_look {

inline constexpr std::size_t max_looked_at = 200'000; ///< entries of one folder
inline constexpr int max_depth = 64;

/// Calls `f(path, type)` for everything below, links not followed, until it returns false for a folder: what is in that is
/// left out. Returns false if that is too much.
template <class F>
bool look_through(const std::string& folder, F f) {
  namespace fs = std::filesystem;
  std::error_code e;
  std::size_t seen = 0;
  fs::recursive_directory_iterator at{folder, fs::directory_options::skip_permission_denied, e}, end;
  for (; !e && at != end; at.increment(e)) {
    if (++seen > max_looked_at || at.depth() > max_depth)
      return false;
    std::error_code ignored;
    auto type = at->symlink_status(ignored).type();
    if (!f(at->path().string(), type) && type == fs::file_type::directory)
      at.disable_recursion_pending();
  }
  return !e;
}

/// Deletes what a process that was killed while it wrote left beside the files: its temporary names
/// (transports/confined_dir_write.cpp, file_tools_copy.cpp). Only while nobody else writes there.
void sweep(const std::string& folder, snapshots::cancel_flag cancel);

} // namespace conclave::workspace_look
