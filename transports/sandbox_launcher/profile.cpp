// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/launcher.hpp"

namespace conclave::launcher {

namespace {

constexpr std::size_t max_paths = 4096;

/// Absolute, and without parts that mean another folder.
bool is_plain(const std::string& path) {
  return path.size() > 1 && path.size() < 4096 && path.front() == '/' && path.back() != '/' && path.find("//") == std::string::npos
         && path.find('\0') == std::string::npos && (path + "/").find("/./") == std::string::npos
         && (path + "/").find("/../") == std::string::npos;
}

} // namespace

std::string read_profile(const sandbox_line& line, profile& out) {
  out.tier = static_cast<int>(line.number("tier", -1));
  if (line.word != "profile" || out.tier < 0 || out.tier > 2)
    return "not a profile of this version";
  out.network = line.get("network") == "full";
  out.home = line.get("home");
  out.tmp = line.get("tmp");
  out.readable = line.all("readable");
  out.writable = line.all("writable");
  out.shared = line.all("shared");
  out.protected_paths = line.all("protected");
  out.hidden = line.all("hidden");
  out.env = line.all("env");
  out.filter = line.get("filter");
  out.processes = line.number("processes", out.processes);
  out.memory = line.number("memory", out.memory);
  out.file_size = line.number("file_size", out.file_size);
  out.open_files = line.number("open_files", out.open_files);
  out.output = line.number("output", out.output);
  std::size_t n = 0;
  for (const auto* paths : {&out.readable, &out.writable, &out.shared, &out.protected_paths, &out.hidden})
    for (const auto& path : *paths) {
      if (!is_plain(path))
        return "not a plain absolute path: " + path;
      if (++n > max_paths)
        return "more than " + std::to_string(max_paths) + " paths";
    }
  for (const auto* path : {&out.home, &out.tmp})
    if (!path->empty() && !is_plain(*path))
      return "not a plain absolute path: " + *path;
  if (out.tier > 0 && (out.filter.empty() || out.filter.size() % 8 != 0 || out.filter.size() > 8 * 4096))
    return "no system call filter";
  if (out.processes < 1 || out.processes > 100'000 || out.memory < (1 << 20) || out.output < 0 || out.output > (8 << 20))
    return "a limit is out of range";
  return {};
}

} // namespace conclave::launcher
