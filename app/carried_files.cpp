// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/carried_files.hpp"

#include "protocols/text.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/snapshot_store.hpp"
#include "transports/workspace_disk.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <variant>

namespace conclave {

namespace {

/// All snapshots that go with an answer; it has files.
std::vector<std::string> snapshots_of(const earlier_answer& a) {
  std::vector<std::string> ids{a.snapshot};
  for (auto& c : a.changes) {
    ids.push_back(c.before);
    ids.push_back(c.after);
  }
  return ids;
}

std::string files_of(const earlier_answer& a) {
  return "the files of '" + shown_text(a.agent) + "' (" + shown_text(a.label) + ") ";
}

/// Holds all that goes with an answer. Returns what failed.
std::optional<snapshots::failure> hold(const snapshots::store& store, const earlier_answer& a, const std::string& task) {
  for (auto& id : snapshots_of(a)) {
    auto got = store.hold(id, task);
    if (auto* f = std::get_if<snapshots::failure>(&got))
      return std::move(*f);
  }
  return {};
}

} // namespace

std::string damaged_files(const std::string& home, const std::string& task, const std::vector<earlier_answer>& answers,
                          bool or_gone) {
  snapshots::store store{snapshot_folder(home)};
  std::set<std::string> whole;
  for (auto& a : answers) {
    std::optional<snapshots::failure> lack;
    if (!a.snapshot.empty())
      for (auto& id : snapshots_of(a))
        if (!lack && (lack = store.lack(id, whole)) && lack->kind == snapshots::fault::missing)
          if (auto all = store.held(task); !or_gone && std::find(all.begin(), all.end(), id) == all.end())
            lack->text.clear(); // deleted with its task, as a whole
    if (!lack || lack->text.empty())
      continue;
    auto how = lack->kind == snapshots::fault::missing   ? "are gone: "
               : lack->kind == snapshots::fault::damaged ? "are damaged: "
                                                         : "cannot be looked at: ";
    return files_of(a) + how + lack->text + "; put that back, or ask again: conclave show " + task + " has the answers";
  }
  return {};
}

std::string carry_files(std::vector<earlier_answer>& answers, const carrying_task& into, std::vector<std::string>& gone) {
  snapshots::store store{snapshot_folder(into.home)};
  for (auto& a : answers) {
    if (a.snapshot.empty())
      continue;
    auto failed = hold(store, a, into.task);
    if (!failed)
      continue;
    if (failed->kind != snapshots::fault::missing)
      return files_of(a) + "cannot be kept for the new task: " + failed->text;
    gone.push_back(files_of(a) + "are not there any more: of that answer the new task has the text alone");
    a.snapshot.clear();
    a.changes.clear();
  }
  for (std::size_t i = 0; i < into.agents.size(); ++i) {
    auto& agent = into.agents[i];
    auto newest = std::find_if(answers.rbegin(), answers.rend(), [&](auto& a) { return a.agent == agent.id; }); // by their age
    if (!agent.node.empty() || agent.backend.workspace.cwd.empty() || newest == answers.rend() || newest->snapshot.empty())
      continue;
    auto number = static_cast<std::uint32_t>(i + 1);
    workspace_disk disk{{into.home,
                         into.home + "/work/" + into.task + "/" + workspace_paths::place_name(into.task, into.seed, number),
                         into.task, agent.backend.workspace}};
    if (auto fault = disk.carry(newest->snapshot, newest->changes); !fault.empty())
      return files_of(*newest) + "cannot be kept for the new task: " + fault;
  }
  return {};
}

void drop_carried_files(const carrying_task& into) {
  snapshots::remove_tree(into.home + "/work/" + into.task); // what stays of it costs room alone
  static_cast<void>(snapshots::store{snapshot_folder(into.home)}.remove(into.task));
}

} // namespace conclave
