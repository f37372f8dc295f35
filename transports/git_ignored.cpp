// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/git_ignored.hpp"

#include "transports/git_library.hpp"

#include <filesystem>
#include <utility>

namespace conclave::git {

struct ignored_paths::impl {
  handle<git_repository, git_repository_free> repo;
  handle<git_index, git_index_free> index;
  std::string below; ///< the folder, from the top of the work tree on: empty, or with a '/' at its end

  bool is_tracked(const std::string& path, bool is_folder) const {
    if (is_folder)
      return git_index_find_prefix(nullptr, index.get(), (path + "/").c_str()) == 0 || is_submodule(path);
    for (int stage = 0; stage < 4; ++stage) // the others are those of a merge that is under way
      if (git_index_get_bypath(index.get(), path.c_str(), stage) != nullptr)
        return true;
    return false;
  }

  bool is_submodule(const std::string& path) const {
    const auto* e = git_index_get_bypath(index.get(), path.c_str(), 0);
    return e != nullptr && e->mode == GIT_FILEMODE_COMMIT;
  }

  bool in_submodule(const std::string& path) const {
    for (auto at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1))
      if (is_submodule(path.substr(0, at)))
        return true;
    return false;
  }

  bool holds(const std::string& path, bool is_folder) const {
    if (is_tracked(path, is_folder))
      return false;
    auto ignored = 0;
    // With a '/' it is a folder whether it is there or not.
    auto code = git_ignore_path_is_ignored(&ignored, repo.get(), (path + (is_folder ? "/" : "")).c_str());
    return code == 0 && ignored != 0 && !in_submodule(path);
  }
};

ignored_paths::ignored_paths(std::unique_ptr<impl> i) : impl_(std::move(i)) {}

ignored_paths::~ignored_paths() = default;

std::unique_ptr<ignored_paths> ignored_paths::of(const std::string& folder) {
  std::error_code e;
  if (!load_library().empty())
    return nullptr;
  auto i = std::make_unique<impl>();
  // The library looks for it upwards, on this disk, and refuses one of another user.
  if (git_repository_open_ext(i->repo.out(), folder.c_str(), 0, nullptr) != 0 || git_repository_workdir(i->repo.get()) == nullptr
      || git_repository_index(i->index.out(), i->repo.get()) != 0)
    return nullptr;
  auto top = std::filesystem::canonical(git_repository_workdir(i->repo.get()), e).string();
  auto here = e ? std::string{} : std::filesystem::canonical(folder, e).string();
  if (e || (here != top && !here.starts_with(top + "/")))
    return nullptr;
  if (here != top) {
    i->below = here.substr(top.size() + 1);
    if (i->holds(i->below, true))
      return nullptr;
    i->below += "/";
  }
  return std::unique_ptr<ignored_paths>{new ignored_paths{std::move(i)}};
}

bool ignored_paths::holds(const std::string& path, bool is_folder) const {
  return impl_->holds(impl_->below + path, is_folder);
}

} // namespace conclave::git
