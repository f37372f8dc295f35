// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_command.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <unistd.h>

namespace conclave {

std::string resolve_command(const child_command& c, std::string& program) {
  auto nul = [](const std::string& s) { return s.find('\0') != std::string::npos; };
  auto bad = [&](auto& v) { return nul(v.first) || nul(v.second) || v.first.empty() || v.first.find('=') != std::string::npos; };
  if (std::any_of(c.argv.begin(), c.argv.end(), nul) || std::any_of(c.env.begin(), c.env.end(), bad) || nul(c.cwd))
    return "the command, its directory or its environment holds a NUL byte or a bad variable name";
  if (c.argv.empty() || c.argv[0].empty())
    return "no program was named";
  // The child's own PATH counts, as in a shell; without one, ours.
  auto& name = c.argv[0];
  auto own = c.env.find("PATH");
  program = name.find('/') != std::string::npos ? name : find_program(name, own == c.env.end() ? nullptr : own->second.c_str());
  if (program.empty())
    return "no program '" + name + "' on the PATH";
  if (!c.cwd.empty() && ::access((c.cwd + "/.").c_str(), X_OK) != 0) // asked here: exec has one errno for all that fails
    return "no working directory '" + c.cwd + "': " + std::strerror(errno);
  return {};
}

std::string find_program(const std::string& name, const char* path) {
  auto* ours = std::getenv("PATH");
  std::istringstream list{path ? path : ours ? ours : "/usr/local/bin:/usr/bin:/bin"};
  std::error_code ignored;
  for (std::string folder; std::getline(list, folder, ':');) {
    auto full = folder + "/" + name; // of a relative folder it would be in whatever directory we happen to be
    if (folder[0] == '/' && std::filesystem::is_regular_file(full, ignored) && ::access(full.c_str(), X_OK) == 0)
      return full;
  }
  return {};
}

std::map<std::string, std::string> safe_environment() {
  std::map<std::string, std::string> out;
  for (auto* name : {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"})
    if (auto* value = std::getenv(name); value && std::strncmp(value, "()", 2) != 0)
      out.emplace(name, value);
  return out;
}

} // namespace conclave
