// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/git_folders.hpp"

#include "protocols/path_policy.hpp"

#include <sys/stat.h>

namespace conclave::git {

namespace {

bool is_there(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

bool is_folder(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

} // namespace

const repository_folders::kind& repository_folders::look(const std::string& folder) {
  auto [at, is_new] = known_.try_emplace(folder);
  if (auto& k = at->second; is_new) {
    auto full = root_ + "/" + folder + "/";
    k.head = is_there(full + "HEAD");
    k.repository = k.head && ((is_folder(full + "objects") && is_folder(full + "refs")) || is_there(full + "commondir"));
  }
  return at->second;
}

bool repository_folders::lies_in_repository(const std::string& folder) {
  for (auto end = folder.size(); end != std::string::npos && end > 0; end = folder.rfind('/', end - 1)) {
    auto at = folder.substr(0, end);
    if (at.ends_with("/.git") || repository_folders{at}.look("").repository)
      return true;
  }
  return false;
}

std::string repository_folders::judge(const std::string& path, bool removes) {
  if (!inside_)
    inside_ = lies_in_repository(root_);
  if (*inside_)
    return "the folder is a git repository by itself or lies in one, and git executes what its settings and hooks name";
  for (std::size_t begin = 0; begin != std::string::npos;) {
    auto end = path.find('/', begin);
    auto name = path.substr(begin, end == std::string::npos ? end : end - begin);
    auto folder = path.substr(0, begin); // with a slash at its end, or empty
    auto& k = look(folder);
    if (k.repository)
      return path_policy::shown(folder, 4'096)
             + " is a git repository by itself, and git executes what its settings and hooks name";
    auto makes = name == "HEAD" || (k.head && (name == "objects" || name == "refs" || name == "commondir"));
    if (makes && !removes)
      return "a folder with HEAD, objects and refs is a git repository, and git executes what its settings name";
    begin = end == std::string::npos ? end : end + 1;
  }
  return {};
}

} // namespace conclave::git
