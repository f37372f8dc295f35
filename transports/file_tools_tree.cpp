// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "transports/file_tools.hpp"
#include "transports/file_tools_parts.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace conclave {

namespace wt = workspace_tools;

using path_policy::access;
using path_policy::shown;

namespace {

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024)
    return std::to_string(bytes) + " B";
  constexpr const char* units[] = {"KB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024) {
    value /= 1024;
    ++unit;
  }
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.2f %s", value, units[unit]);
  return buffer;
}

const char* mark_of(entry_kind k) {
  switch (k) {
  case entry_kind::file:
    return "[FILE] ";
  case entry_kind::folder:
    return "[DIR] ";
  case entry_kind::link:
    return "[LINK] ";
  case entry_kind::special:
    break;
  }
  return "[OTHER] ";
}

} // namespace

std::string file_tools::carry_out(const wt::list_directory& c) {
  auto a = at(c.path, access::list);
  auto folder = a.dir->find(a.relative); // judged before it is listed
  check(a, folder.error);
  check_found(a, folder.value.path, access::list);
  auto listed = a.dir->list(folder.value.path, settings_.bounds.list_entries);
  check(a, listed.error);
  auto& entries = listed.value.entries;
  if (c.sort_by == wt::sort_order::size)
    std::stable_sort(entries.begin(), entries.end(), [](auto& l, auto& r) { return l.facts.size > r.facts.size; });
  std::string out;
  std::size_t files = 0, folders = 0;
  std::uint64_t bytes = 0;
  for (auto& e : entries) {
    out += mark_of(e.facts.kind) + line_of(e.name);
    if (e.facts.kind == entry_kind::link) {
      auto path = folder.value.path.empty() ? e.name : folder.value.path + "/" + e.name;
      if (auto target = a.dir->link_target(path); target.ok())
        out += " -> " + shown(target.value);
    }
    if (e.facts.kind == entry_kind::file) {
      ++files;
      bytes += e.facts.size;
      if (c.with_sizes)
        out += "  " + size_text(e.facts.size);
    }
    folders += e.facts.kind == entry_kind::folder;
    out += "\n";
  }
  if (listed.value.cut)
    out += "[cut: only the first " + std::to_string(entries.size()) + " entries by name are shown]\n";
  if (c.with_sizes)
    out += "\nTotal: " + std::to_string(files) + " files, " + std::to_string(folders)
           + " directories\nCombined size: " + size_text(bytes) + "\n";
  if (entries.empty() && !c.with_sizes)
    return "The directory is empty.\n";
  return out;
}

std::string file_tools::carry_out(const wt::directory_tree& c) {
  auto a = at(c.path, access::list);
  auto exclude = patterns(c.exclude);
  auto folder = a.dir->find(a.relative);
  check(a, folder.error);
  check_found(a, folder.value.path, access::list);
  std::vector<wt::tree_node> top;
  std::vector<std::vector<wt::tree_node>*> open = {&top}; // by depth; the last node of each is the folder we are in
  std::size_t nodes = 0;
  std::string note;
  auto visit = [&](const walked& w) {
    if (left_out(exclude, w.path, w.name))
      return walk_step::over;
    auto path = a.below(folder.value.path.empty() ? w.path : folder.value.path + "/" + w.path);
    auto listed = may(path, access::list);
    if (nodes == settings_.bounds.tree_nodes) {
      note = "cut at " + std::to_string(nodes) + " entries: ask for a directory below, or use excludePatterns";
      return walk_step::stop;
    }
    ++nodes;
    open.resize(static_cast<std::size_t>(w.depth) + 1);
    auto& siblings = *open.back();
    siblings.push_back({w.name, type_name(w.facts.kind), {}});
    if (w.facts.kind != entry_kind::folder)
      return walk_step::on;
    if (w.depth + 1 >= settings_.bounds.tree_depth) {
      note = "directories below depth " + std::to_string(settings_.bounds.tree_depth) + " are not shown";
      return walk_step::over;
    }
    if (!listed || w.fault != dir_fault::none)
      return walk_step::over;
    open.push_back(&siblings.back().children);
    return walk_step::on;
  };
  check(a, a.dir->walk(folder.value.path, walking(), visit));
  return wire::to_json(top, note);
}

std::string file_tools::carry_out(const wt::search_files& c) {
  auto a = at(c.path, access::list);
  auto include = patterns({c.pattern});
  auto exclude = patterns(c.exclude);
  auto folder = a.dir->find(a.relative);
  check(a, folder.error);
  check_found(a, folder.value.path, access::list);
  auto plain = c.pattern.find_first_of("*?[") == std::string::npos;
  auto wanted = lower(c.pattern);
  std::string out;
  std::size_t found = 0, seen = 0;
  auto visit = [&](const walked& w) {
    if (left_out(exclude, w.path, w.name))
      return walk_step::over;
    auto path = a.below(folder.value.path.empty() ? w.path : folder.value.path + "/" + w.path);
    // "a*" is meant as a name wherever it is, "src/*.py" as a path.
    auto matches = include.matches(w.path) || (w.depth > 0 && include.matches_name(w.name))
                   || (plain && lower(w.name).find(wanted) != std::string::npos);
    if (matches && found == settings_.bounds.found) {
      out += "[cut at " + std::to_string(found) + " results: search a directory below, or with a narrower pattern]\n";
      return walk_step::stop;
    }
    if (++seen > settings_.bounds.walked) {
      out += "[cut: " + std::to_string(settings_.bounds.walked) + " entries were looked at]\n";
      return walk_step::stop;
    }
    if (matches) {
      ++found;
      out += line_of(path) + "\n";
    }
    return w.facts.kind == entry_kind::folder && !may(path, access::list) ? walk_step::over : walk_step::on;
  };
  check(a, a.dir->walk(folder.value.path, walking(), visit));
  return out.empty() ? "No matches found" : out;
}

} // namespace conclave
