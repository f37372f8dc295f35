// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/user_folders.hpp"

#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/git_folders.hpp"
#include "transports/home.hpp"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <unistd.h>

namespace conclave {

namespace {

bool holds(const std::string& folder, const std::string& path) {
  return (path + "/").starts_with(folder == "/" ? folder : folder + "/");
}

} // namespace

std::string folder_fault(const std::string& path, folder_use use, const std::string& given_home) {
  std::error_code e;
  std::string ignored;
  auto home = std::filesystem::weakly_canonical(given_home.empty() ? home_path(ignored) : given_home, e).string();
  if (path == "/")
    return "is the whole file system; name a folder below it";
  for (auto* place : {"/proc", "/dev"}) // in a sandbox /dev/shm is its own, too, but what is written there is kept for a while
    if (use != folder_use::programs && holds(place, path) && !(use == folder_use::target && holds("/dev/shm", path)))
      return std::string{"is in "} + place + ", which is made of no files that could be copied or kept; name another folder";
  auto found = std::filesystem::status(path, e);
  if ((use == folder_use::reading || use == folder_use::writing) && std::filesystem::exists(found)
      && !std::filesystem::is_directory(found) && !std::filesystem::is_regular_file(found))
    return "is neither a file nor a folder (but a pipe, a socket or a device); name a file or a folder";
  auto name = path.substr(path.rfind('/') + 1);
  if (use == folder_use::writing && std::filesystem::is_regular_file(found)
      && (path_policy::is_secret_name(name) || path_policy::is_excluded_name(name)))
    return std::string{"is a file with the name of "}
           + (path_policy::is_secret_name(name) ? "a secret" : "what programs keep for themselves")
           + ": nothing is ever written there; let agents only read it (`permission: read`)";
  if ((lower(path) + "/").find("/.git/") != std::string::npos)
    return "is in the folder of a git repository itself: what is written there, git runs; name the folder that holds .git";
  if ((use == folder_use::writing || use == folder_use::target) && git::repository_folders::lies_in_repository(path))
    return "is or lies in a folder with HEAD, objects and refs, which is a git repository itself: what is written there, git runs; "
           "name another folder";
  if (!home.empty() && holds(path, home))
    return "holds the folder where conclave keeps its own files (" + shown_text(home)
           + "); name a folder below it, or set CONCLAVE_HOME elsewhere";
  if (!home.empty() && holds(home, path))
    return "is within the folder where conclave keeps its own files (" + shown_text(home)
           + "), which is no place for other files; name another folder";
  return {};
}

std::string absolute_cwd(const agent_config& a) {
  auto path = a.backend.workspace.cwd;
  if (path.find('\0') != std::string::npos || !expand_home(path).empty() || path.empty() || path.front() != '/')
    return {};
  std::error_code e;
  auto found = std::filesystem::weakly_canonical(path, e).string();
  return found.size() > 1 && found.ends_with('/') ? found.substr(0, found.size() - 1) : found;
}

std::string cwd_fault(const std::string& path, std::size_t agent, const std::vector<agent_config>& agents) {
  const std::string instead =
      "; a workspace is a folder of its own: write a name (`cwd: work`), and give agents your files by `context_paths`";
  std::error_code e;
  if (path != "/" && holds(path, std::filesystem::weakly_canonical(user_home(), e).string()))
    return "is or holds your home" + instead;
  if (auto fault = folder_fault(path, folder_use::writing); !fault.empty())
    return fault;
  if (auto here = std::filesystem::current_path(e).string(); !e && holds(path, here))
    return "is or holds the folder where conclave was started" + instead;
  for (const auto& c : agents[agent].backend.workspace.context)
    if (holds(path, c.path) || holds(c.path, path))
      return "overlaps with '" + shown_text(c.path, 200) + "' of `context_paths`" + instead;
  for (std::size_t i = 0; i < agents.size(); ++i)
    if (auto other = i == agent ? std::string{} : absolute_cwd(agents[i]); !other.empty() && holds(other, path))
      return (other == path ? "is the `cwd` of agent '" : "lies in the `cwd` of agent '") + shown_text(agents[i].id, 64)
             + "' too: agents do not share a workspace, they read each other's answers; give each a `cwd` of its own";
  return {};
}

std::vector<problem> unwritable_folders(const run_config& c) {
  std::vector<problem> out;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < c.agents.size(); ++i) {
    auto& a = c.agents[i];
    for (auto& x : a.backend.workspace.context)
      if (a.node.empty() && !a.backend.workspace.cwd.empty() && x.write && seen.insert(x.path).second
          && ::faccessat(AT_FDCWD, x.path.c_str(), W_OK, AT_EACCESS) != 0 && (errno == EACCES || errno == EROFS)) {
        problem p;
        p.severity = severity::warning;
        p.path = "agents[" + std::to_string(i) + "].backend.context_paths";
        p.text =
            shown_text(x.path, 4'096) + " has `permission: write`, and this user may not write there: "
            + (workspace_paths::written_in_place(a.backend.workspace, x)
                   ? "who presents cannot, either (write_mode: legacy)"
                   : "agents change a copy, and conclave apply fails; it can write the changes into another folder with --to DIR");
        out.push_back(std::move(p));
      }
  }
  return out;
}

} // namespace conclave
