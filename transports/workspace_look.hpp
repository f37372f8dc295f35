// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Looking through the folders of a workspace. Blocks on the disk.

#include "transports/snapshot_store.hpp"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace conclave::workspace_look {

inline constexpr std::size_t max_looked_at = 1'000'000; ///< entries of one folder

struct looked {
  std::vector<std::string> unseen; ///< folders that were not looked into, or not to their end: a thousand at most
  std::vector<std::string> shut;   ///< folders that we may not list, or not go into
  bool whole() const { return unseen.empty() && shut.empty(); }
};

/// Calls `f(path, type)` for everything below, what lies higher first, links not followed, until it returns false for a folder:
/// what is in that is left out. What goes meanwhile is not there.
looked look_through(const std::string& folder, const std::function<bool(const std::string&, std::filesystem::file_type)>& f,
                    std::size_t most = max_looked_at);

/// Whether what is in a folder that is `shut` can be reached all the same: by who knows its name, or once its owner, who we are,
/// opens it.
bool can_be_reached_into(const std::string& folder);

/// Deletes what a process that was killed while it wrote left beside the files: its temporary names
/// (transports/confined_dir_write.cpp, file_tools_copy.cpp). Only while nobody else writes there.
void sweep(const std::string& folder, snapshots::cancel_flag cancel);

} // namespace conclave::workspace_look
