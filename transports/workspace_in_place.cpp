// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Folders of the user's that who presents writes in themselves (`write_mode: legacy`).

#include "protocols/path_policy.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/git_folders.hpp"
#include "transports/home.hpp"
#include "transports/workspace_disk.hpp"
#include "transports/workspace_look.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t most_named = 5; ///< paths, in what a person is told

std::string list_file(const std::string& place, std::size_t i) {
  return workspace_paths::target(place, i) + ".names";
}

/// Counts what is below, and changes nothing there, as snapshots::measure() may.
snapshots::amount held_by(const std::string& folder) {
  snapshots::amount out;
  auto all = workspace_look::look_through(folder, [&out](const std::string& path, std::filesystem::file_type) {
    struct stat s {};
    ++out.files;
    if (::lstat(path.c_str(), &s) == 0 && S_ISREG(s.st_mode))
      out.bytes += static_cast<std::uint64_t>(s.st_size);
    return true;
  });
  out.whole = all.unseen.empty(); // what folders hold that we may not list is not counted
  return out;
}

/// Which bound was passed by what came to what was there; empty = none.
std::string beyond(const snapshots::amount& now, const snapshots::amount& before, const snapshots::bounds& limits,
                   const std::string& folder) {
  auto where = path_policy::shown(folder);
  std::error_code e;
  if (auto space = std::filesystem::space(folder, e); !e && space.available < limits.keep_free)
    return "less than " + std::to_string(limits.keep_free >> 20) + " MiB are free on the disk of " + where;
  if (!before.whole) // it is too large to be counted, and commands do not write there
    return {};
  if (!now.whole || now.files > before.files + limits.files)
    return where + " holds " + (now.whole ? "" : "more than ") + std::to_string(now.files) + " files and folders, and held "
           + std::to_string(before.files) + " when the presentation began: " + std::to_string(limits.files) + " more are allowed";
  if (now.bytes > before.bytes + limits.bytes)
    return where + " holds " + std::to_string(now.bytes) + " bytes, and held " + std::to_string(before.bytes)
           + " when the presentation began: " + std::to_string(limits.bytes) + " more are allowed";
  return {};
}

} // namespace

/// What is in the folder under names that are never written, what is protected there, what git takes for a repository, and what
/// cannot be looked into: the uppermost of each, sorted.
std::vector<std::string> workspace_disk::never_written(std::size_t i) const {
  auto all = rules();
  for (auto& r : all.roots)
    r.writable = true; // what is asked is the names' part alone
  std::vector<std::string> out;
  auto& folder = f_.config.context[i].path;
  if (git::is_repository(folder))
    out.push_back(folder);
  auto seen = workspace_look::look_through(folder, [&](const std::string& path, std::filesystem::file_type type) {
    auto ok = path_policy::judge(all, path, path_policy::access::modify).ok()
              && (type != std::filesystem::file_type::directory || !git::is_repository(path));
    if (!ok)
      out.push_back(path);
    return ok;
  });
  for (auto* list : {&seen.unseen, &seen.shut})
    out.insert(out.end(), list->begin(), list->end());
  std::sort(out.begin(), out.end());
  return out;
}

bool workspace_disk::writes_in_place() const {
  return presenting_ && workspace_paths::written_in_place(f_.config);
}

void workspace_disk::begin_presentation(bool as_it_is, snapshots::cancel_flag cancel) {
  presenting_ = true;
  originals_.assign(f_.config.context.size(), {});
  for (std::size_t i = 0; i < originals_.size(); ++i) {
    auto& c = f_.config.context[i];
    if (!workspace_paths::written_in_place(f_.config, c))
      continue;
    auto& x = originals_[i];
    auto kept = list_file(f_.place, i);
    if (as_it_is)
      workspace_look::sweep(c.path, cancel);
    x.held = held_by(c.path);
    std::ifstream before{kept, std::ios::binary};
    if (as_it_is && before) { // what the run made before it was cut off is not what was there
      for (std::string name; std::getline(before, name, '\0');)
        x.names.push_back(name);
      continue;
    }
    x.names = never_written(i);
    std::string text;
    for (auto& name : x.names)
      text += name + '\0';
    if (auto fault = write_atomically(kept, text); !fault.empty())
      notice(fault);
  }
}

void workspace_disk::end_presentation() {
  if (!std::exchange(presenting_, false))
    return;
  for (std::size_t i = 0; i < originals_.size(); ++i) {
    auto& c = f_.config.context[i];
    if (!workspace_paths::written_in_place(f_.config, c))
      continue;
    std::vector<std::string> now = never_written(i), added;
    auto& before = originals_[i].names;
    std::set_difference(now.begin(), now.end(), before.begin(), before.end(), std::back_inserter(added));
    std::erase_if(added, [&](auto& path) { // its owner opened meanwhile what could not be looked into
      return std::any_of(before.begin(), before.end(), [&](auto& b) { return path.starts_with(b + "/"); });
    });
    std::string named;
    for (std::size_t n = 0; n < added.size() && n < most_named; ++n)
      named += (n == 0 ? "" : ", ") + path_policy::shown(added[n] == c.path ? "." : added[n].substr(c.path.size() + 1));
    if (!added.empty())
      notice("while " + path_policy::shown(c.path, 4'096)
             + " was written in place, this was made there, under names that are protected or never written, as a git "
               "repository, or closed to a look: "
             + named + (added.size() > most_named ? " and " + std::to_string(added.size() - most_named) + " more" : "")
             + "; look at it before you run git or anything else there");
  }
  originals_.clear();
}

/// Beside what was there, each may hold as much as a copy.
void workspace_disk::measure_in_place(snapshots::amount& all) const {
  for (std::size_t i = 0; i < originals_.size() && presenting_; ++i) {
    if (!workspace_paths::written_in_place(f_.config, f_.config.context[i]))
      continue;
    auto& before = originals_[i].held;
    auto here = held_by(f_.config.context[i].path);
    all.bytes += here.bytes;
    all.files += here.files;
    all.whole = all.whole && (here.whole || !before.whole);
    if (auto text = beyond(here, before, f_.limits, f_.config.context[i].path); !text.empty())
      all.over = std::move(text);
  }
}

} // namespace conclave
