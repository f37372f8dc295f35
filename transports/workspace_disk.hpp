// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The folders of one agent in one task: made for a run, kept as snapshots, given back at the end. Blocks on the disk: for one
/// worker thread at a time.

#include "protocols/config.hpp"
#include "protocols/internal.hpp"
#include "protocols/operation_tracker.hpp"
#include "protocols/path_policy.hpp"
#include "transports/git_repository.hpp"
#include "transports/snapshot_measure.hpp"
#include "transports/snapshot_store.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

struct workspace_folders {
  std::string home;  ///< of this process: snapshots and all workspaces are below it
  std::string place; ///< the agent's own (protocols/workspace_paths.hpp)
  std::string task;  ///< holds the snapshots
  workspace_config config;
  snapshots::bounds limits = {}; ///< of each folder of it
};

class workspace_disk {
public:
  explicit workspace_disk(workspace_folders f);

  /// Has the folders as a run is to find them. Returns what is wrong, for people, or empty.
  std::string prepare(const prepare_workspace& p, snapshots::cancel_flag cancel);

  /// Before the first run of a task that goes on from answers of another: these are the files of its agent's newest one. What it
  /// had changed in folders of the user's is compared with what it was made from; what it had not is made anew. Returns what is
  /// wrong, for people, or empty.
  std::string carry(const std::string& snapshot, const std::vector<folder_change>& changes);

  /// Has the folders there for a tool server, which may be started before any run, and this one as its HOME. `fresh` is set if
  /// there was no workspace yet. Returns what is wrong, for people, or empty.
  std::string lay_out(const std::string& home, bool& fresh);

  /// Takes the snapshots. Never throws; what went wrong is in the result.
  kept_files keep(bool present, snapshots::cancel_flag cancel);

  /// What the run may read and write now.
  path_policy::rules rules() const;

  /// What commands are to find hidden: names of secrets below the user's folders, and folders there that are too much to be looked
  /// into, or hold too many such names. A folder with too many of those is in `closed`: it is not for commands at all. Both are
  /// noticed. `by_grants`: what is hidden is not covered, all beside it is granted (the tier `landlock`).
  void find_secrets(std::vector<std::string>& hidden, std::vector<std::string>& closed, bool by_grants = false);

  /// What commands are not to change in folders that may be written, as it is now: all that is protected there, by whatever
  /// pattern. A folder with too much of that is in the list itself.
  std::vector<std::string> find_protected() const;

  /// A file that was made below a folder that may be written, at this time or later: its path and what it is.
  using made = std::pair<std::string, file_identity>;
  std::vector<made> made_since(std::int64_t unix_ns) const;

  /// Whether the run that it was prepared for writes in folders of the user's themselves (`write_mode: legacy`).
  bool writes_in_place() const;

  /// Nobody presents any more: from now on the user's folders are only read. Notes what was made in them under names that are never
  /// written, which no sandbox keeps a command from where nothing of that name was there. Nothing if nobody did.
  void end_presentation();

  /// Folders of objects of git that checkouts borrow from: commands are to read them.
  const std::vector<std::string>& borrowed() const { return borrowed_; }

  /// What a person is to know of the folders; each once.
  std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

  /// How much its folders hold that may be written, against `limits`.
  snapshots::amount measure(snapshots::cancel_flag cancel) const;

  /// Deletes the folders; snapshots stay. Returns what is wrong, or empty.
  std::string clear();

  const workspace_folders& folders() const { return f_; }

private:
  std::string make_folders();
  std::string fill_workspace(const prepare_workspace& p, snapshots::cancel_flag cancel);
  std::string show(const std::vector<shown_answer>& answers, snapshots::cancel_flag cancel);
  /// What a copy of a folder of the user's is made from.
  struct base {
    std::string snapshot;       ///< empty = there is no copy
    std::string branch, commit; ///< of its git repository
    std::int64_t files = 0, bytes = 0;
  };

  std::string copy_targets(bool as_it_is, snapshots::cancel_flag cancel);
  std::string check_out(const prepare_workspace& p, snapshots::cancel_flag cancel);
  std::string take_base(std::size_t i, const std::optional<git::repository>& of, snapshots::cancel_flag cancel);
  bool read_base(std::size_t i);
  std::string write_base(std::size_t i, base b);
  const folder_change* change_in(std::size_t i, const std::vector<folder_change>& changes) const;
  bool carried_unchanged(std::size_t i, const std::string& snapshot) const;
  std::optional<git::repository> repository_of(std::size_t i, bool tell);
  void notice(std::string text);
  bool holds_unchanged(const snapshots::taken& all, const std::string& folder, const std::string& as) const;
  void tell_not_copied(std::size_t i, const snapshots::taken& of);
  std::string base_file(std::size_t i) const;
  void begin_presentation(bool as_it_is, snapshots::cancel_flag cancel);
  std::vector<std::string> never_written(std::size_t i) const;
  void measure_in_place(snapshots::amount& all) const;
  snapshots::take_options how_to_take(std::size_t i, snapshots::cancel_flag cancel) const;

  workspace_folders f_;
  snapshots::store store_;
  std::vector<std::pair<std::string, std::string>> shown_; ///< id, snapshot
  std::vector<base> bases_;                                ///< of each context path
  bool presenting_ = false;                                ///< the run presents
  struct original {
    snapshots::amount held;         ///< when the presentation began
    std::vector<std::string> names; ///< of what is never written, that were there then
  };
  std::vector<original> originals_; ///< of each context path that is written in place, while someone presents
  std::vector<std::string> borrowed_, notices_, told_;
};

/// Where snapshots are kept below a home.
std::string snapshot_folder(const std::string& home);

/// Returns why a path below a folder of the user's is in no copy of it, or empty: keys and the like, and what programs keep there.
std::string left_out_of_copies(const std::string& path);

/// Why a folder of the user's is too much to be copied, without what is in no copy, or empty. Looks at all of it.
std::string copy_fault(const std::string& folder);

} // namespace conclave
