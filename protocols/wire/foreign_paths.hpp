// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The paths in a call of a tool that is not ours, by what its arguments look like and what the user says of them. Whoever asks
/// judges each by path_policy (transports/foreign_calls.hpp). Pure: what exists is for the caller to look at.

#include "protocols/config.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// What is done with a path. `write` = make it, or change it if it is there.
enum class path_use : std::uint8_t { none, read, write, create, modify, remove };

/// What is known of a tool's arguments, by their names at any depth; exactly as they are written.
struct foreign_policy {
  path_use otherwise = path_use::write;  ///< of arguments that only look like paths; none = those are none
  std::map<std::string, path_use> named; ///< hold paths, whatever they are called; none = they hold none, nor does what is below
};

/// Returns what a policy of the configuration comes to. `reads`: the tool is known to change nothing.
foreign_policy foreign_policy_of(const tool_policy* said, bool reads);

struct foreign_path {
  std::string where; ///< "files[0].name"
  std::string text;
  bool by_name = false; ///< the argument is called like a path; else the text looks like one, and counts where it exists
  path_use use = path_use::write;
  bool operator==(const foreign_path&) const = default;
};

/// Returns them in the order of the arguments; also those in lists, in objects, and in texts that are JSON. Arguments that are no
/// JSON object hold none: such a call is not made. At most 1,000, each 4,096 bytes and one more at most; `more` says that there
/// would be more.
std::vector<foreign_path> foreign_paths(std::string_view arguments, const foreign_policy& said, bool& more);

} // namespace conclave::wire
