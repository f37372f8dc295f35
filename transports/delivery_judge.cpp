// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/delivery_judge.hpp"

#include "protocols/workspace_paths.hpp"
#include "transports/git_folders.hpp"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

namespace conclave::delivery {

namespace {

/// For people: the policy's own words tell a model what to do instead.
std::string reason(const path_policy::verdict& said) {
  switch (said.code) {
  case path_policy::denial::protected_path:
    return "protected by the entry " + path_policy::shown(said.rule);
  case path_policy::denial::secret:
    return "the name of a secret";
  case path_policy::denial::excluded:
    return "the name of what programs keep for themselves";
  default:
    return said.text;
  }
}

} // namespace

judge judge_for(const std::string& folder, const workspace_config& with) {
  using path_policy::root_kind;
  auto one_root = [](const std::string& path, root_kind kind, std::vector<std::string> entries) {
    path_policy::rules out;
    out.roots.push_back({path, kind, true, false, std::move(entries)});
    return out;
  };
  auto names = one_root(folder, root_kind::context, {});
  std::vector<path_policy::rules> given; // each by itself: its entries count from its own folder
  for (auto& c : with.context) {
    if (c.path != folder && !c.path.starts_with(folder + "/") && !folder.starts_with(c.path + "/"))
      continue;
    std::error_code e;
    auto one = std::filesystem::is_regular_file(c.path, e);
    auto entries = c.protected_paths;
    if (c.write && !one) {
      auto without = with; // who names a folder himself may write into it, though agents may not
      std::erase_if(without.context, [&](auto& x) { return x.path == folder || folder.starts_with(x.path + "/"); });
      auto read = workspace_paths::read_below(without, c.path);
      entries.insert(entries.end(), read.begin(), read.end());
    }
    if (!entries.empty())
      given.push_back(one_root(c.path, one ? root_kind::context_file : root_kind::context, std::move(entries)));
  }
  auto repositories = std::make_shared<git::repository_folders>(folder);
  return [names, given, folder, repositories](const std::string& path, path_policy::access what) {
    if (auto why = repositories->judge(path, what == path_policy::access::remove); !why.empty())
      return why;
    auto full = folder + "/" + path;
    auto said = path_policy::judge(names, full, what);
    for (auto r = given.begin(); said.ok() && r != given.end(); ++r) {
      auto by_entry = path_policy::judge(*r, full, path_policy::access::modify);
      if (by_entry.ok())
        by_entry = path_policy::judge(*r, full, what); // what is protected below it
      if (by_entry.code == path_policy::denial::protected_path)
        said = std::move(by_entry);
    }
    return reason(said);
  };
}

std::string denied(const judge& allowed, const snapshots::change& c) {
  using snapshots::entry_kind;
  if (c.path.starts_with(".conclave-"))
    return "names of this kind are used while changes are written";
  if (!allowed)
    return "nothing may be written here";
  auto removes =
      c.before.kind != entry_kind::none
      && (c.after.kind == entry_kind::none || (c.before.kind == entry_kind::folder) != (c.after.kind == entry_kind::folder));
  auto why = removes ? allowed(c.path, path_policy::access::remove) : std::string{};
  if (why.empty() && c.after.kind != entry_kind::none)
    why = allowed(c.path, c.before.kind == entry_kind::none ? path_policy::access::create : path_policy::access::modify);
  return why;
}

std::vector<left_out> take_denied(const judge& allowed, snapshots::changes& all) {
  using snapshots::entry_kind;
  std::vector<left_out> out;
  std::erase_if(all, [&](auto& c) {
    auto why = denied(allowed, c);
    if (why.empty())
      return false;
    if (out.empty() || !c.path.starts_with(out.back().path) || !out.back().path.ends_with('/'))
      out.push_back(
          {c.path + (c.before.kind == entry_kind::folder || c.after.kind == entry_kind::folder ? "/" : ""), std::move(why)});
    return true;
  });
  return out;
}

} // namespace conclave::delivery
