// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_branch.hpp"

#include "protocols/path_policy.hpp"
#include "transports/git_checkout.hpp"
#include "transports/snapshot_disk.hpp"
#include "transports/workspace_disk.hpp"

#include <cerrno>
#include <utility>
#include <variant>

namespace conclave {

namespace {

using snapshots::entry_kind;
using kind = git::path_change::kind;

kind kind_of(entry_kind k) {
  switch (k) {
  case entry_kind::file:
    return kind::file;
  case entry_kind::executable:
    return kind::executable;
  case entry_kind::link:
    return kind::link;
  default:
    return kind::removed;
  }
}

/// What differs, as git keeps it: it knows no empty folders.
std::string read_changes(const snapshots::store& store, const folder_change& c, const delivery::judge& allowed,
                         std::vector<git::path_change>& out, committed_folder& made) {
  auto got = store.diff(c.before, c.after);
  if (auto* f = std::get_if<snapshots::failure>(&got))
    return f->text;
  for (auto& x : std::get<snapshots::changes>(got)) {
    auto before = kind_of(x.before.kind), after = kind_of(x.after.kind);
    if (before == kind::removed && after == kind::removed)
      continue;
    auto why = allowed(x.path, after == kind::removed    ? path_policy::access::remove
                               : before == kind::removed ? path_policy::access::create
                                                         : path_policy::access::modify);
    if (!why.empty()) {
      made.skipped.push_back({x.path, std::move(why)});
      continue;
    }
    made.paths.push_back(x.path);
    out.push_back({after, x.path, x.after.sha256, x.after.size});
  }
  return out.empty() ? "there is nothing to commit" : "";
}

} // namespace

void find_repositories(std::vector<agent_config>& agents) {
  std::string why; // the workspace tells it, where there is no checkout
  for (auto& a : agents)
    for (auto& c : a.backend.workspace.context)
      // One that is no repository any more goes with answers as it did, where a task goes on.
      c.git = git_checkout_wanted(a.backend.workspace, c) && (c.git || git::find(c.path, why));
}

std::string commit_changes(const task_changes& t, const std::string& home, const std::string& name,
                           std::vector<committed_folder>& out) {
  if (t.changes.empty())
    return t.in_place.empty() ? "task " + t.task + " proposes no changes to a folder" : nothing_to_apply(t);
  snapshots::store store{snapshot_folder(home)};
  auto open = [&store](const git::path_change& c) {
    snapshots::descriptor fd{store.open_object(c.sha256)};
    wire::digest hash{};
    auto error = fd ? snapshots::hash_bytes(fd.get(), hash, nullptr) : errno;
    errno = error != 0 || wire::to_hex(hash) == c.sha256 ? error : EIO; // the store is damaged
    return errno == 0 ? fd.release() : -1;
  };
  struct part {
    git::repository repository;
    committed_folder made;
    std::vector<git::path_change> changes;
  };
  std::vector<part> parts;
  for (auto& c : t.changes) { // all of them first: else some folders would have a branch and others none
    std::string why;
    auto found = git::find(c.folder, why);
    auto folder = path_policy::shown(c.folder, 4'096) + ": ";
    if (!found)
      return folder + (why.empty() ? "is not the top of a git repository" : why) + "; to write the files: conclave apply " + t.task;
    if (c.commit.empty())
      return folder + "had no commit that the changes could be based on; to write the files: conclave apply " + t.task;
    for (auto& p : parts)
      if (p.repository.common == found->common)
        return folder + "is of the same repository as " + path_policy::shown(p.made.folder, 4'096)
               + ", which can have one branch of a name; nothing was written; to write the files: conclave apply " + t.task;
    part p{std::move(*found), {}, {}};
    p.made.folder = c.folder;
    if (why = read_changes(store, c, delivery::judge_for(c.folder, t.workspace), p.changes, p.made); why.empty())
      why = git::check_branch(p.repository, c.commit, name, p.changes);
    if (!why.empty())
      return folder + why + (t.changes.size() > 1 ? "; nothing was written" : "") + "; to write the files: conclave apply "
             + t.task;
    parts.push_back(std::move(p));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto& [repository, made, changes] = parts[i];
    auto branch =
        git::commit_branch(repository, t.changes[i].commit, name, "Changes of conclave task " + t.task + "\n", changes, open);
    if (!branch.error.empty())
      return path_policy::shown(made.folder, 4'096) + ": " + branch.error;
    for (auto& [path, why] : branch.left_out) {
      if (path.ends_with('/'))
        std::erase_if(made.paths, [&p = path](auto& x) { return x.starts_with(p); });
      else
        std::erase(made.paths, path);
      made.skipped.push_back({path, why});
    }
    made.commit = std::move(branch.commit);
    made.author = std::move(branch.author);
    out.push_back(std::move(made));
  }
  return {};
}

} // namespace conclave
