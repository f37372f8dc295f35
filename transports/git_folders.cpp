// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/git_folders.hpp"

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

bool is_repository(const std::string& folder) {
  auto full = folder + "/";
  return is_there(full + "HEAD") && ((is_folder(full + "objects") && is_folder(full + "refs")) || is_there(full + "commondir"));
}

const repository_folders::kind& repository_folders::look(const std::string& folder) {
  auto [at, is_new] = known_.try_emplace(folder);
  if (auto& k = at->second; is_new) {
    auto full = root_ + "/" + folder;
    k.head = is_there(full + "/HEAD");
    k.repository = k.head && is_repository(full);
  }
  return at->second;
}

bool repository_folders::lies_in_repository(const std::string& folder) {
  for (auto end = folder.size(); end != std::string::npos && end > 0; end = folder.rfind('/', end - 1)) {
    auto at = folder.substr(0, end);
    if (at.ends_with("/.git") || is_repository(at))
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

path_policy::verdict judge(const path_policy::rules& r, std::string_view path, path_policy::access what) {
  using path_policy::access;
  using path_policy::root_kind;
  auto v = path_policy::judge(r, path, what);
  auto writes = what == access::create || what == access::modify || what == access::remove;
  if (!v.ok() || !writes || v.root >= r.roots.size())
    return v;
  auto& root = r.roots[v.root];
  if (root.kind != root_kind::context && root.kind != root_kind::context_file)
    return v; // ours; and what comes of it is judged when it is applied
  auto folder = root.kind == root_kind::context ? root.path : root.path.substr(0, root.path.rfind('/'));
  std::string why;
  if (path.size() > folder.size())
    why = repository_folders{folder}.judge(std::string(path.substr(folder.size() + 1)), what == access::remove);
  if (why.empty() && what == access::remove && is_repository(std::string(path)))
    why = "it is a git repository by itself";
  if (why.empty())
    return v;
  return {path_policy::denial::excluded, v.root, "a git repository",
          path_policy::shown(path) + " is not written: " + why + ". Use another name, or your workspace."};
}

} // namespace conclave::git
