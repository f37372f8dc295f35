// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private checkouts of the user's git repositories, and branches made in them. Objects, trees and indexes are git's, by libgit2;
/// nothing is run: no hook, no filter, no program that a configuration names. Blocks on the disk; any thread.

#include "transports/git_repository.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace conclave::git {

/// Returns why nothing with this name (one component) is in a copy, or empty.
using name_judge = std::function<std::string(const std::string& name)>;

/// Makes `work_tree`/.git, which must not be there: refs as those of `from`, HEAD at its branch and commit, an index of that
/// commit, a configuration of our own, and `from`'s objects, borrowed. So what differs in the work tree is what git calls changed.
/// What `left_out` names, and what `from`'s index says is not in its work tree (a sparse checkout) and is not in this one, is not
/// looked for: git is told (skip-worktree). Returns what is wrong, or empty; then there is no .git.
std::string make_checkout(const repository& from, const std::string& work_tree, const name_judge& left_out);

/// One path as a commit is to have it.
struct path_change {
  enum class kind { removed, file, executable, link } what = kind::removed;
  std::string path;        ///< relative to the top
  std::string sha256 = {}; ///< of the bytes, or of the target of a link: what the opener finds them by
  std::uint64_t size = 0;  ///< of them
};

/// Returns a descriptor for reading the bytes of a change, -1 with errno set. It is closed by who asks.
using content_opener = std::function<int(const path_change&)>;

struct new_branch {
  std::string commit; ///< its name
  std::string author; ///< "name <address>"
  std::string error;  ///< empty = it is there
  /// Path and reason of what is not in it: git ignores it and the parent does not have it, or it lies in a submodule. A folder,
  /// with
  /// '/' at its end, that is a repository of its own, which the parent knows nothing of, stands for all that is in it.
  std::vector<std::pair<std::string, std::string>> left_out = {};
};

/// Writes the changes as one commit on top of `parent` (a commit name) and a branch `name` that stands for it, into a repository of
/// the user's. HEAD, index, other refs and the work tree stay as they are. A branch that is there is refused. Author and committer
/// are whom the user's configuration names, else Conclave. A path with a `filter` attribute refuses all: nothing is run here.
new_branch commit_branch(const repository& to, const std::string& parent, const std::string& name, const std::string& message,
                         const std::vector<path_change>& changes, const content_opener& open);

/// Whether `commit_branch` would refuse them, without reading their bytes; nothing is written. Returns what is wrong, or empty.
std::string check_branch(const repository& to, const std::string& parent, const std::string& name,
                         const std::vector<path_change>& changes);

} // namespace conclave::git
