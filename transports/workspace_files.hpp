// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a context path names: a folder, or a file alone, which is copied as one of its folder. Private to transports/workspace_*.

#include <filesystem>
#include <string>
#include <system_error>

namespace conclave::workspace_files {

/// Whether a file is there, links followed.
inline bool is_file(const std::string& path) {
  std::error_code e;
  return std::filesystem::is_regular_file(path, e);
}

/// Empty for what lies in "/", which nothing is copied from.
inline std::string parent(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

inline std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

} // namespace conclave::workspace_files
