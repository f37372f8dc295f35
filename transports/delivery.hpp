// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Writes what lies between two snapshots into a folder of the user's, in one step that can be undone. New files and the old ones
/// are put aside first, then a plan is written, then names are exchanged: a process that is killed leaves the old tree, or one that
/// `recover` makes the new (or, where it cannot, the old). Nothing follows a link: each folder on the way is opened by itself.
///
///   delivery::job j{store, base, after, target, policy::fail, judge, journal};
///   auto got = delivery::apply(j);
///
/// Every function blocks on the disk: for a worker thread. One apply, undo or recover at a time per journal, and per target among
/// journals in one folder; others are told `busy`. Texts are escaped already.

#include "protocols/path_policy.hpp"
#include "transports/snapshot_store.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave::delivery {

using snapshots::cancel_flag;
using snapshots::left_out;
using snapshots::result;

/// What happens to a path that the user changed since the base was taken.
enum class policy : std::uint8_t {
  fail,             ///< nothing at all is written
  skip,             ///< that path is left as it is
  prefer_presenter, ///< the change wins; a folder with files that were not in the base stays
};

/// Returns why a path (relative to the target) may not be touched, or empty. Asked for each path that would be.
using judge = std::function<std::string(const std::string& path, path_policy::access what)>;

struct job {
  snapshots::store store; ///< where the snapshots are; a copy is cheap
  std::string base;       ///< id of what the changes were made from
  std::string after;      ///< id of what it became
  std::string target;     ///< an absolute folder, its links resolved
  policy on_drift = policy::fail;
  judge allowed;       ///< empty: nothing is allowed
  std::string journal; ///< a folder of our own, made if missing
  cancel_flag cancel = nullptr;
  std::uint64_t keep_free = snapshots::asked_keep_free; ///< bytes, of the target's disk and the journal's
};

enum class verdict : std::uint8_t {
  clean,   ///< the target is as the base says
  already, ///< the target is as the change wants it
  drifted, ///< the user changed it
  denied,  ///< not allowed, or not possible: `why`
};

struct proposed {
  snapshots::change what;
  verdict state = verdict::clean;
  std::string why; ///< of drifted and denied
};

/// Compares the changes with the target and writes nothing. In the order of the paths.
result<std::vector<proposed>> propose(const job& j);

struct applied {
  std::string id; ///< for undo; empty if there was nothing to do
  std::vector<std::string> added, modified, removed;
  std::vector<left_out> skipped;  ///< denied or drifted; and folders that stay because something is in them
  std::vector<std::string> yours; ///< files of another user that are of this one now: only root gives them back
};

/// Carries out what `propose` says. Failures: missing, drifted (policy fail), denied (the target itself), disk_full, busy, io,
/// damaged (the store), cancelled (before anything was written); each leaves the old tree.
result<applied> apply(const job& j);

/// Puts back what an apply replaced. Refuses, with nothing changed, if anything that it wrote is not as it left it (drifted, names
/// them), or if it was undone already (missing). Bytes, modes and times of what it replaced or removed are as they were, and
/// for root the owners.
result<applied> undo(const std::string& journal, const std::string& id, cancel_flag cancel = nullptr);

struct recovered {
  std::string id;
  std::string target;
  bool completed = false; ///< true: the tree is the new one; false: the old one
  bool undo = false;      ///< what was under way was an undo
  bool half = false;      ///< part of the tree is new and part old, and could not be mended now: the journal stays for the next try
  std::string text;       ///< one sentence
};

/// Ends what a killed process had begun. To be called before anything else uses the journal; a missing folder has nothing to do.
/// What cannot be reached now (a target that is not mounted) is left for the next time, and is said.
result<std::vector<recovered>> recover(const std::string& journal);

/// What was applied, oldest first.
struct past {
  std::string id;
  std::string target;
  std::int64_t applied_ms = 0;    ///< Unix time
  std::int64_t undone_ms = 0;     ///< likewise; 0 = it was not
  std::uint64_t files = 0;        ///< files and links that it wrote or removed; 0 = its plan cannot be read
  std::uint64_t paths = 0;        ///< folders, too
  std::uint64_t paths_undone = 0; ///< of the undo
  bool undone() const { return undone_ms != 0; }
};
std::vector<past> history(const std::string& journal);

/// Whether the journal has an apply or an undo that nobody has noted yet. Reads no plans.
bool has_unnoted(const std::string& journal);

/// Marks these as noted somewhere else, for `has_unnoted`, as they stand in `all`. What cannot be marked is found again.
void mark_noted(const std::string& journal, const std::vector<past>& all);

/// Forgets an apply: it cannot be undone any more. Returns what went wrong, or empty.
std::string forget(const std::string& journal, const std::string& id);

} // namespace conclave::delivery
