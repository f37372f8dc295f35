// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/server_walls.hpp"

#include "protocols/text.hpp"
#include "transports/child_command.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <sstream>

namespace conclave {

namespace {

/// For a shell that reads it as one word.
std::string shell_word(const std::string& word) {
  std::string out = "'";
  for (auto c : word)
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  return out + "'";
}

bool is_within(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

/// Whether the walls let it see a path.
bool shows(const sandbox_profile& p, const std::string& path) {
  if (walls_show_always(path))
    return true;
  auto within = [&](const std::string& folder) { return is_within(path, folder); };
  return std::any_of(p.readable.begin(), p.readable.end(), within) || std::any_of(p.writable.begin(), p.writable.end(), within);
}

/// Of a relative folder it would be in the workspace, where an agent may have put it.
std::string absolute_folders(const std::string& path) {
  std::istringstream list{path};
  std::string out;
  for (std::string folder; std::getline(list, folder, ':');)
    if (folder.starts_with('/'))
      out += (out.empty() ? "" : ":") + folder;
  return out;
}

} // namespace

const char* const server_walls_hint = "; it ran in the sandbox of its agent: a folder that it lacks can be named in `sandbox: "
                                      "{readable: [...]}` of the backend, and `sandbox: off` of the server runs it without";

bool walls_show_always(const std::string& path) {
  for (auto* folder : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives"})
    if (is_within(path, folder))
      return true;
  return false;
}

std::string confine(mcp_server_config& c, const server_walls& w, std::map<std::string, std::string> base, std::string& opening) {
  if (w.profile.tier == sandbox_tier::off)
    return {};
  if (w.launcher.empty())
    return no_sandbox_launcher();
  if (c.command.empty())
    return "it has no command";
  auto p = w.profile;
  p.env = std::move(base);
  p.env["HOME"] = p.home;
  p.env["TMPDIR"] = temporary_folder(p);
  for (auto& [name, value] : c.env)
    p.env[name] = value;
  auto& path = p.env["PATH"];
  path = absolute_folders(path);
  if (path.empty())
    path = "/usr/local/bin:/usr/bin:/bin";
  auto& name = c.command.front();
  auto program = name.find('/') == std::string::npos ? find_program(name, path.c_str()) : name;
  if (program.empty())
    return "no program '" + shown_text(name, 200) + "' on the PATH";
  std::error_code e;
  auto real = std::filesystem::canonical(program, e).string();
  if (e)
    return "no program " + shown_text(program, 4'096);
  for (auto& place : {program, real})
    if (!shows(p, place))
      return "its program " + shown_text(place, 4'096)
             + " is outside of what the sandbox shows it: name its folder in `sandbox: {readable: [...]}` of the backend, or write "
               "`sandbox: off` in the server's entry to run it without";
  std::string command = "exec " + shell_word(program);
  for (std::size_t i = 1; i < c.command.size(); ++i)
    command += " " + shell_word(c.command[i]);
  std::string error;
  auto line = sandbox_profile_line(p, c.cwd.empty() ? w.work : c.cwd, command, error);
  if (line.empty())
    return error;
  char size[24];
  std::snprintf(size, sizeof size, "%08zu", line.size());
  opening = size + line;
  c.command = {w.launcher, "exec"};
  c.cwd = "/";
  c.env.clear();
  return {};
}

} // namespace conclave
