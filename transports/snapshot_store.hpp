// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Snapshots of folders: files by the SHA-256 of their bytes, folders by that of their entries, so that what two of them share is
/// kept once. An id is that of the root folder; it covers names, kinds, who may execute, and bytes, and no times. Nothing that is
/// kept is ever changed, and nothing is ever a hard link to a writable place.
///
///   snapshots::store s{home + "/snapshots"};
///   auto got = s.take(workspace, {.holder = task, .scan_cache = cache});
///   if (auto* t = std::get_if<snapshots::taken>(&got)) ... t->id
///
/// Every function blocks on the disk: for a worker thread. Any number of threads and processes may use one home at a time.
/// Paths of results are relative, '/' between components, bytes as the disk has them: escape them wherever they are shown
/// (shown_text). Texts are escaped already.

#include "transports/snapshot_types.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace conclave::snapshots {

class store {
public:
  /// `home`: a folder of the store's own, made (0700) when first needed; its parent has to be there.
  explicit store(std::string home) : home_(std::move(home)) {}

  /// Takes a snapshot of `folder` and holds it for `options.holder`. It is durable when this returns. Reads the files whose
  /// identity, size or times changed since the scan of `options.scan_cache`. Entered by descriptors, no link is followed, no mount
  /// point crossed. Sockets, FIFOs, devices, mount points, links that lead out, and what cannot be read in a folder that is not
  /// `ours`, are left out and listed. A failure leaves every snapshot as it was, and holds nothing. Failures: over_limit,
  /// unsettled, disk_full, io, cancelled.
  result<taken> take(const std::string& folder, const take_options& options) const;

  /// Holds a snapshot that someone holds for one more holder. Failures: missing, disk_full, io.
  result<taken> hold(const std::string& id, const std::string& holder) const;

  /// What a holder holds, in no order.
  std::vector<std::string> held(const std::string& holder) const;

  /// Lets go of some ids (all of a holder's, if `ids` is empty) and frees what nobody holds any more. While others take
  /// snapshots nothing is freed: `swept` says so, and the next call does it. Failures: io, cancelled, damaged (then nothing is
  /// freed).
  result<freed> remove(const std::string& holder, const std::vector<std::string>& ids = {}, cancel_flag cancel = nullptr) const;

  /// Frees what nobody holds, and what broken attempts left.
  result<freed> sweep(cancel_flag cancel = nullptr) const;

  /// Makes `folder` a read-only tree (files 0444 or 0555, folders 0555); files are hard links to our own read-only objects where
  /// that can be. `folder` must not exist or be empty; it appears by one rename, so it is whole or not there. Failures: missing,
  /// exists, damaged, disk_full, io, cancelled.
  result<placed> materialise(const std::string& id, const std::string& folder, cancel_flag cancel = nullptr) const;

  /// As above, a writable copy (0644 or 0755) that shares nothing but extents of the disk. A new folder: one that was open is
  /// not the same any more. `leave_out` (may be empty) says why something is not written, with all that is in it, or nothing.
  /// `for_user`: the folder is to be the user's, so it and all in it have the modes that the umask of the process gives, and what a
  /// killed process leaves beside it is known to `clear_broken_places`.
  result<placed> restore(const std::string& id, const std::string& folder, cancel_flag cancel = nullptr,
                         std::uint64_t keep_free = default_keep_free, const leaving& leave_out = {}, bool for_user = false) const;

  /// Deletes what killed processes left beside folders of the user's that they were making. Returns a sentence for each. While
  /// others take or place snapshots nothing is done, and the next call does it.
  std::vector<std::string> clear_broken_places() const;

  /// Calls `visit` for everything in a snapshot, folders before what is in them, names in byte order, until it returns false.
  result<placed> walk(const std::string& id, const std::function<bool(const std::string& path, const entry& e)>& visit) const;

  /// The entries of a snapshot in that order, `limit` at most from the `skip`-th on. `more`: there are others.
  result<listing> list(const std::string& id, std::size_t limit = 10'000, std::size_t skip = 0) const;

  /// What one path of a snapshot is; no link is followed. Failures: missing, damaged, io.
  result<entry> find(const std::string& id, const std::string& path) const;

  /// `limit` bytes (at most 16 MiB) of a file from `offset` on. A link is a failure that names where it leads.
  /// Failures: missing, not_a_file, damaged, io.
  result<piece> read(const std::string& id, const std::string& path, std::uint64_t offset, std::size_t limit) const;

  /// Reads all of a snapshot again. Failures: missing, damaged (names the first paths that are), io, cancelled.
  result<placed> verify(const std::string& id, cancel_flag cancel = nullptr) const;

  /// What is lacking of a snapshot, by existence and size: reads its folders, and no file. Folders that were found whole are in
  /// `whole`, and are not looked at again. Failures: missing, damaged (names the first path that is), io.
  std::optional<failure> lack(const std::string& id, std::set<std::string>& whole) const;

  /// What leads from one snapshot to another, by path. Costs as much as what differs. Failures: missing, damaged, io.
  result<changes> diff(const std::string& before, const std::string& after) const;

  /// A unified diff of one change, with "--- a/path" and "+++ b/path" in front, names escaped. Files that are not text are said to
  /// be binary, beyond `lines` lines it says how many are left out. Never fails: what cannot be read is said in it.
  std::string text_diff(const change& c, std::size_t lines = 500) const;

  /// A descriptor for reading the bytes of a file or the target of a link by its hash, -1 with errno set. The caller closes it.
  int open_object(const std::string& sha256) const;

  const std::string& home() const { return home_; }

private:
  std::string home_;
};

/// Deletes a folder and everything below it, read-only folders too; follows no link and crosses no mount point. What is not there
/// is deleted. Returns what went wrong, or empty.
std::string remove_tree(const std::string& folder, cancel_flag cancel = nullptr);

/// Whether a snapshot of a folder (without what `options` leave out, or what may not be read) is beyond its limits, or cannot be
/// taken: over_limit with the largest, io, cancelled. Looks at all of it, reads no file, changes nothing.
std::optional<failure> over_limits(const std::string& folder, const take_options& options);

} // namespace conclave::snapshots
