// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/start_folder.hpp"

#include "protocols/config_expand.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace conclave {

namespace {

bool is_here(const opening& o, std::size_t agent) {
  return agent >= o.nodes.size() || o.nodes[agent] == "local";
}

/// What begins with a variable is judged as if that were absolute, as it mostly is.
bool is_relative(const std::string& path) {
  return !path.empty() && path.front() != '/' && path.front() != '~' && path.front() != '$';
}

/// A program without a folder is looked for on the PATH.
bool is_relative_program(const std::string& program) {
  return is_relative(program) && program.find('/') != std::string::npos;
}

bool starts_in_folder(const mcp_server_config& s, const workspace_config& w) {
  return s.type == "stdio" && !runs_confined(s, w) && (s.cwd.empty() || is_relative(s.cwd));
}

/// As text of a configuration, in which `${` would be a variable.
std::string as_written(std::string folder) {
  for (auto at = folder.find("${"); at != std::string::npos; at = folder.find("${", at + 3))
    folder.insert(at, "$");
  return folder;
}

/// Calls `use` with each text of a backend that counts from the folder.
template <class Backend, class F>
void each_relative(Backend& b, F use) {
  if (is_relative(b.ca_bundle))
    use(b.ca_bundle);
  if (is_relative(b.model_path))
    use(b.model_path);
  if (is_relative_program(b.server))
    use(b.server);
  for (auto& s : b.mcp_servers)
    if (starts_in_folder(s, b.workspace))
      use(s.cwd);
}

} // namespace

std::string folder_of_start(const opening& o) {
  auto wanted = false;
  for (std::size_t i = 0; i < o.agents.size(); ++i)
    if (is_here(o, i))
      each_backend(o.agents[i], [&](const backend_config& b, const std::string&) {
        each_relative(b, [&](const std::string&) { wanted = true; });
      });
  std::error_code unknown; // of a folder that was deleted, say
  auto here = wanted ? std::filesystem::current_path(unknown).string() : std::string{};
  return unknown ? std::string{} : here;
}

std::vector<agent_config> agents_at_start(const opening& o) {
  auto out = o.agents;
  auto folder = as_written(o.folder);
  for (std::size_t i = 0; i < out.size() && !folder.empty(); ++i)
    if (is_here(o, i))
      each_backend(out[i], [&](backend_config& b, const std::string&) {
        each_relative(b, [&](std::string& path) { path = path.empty() ? folder : folder + "/" + path; });
      });
  return out;
}

std::string lack_of_tools(const opening& o, std::size_t agent, const lookup& env) {
  std::string out;
  auto& b = o.agents[agent].backend; // whose tools the agent has, whichever backend answers
  for (auto& s : b.mcp_servers) {
    auto server = "MCP server '" + shown_text(s.name, 100) + "': ";
    std::error_code unknown;
    if (out.empty() && !o.folder.empty() && starts_in_folder(s, b.workspace) && !std::filesystem::is_directory(o.folder, unknown))
      out = server + "it begins in the folder the task was started in, " + shown_text(o.folder, 300) + ", which is not there";
    std::string missing;
    auto find = [&](std::string text) {
      if (out.empty() && !expand(text, env, missing))
        out = server + "variable " + missing + " is not set";
    };
    auto workspace = [](const std::string& text) { return with_cwd(text, "."); }; // `${cwd}` is none
    for (std::size_t i = 1; i < s.command.size(); ++i)
      find(workspace(s.command[i]));
    for (auto* values : {&s.env, &s.headers})
      for (auto& [name, value] : *values)
        find(workspace(value));
    find(workspace(s.cwd));
    find(s.url);
  }
  return out;
}

} // namespace conclave
