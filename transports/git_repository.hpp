// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a git repository of the user's is, read file by file and by descriptors: its configuration is not read, so nothing that it
/// names is run. What leads elsewhere (a link, alternates, a `.git` file that no worktree of its repository belongs to) is refused:
/// agents would be given objects of a repository that nobody named. Blocks on the disk; any thread.

#include <map>
#include <optional>
#include <string>

namespace conclave::git {

struct repository {
  std::string git_dir; ///< absolute; of a linked worktree its own one
  std::string common;  ///< where refs and objects are; as `git_dir` unless it is a linked worktree
  std::string branch;  ///< what HEAD names, "refs/heads/main"; empty = HEAD is detached
  std::string commit;  ///< 40 hexadecimal digits; empty = there is none yet
  std::string top;     ///< the folder that was looked at

  std::string objects() const { return common + "/objects"; }
};

/// Looks at a folder. Returns nothing if it is not the top of a work tree, or, with a sentence in `why`, if its repository is one
/// that cannot be borrowed from.
std::optional<repository> find(const std::string& folder, std::string& why);

/// Branches, tags and remote branches with the hashes they stand for; symbolic ones and names that git would refuse are left out.
/// Sorted as git sorts packed refs. `why`: empty, or what cannot be read, or that there are more than 20,000; then not all are
/// there.
std::map<std::string, std::string> refs_of(const repository& r, std::string& why);

/// The commits whose parents a shallow clone does not have, in git's form; empty = it is none, or `why` says
/// that it cannot be read.
std::string shallow_of(const repository& r, std::string& why);

bool is_commit_name(const std::string& text); ///< 40 hexadecimal digits, lower case
/// Whether git takes this as the full name of a ref, "refs/heads/x": no "..", no "@{", no control characters, and so on.
bool is_ref_name(const std::string& name);

} // namespace conclave::git
