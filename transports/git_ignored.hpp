// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What git does not look at in a folder of the user's: what a build left, what packages were fetched. By libgit2; nothing is run.
/// Blocks on the disk; a value may be used by one thread at a time.

#include <memory>
#include <string>

namespace conclave::git {

class ignored_paths {
public:
  /// The rules of the repository that a folder is in, at its top or below. Null if it is in none, or in one that cannot be read or
  /// that ignores the folder itself: then nothing is left out on its account.
  static std::unique_ptr<ignored_paths> of(const std::string& folder);

  /// Whether git neither tracks a path (relative to the folder) nor wants to. A folder with something tracked in it is not
  /// ignored, nor is what lies in a submodule, which has rules of its own. It need not be there.
  bool holds(const std::string& path, bool is_folder) const;

  ~ignored_paths();
  ignored_paths(const ignored_paths&) = delete;
  ignored_paths& operator=(const ignored_paths&) = delete;

private:
  struct impl;
  explicit ignored_paths(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

} // namespace conclave::git
