// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a command line runs, through the commands that run others: env, xargs, nohup, find -exec, sh -c, eval, ... Pure.

#include "protocols/shell_words.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave::shell {

struct forms {
  std::vector<simple_command> commands; ///< those of the line, and those that they run
  std::vector<simple_command> possible; ///< what may be run by a command whose options are not known
  std::string doubt;                    ///< as command_line::doubt
  bool cut = false;                     ///< it holds more than is looked at
  bool is_fork_bomb = false;            ///< a function that starts itself more than once, or beside itself
};

forms all_forms(std::string_view line);

/// The last component of a command's name; empty if it has none.
std::string base_name(const simple_command& c);

} // namespace conclave::shell
