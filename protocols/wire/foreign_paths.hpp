// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The paths in a call of a tool that is not ours, by what its arguments look like. Whoever asks judges each by path_policy: for
/// reading, or for writing where the tool is not said to only read. Pure: what exists is for the caller to look at.
///
///   for (auto& p : wire::foreign_paths(arguments, {}))
///     if (p.by_name || exists(p.text)) ...judge(rules, canonical(p.text), access::read)

#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// What the user says of a tool's arguments, by their names at any depth; exactly as they are written.
struct foreign_policy {
  std::vector<std::string> paths;     ///< hold paths, whatever they are called
  std::vector<std::string> not_paths; ///< hold none, whatever they look like; nor does what is below them
};

struct foreign_path {
  std::string where; ///< "files[0].name"
  std::string text;
  bool by_name = false; ///< the argument is called like a path; else the text looks like one, and counts where it exists
  bool operator==(const foreign_path&) const = default;
};

/// Returns them in the order of the arguments; also those in lists, in objects, and in texts that are JSON. Arguments that are no
/// JSON object hold none: such a call is not made. At most 1,000, each 4,096 bytes and one more at most.
std::vector<foreign_path> foreign_paths(std::string_view arguments, const foreign_policy& said);

} // namespace conclave::wire
