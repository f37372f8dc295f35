// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include "protocols/path_policy.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace conclave::git {

/// Judges paths that are to be written below a folder of the user's. Git takes any folder with a HEAD, objects and references for a
/// repository, whatever its name, and whoever runs git in it or below executes what its settings and hooks name. So nothing makes
/// such a folder, and nothing is written into one. Looks at the disk, follows links as git does. One thread.
class repository_folders {
public:
  explicit repository_folders(std::string root) : root_(std::move(root)) {}

  /// `path`: relative to the folder. Returns why it may not be written or removed, or empty.
  std::string judge(const std::string& path, bool removes);

  /// Whether the folder itself lies in what git takes for a repository: then nothing is written in it at all.
  static bool lies_in_repository(const std::string& folder);

private:
  struct kind {
    bool head = false, repository = false;
  };
  const kind& look(const std::string& folder);

  std::string root_;
  std::optional<bool> inside_;        ///< whether the root lies in one
  std::map<std::string, kind> known_; ///< by the folder's path from the root
};

/// Whether git takes this folder for a repository by itself.
bool is_repository(const std::string& folder);

/// As path_policy::judge(), and where a folder of the user's is written in place, by the rule above, too. What it denies goes with
/// what is never written.
path_policy::verdict judge(const path_policy::rules& r, std::string_view path, path_policy::access what);

} // namespace conclave::git
