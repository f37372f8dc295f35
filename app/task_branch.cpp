// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_branch.hpp"

#include "protocols/text.hpp"
#include "transports/git_checkout.hpp"
#include "transports/workspace_disk.hpp"

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
      c.git = git_checkout_wanted(a.backend.workspace, c) && git::find(c.path, why);
}

std::string commit_changes(const task_changes& t, const std::string& home, const std::string& name,
                           std::vector<committed_folder>& out) {
  if (t.changes.empty())
    return "task " + t.task + " proposes no changes to a folder";
  snapshots::store store{snapshot_folder(home)};
  auto open = [&store](const git::path_change& c) { return store.open_object(c.sha256); };
  std::vector<git::repository> repositories;
  for (auto& c : t.changes) { // all of them first: else some folders would have a branch and others none
    std::string why;
    auto found = git::find(c.folder, why);
    if (!found)
      return shown_text(c.folder, 4'096) + ": " + (why.empty() ? "is not the top of a git repository" : why)
             + "; to write the files: conclave apply " + t.task;
    if (c.commit.empty())
      return shown_text(c.folder, 4'096) + ": had no commit that the changes could be based on; to write the files: conclave apply "
             + t.task;
    repositories.push_back(std::move(*found));
  }
  for (std::size_t i = 0; i < t.changes.size(); ++i) {
    auto& c = t.changes[i];
    committed_folder made;
    made.folder = c.folder;
    std::vector<git::path_change> changes;
    auto why = read_changes(store, c, judge_for(c.folder, t.workspace), changes, made);
    git::new_branch branch;
    if (why.empty()) {
      branch = git::commit_branch(repositories[i], c.commit, name, "Changes of conclave task " + t.task + "\n", changes, open);
      why = branch.error;
    }
    if (!why.empty())
      return shown_text(c.folder, 4'096) + ": " + why;
    made.commit = std::move(branch.commit);
    made.author = std::move(branch.author);
    out.push_back(std::move(made));
  }
  return {};
}

} // namespace conclave
