// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Absolute canonical paths: what lies below what. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace conclave::launcher {

/// Returns whether `path` is `folder` or below it.
inline bool is_within(std::string_view path, std::string_view folder) {
  return folder == "/" || (path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/'));
}

/// The longest of `folders` that holds `path`; empty if none does.
inline std::string innermost(const std::vector<std::string>& folders, std::string_view path) {
  std::string best;
  for (const auto& f : folders)
    if (f.size() > best.size() && is_within(path, f))
      best = f;
  return best;
}

} // namespace conclave::launcher
