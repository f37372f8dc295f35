// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the parts of transports/file_tools share.

#include "protocols/glob.hpp"
#include "transports/file_tools.hpp"

#include <string>
#include <vector>

namespace conclave {

/// Ends a call; caught in file_tools::run, or where one of several files is worked on. Goes no further.
struct refusal {
  workspace_tools::tool_fault fault;
};
[[noreturn]] void refuse(path_policy::denial code, std::string text);
/// "E_UNREAD: ..." for one of several files.
std::string reason_of(const workspace_tools::tool_fault& f);

file_identity identity_of(const entry_facts& f);

/// A name as it may stand in a line of a list: whole, control characters escaped.
std::string line_of(const std::string& name);

/// The patterns of an argument; refuses those that are absolute or lead up.
glob_walk patterns(const std::vector<std::string>& list);
/// Whether patterns that leave something out match its path or its name.
bool left_out(glob_walk& exclude, const std::string& path, const std::string& name);

std::string parent_path(const std::string& relative);
/// "file", "directory", "symlink", "other"
const char* type_name(entry_kind k);

/// What a copy takes along.
struct file_tools::copy_plan {
  struct item {
    std::string path; ///< below the source
    entry_facts facts;
    std::string link; ///< of a link: what it says
  };
  std::vector<item> folders, files, links;
  std::vector<workspace_tools::path_note> dropped;
  std::uint64_t bytes = 0;
  bool cut = false; ///< more files than one call takes
};

} // namespace conclave
