// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a child is to run, and whether it can be: all that is to be known before anything is started. Any thread.

#include <map>
#include <string>
#include <vector>

namespace conclave {

struct child_command {
  std::vector<std::string> argv;          ///< argv[0] resolved on PATH; no shell
  std::map<std::string, std::string> env; ///< the whole environment of the child; its PATH counts, else ours
  std::string cwd;                        ///< empty = inherit
  std::string fork_server;                ///< the argument with which the program forks such children (child_fork_server.hpp);
                                          ///< empty = it cannot
};

/// Finds the program of a command. Returns why it cannot run; empty if nothing speaks against it.
std::string resolve_command(const child_command& command, std::string& program);

/// Returns the program of this name in the absolute folders of `path` (null = ours), empty if there is none.
std::string find_program(const std::string& name, const char* path);

/// The small safe set a tool server inherits: HOME LOGNAME PATH SHELL TERM USER (values starting with "()" dropped).
std::map<std::string, std::string> safe_environment();

} // namespace conclave
