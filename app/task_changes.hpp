// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a task made of files, and how that gets into folders of the user's. Nothing else writes there, but a presentation with
/// `write_mode: legacy` (app/task_in_place.hpp). Blocks on the disk.

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "transports/delivery_judge.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave {

/// The files of one answer.
struct answer_files {
  std::string label;
  std::string snapshot; ///< empty = they are of an earlier task, and were gone when this one began
  std::int64_t files = 0, bytes = 0;
  bool earlier = false; ///< of the task that this one goes on from
};

struct task_changes {
  std::string task;
  std::string left;     ///< what was made and is not part of the answer's files and changes, one line; empty = nothing
  std::string snapshot; ///< of the files that go with the answer; empty = none
  std::int64_t files = 0;
  std::vector<folder_change> changes;
  std::string label;                 ///< of the answer they go with
  std::string continues;             ///< the task this one goes on from; empty = none
  std::vector<answer_files> answers; ///< all that have files, in the order of the log
  workspace_config workspace;        ///< of the winner: what is protected
  std::vector<std::string> in_place; ///< folders that the presenter could write in itself, so nothing is proposed of them
};

/// Reads a task's log. `error` says why it tells nothing.
task_changes changes_of(const std::string& task, const std::vector<event>& log, std::string& error);

/// Why there is nothing to apply where the presenter wrote in place; empty if it did not.
std::string nothing_to_apply(const task_changes& t);

/// Why a word says nothing of what apply does where the user changed a file since, or empty; an empty one says nothing else.
std::string drift_policy_fault(const std::string& given);

/// What apply does where the user changed a file since: `given` (fail, skip, prefer_presenter), if it says anything, else what the
/// configuration of who presented says.
delivery::policy drift_policy_of(const task_changes& t, const std::string& given = {});

/// Where undo finds what an apply of this task replaced.
std::string journal_of(const std::string& home, const std::string& task);

/// What is to be written, one entry for each folder. `to`: a folder that takes the place of the user's; empty = as proposed.
/// Returns nothing with `error` set where that cannot be. The jobs hold a reference to the store.
std::vector<delivery::job> jobs_of(const task_changes& t, const snapshots::store& store, const std::string& home,
                                   const std::string& to, delivery::policy on_drift, std::string& error);

/// One folder that was written.
struct written_folder {
  std::string folder;
  delivery::applied what;
};

/// Writes what a task changes; what killed processes had begun is ended first. Returns what is wrong, or empty; `out` (may be null)
/// gets what was written, `tell` (may be empty) what was ended. Once `cancel` is set, no further folder is begun, and the one under
/// way is left as it was, or written whole.
std::string apply_changes(const task_changes& t, const std::string& home, const std::string& to, delivery::policy on_drift,
                          std::vector<written_folder>* out = nullptr, const std::function<void(const std::string&)>& tell = {},
                          snapshots::cancel_flag cancel = nullptr);

/// Ends what processes that were killed had begun, of all tasks: their half-written changes, folders that `write_files` was
/// making, and what lies beside files of the user's. What another process is at, or what cannot be reached now, is left for the
/// next time.
void finish_broken_deliveries(const std::string& home, const std::function<void(const std::string&)>& tell = {});

/// Takes back all that was applied of a task and was not taken back, also where one folder cannot be: what is wrong
/// there is returned. As above.
std::string undo_changes(const std::string& home, const std::string& task, std::vector<written_folder>* out = nullptr,
                         const std::function<void(const std::string&)>& tell = {}, snapshots::cancel_flag cancel = nullptr);

/// What one apply of a task did, for people: how many files, where, when, and when it was taken back.
std::string delivery_text(const delivery::past& p);

/// The changes for people: a line for each file, and below it what differs unless only `names` are wanted. Names are escaped.
std::string changes_text(const task_changes& t, const snapshots::store& store, bool names, std::string& error);

/// Writes the files of the answer into a new folder, whole or not at all, but for names that are not written outside of workspaces:
/// these are in `left`. `files`: how many were written. Once `cancel` is set, nothing is there. Returns what is wrong, or empty.
std::string write_files(const task_changes& t, const snapshots::store& store, const std::string& home, const std::string& folder,
                        std::uint64_t& files, std::vector<snapshots::left_out>& left, snapshots::cancel_flag cancel = nullptr);

} // namespace conclave
