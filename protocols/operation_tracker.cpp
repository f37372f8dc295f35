// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/operation_tracker.hpp"

#include <algorithm>
#include <iterator>

namespace conclave {

namespace {

/// A component with one of these names, or one that ends in it where it begins with a dot.
constexpr std::string_view generated[] = {
    "__pycache__", ".pyc",         ".pyo",  ".pytest_cache", ".mypy_cache", ".ruff_cache", ".coverage", ".tox",
    ".nox",        "node_modules", ".next", ".nuxt",         "dist",        "build",       ".DS_Store", "Thumbs.db",
};
/// Of the last component alone.
constexpr std::string_view generated_ends[] = {".egg-info", ".log", ".swp", ".swo", "~"};

constexpr std::size_t max_named = 3;

bool generated_component(std::string_view name) {
  return std::any_of(std::begin(generated), std::end(generated),
                     [name](std::string_view g) { return name == g || (g.front() == '.' && name.ends_with(g)); });
}

} // namespace

bool operation_tracker::auto_generated(std::string_view path) {
  for (std::size_t at = 0; at <= path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    auto name = path.substr(at, end - at);
    if (generated_component(name))
      return true;
    auto ends = [name](std::string_view e) { return name.size() >= e.size() && name.ends_with(e); };
    if (std::any_of(std::begin(generated_ends), std::end(generated_ends), ends)
        && (end == path.size() || name.ends_with(".egg-info")))
      return true;
    at = end + 1;
  }
  return false;
}

void operation_tracker::note(const std::string& path, const file_identity& now, bool made) {
  auto known = files_.find(path);
  if (known != files_.end()) {
    known->second.identity = now;
    known->second.was_created = known->second.was_created || made;
  } else if (files_.size() < max_files) {
    files_.emplace(path, entry{now, made});
  }
}

void operation_tracker::read(const std::string& path, const file_identity& now) {
  note(path, now, false);
}

void operation_tracker::created(const std::string& path, const file_identity& now) {
  note(path, now, true);
}

void operation_tracker::wrote(const std::string& path, const file_identity& now) {
  note(path, now, false);
}

void operation_tracker::removed(const std::string& path) {
  files_.erase(path);
  files_.erase(files_.lower_bound(path + "/"), files_.lower_bound(path + "0")); // '0' follows '/'
}

void operation_tracker::moved(const std::string& from, const std::string& to, const std::optional<file_identity>& now) {
  if (from == to)
    return;
  std::map<std::string, entry> there;
  if (auto own = files_.find(from); own != files_.end())
    there.emplace(to, entry{now.value_or(own->second.identity), own->second.was_created});
  auto first = files_.lower_bound(from + "/"), last = files_.lower_bound(from + "0");
  for (auto i = first; i != last; ++i)
    there.emplace(to + i->first.substr(from.size()), i->second);
  removed(from);
  removed(to); // what was there is replaced
  files_.merge(there);
}

bool operation_tracker::knows(const std::string& path, const file_identity& now) const {
  auto known = files_.find(path);
  return known != files_.end() && known->second.identity == now;
}

std::optional<workspace_tools::tool_fault> operation_tracker::judge_removal(std::string_view given,
                                                                            const std::vector<present_file>& present) const {
  if (!enforce_)
    return std::nullopt;
  std::vector<const present_file*> unread;
  for (auto& f : present)
    if ((f.tracked || !auto_generated(f.relative)) && !knows(f.path, f.identity))
      unread.push_back(&f);
  if (unread.empty())
    return std::nullopt;
  using path_policy::shown;
  workspace_tools::tool_fault fault{path_policy::denial::unread, {}};
  if (unread.size() == 1 && present.size() == 1) {
    fault.text =
        shown(given) + " must be read before deletion: you have not read it in this run, or it was changed since. Read it first.";
    return fault;
  }
  fault.text = shown(given) + ": " + std::to_string(unread.size()) + (unread.size() == 1 ? " unread file (" : " unread files (");
  for (std::size_t i = 0; i < std::min(unread.size(), max_named); ++i)
    fault.text += (i == 0 ? "" : ", ") + shown(unread[i]->relative);
  fault.text += unread.size() > max_named ? ", ...)" : ")";
  fault.text += " must be read before deletion, as they are now. Read them first, or delete what you have read or made.";
  return fault;
}

std::optional<workspace_tools::tool_fault> operation_tracker::judge_overwrite(std::string_view given,
                                                                              const present_file& file) const {
  if (knows(file.path, file.identity))
    return std::nullopt;
  return workspace_tools::tool_fault{
      path_policy::denial::unread,
      path_policy::shown(given)
          + " exists and must be read before it is overwritten: you have not read it in this run, or it was "
            "changed since. Read it first, or choose another name."};
}

operation_tracker::counts operation_tracker::count() const {
  counts c;
  c.total = files_.size();
  c.created = static_cast<std::size_t>(std::count_if(files_.begin(), files_.end(), [](auto& f) { return f.second.was_created; }));
  c.read = c.total - c.created;
  return c;
}

} // namespace conclave
