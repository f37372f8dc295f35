// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Git repositories of the user's: which agents have checkouts of, and what a task changes of them as commits on new branches.
/// Blocks on the disk.

#include "app/task_changes.hpp"

#include <string>
#include <vector>

namespace conclave {

/// Notes which folders agents get a checkout of. It is part of what a task is opened with, as prompts speak of it.
void find_repositories(std::vector<agent_config>& agents);

struct committed_folder {
  std::string folder;
  std::string commit, author;
  std::vector<std::string> paths;               ///< that differ from the commit before it, or may
  std::vector<delivery::left_out> skipped = {}; ///< may not be touched, git ignores it, or of a submodule
};

/// Makes a branch `name` in the repository of each folder that the task changes, on top of the commit that agents began with: files
/// that had changes which were not committed then have them in it. Nothing else there is written. Returns what is wrong, or empty:
/// nothing is written unless all folders can have theirs; of several, those before one that fails midway have their branch.
std::string commit_changes(const task_changes& t, const std::string& home, const std::string& name,
                           std::vector<committed_folder>& out);

} // namespace conclave
