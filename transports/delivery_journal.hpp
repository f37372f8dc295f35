// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the journal of a delivery holds, and how it is carried out. Private to transports/delivery*.
///
///   lock            held while something is under way
///   <id>/target     written first: which folder, so that what lies beside its files can be found
///   <id>/old/<n>    the bytes of the n-th step's file as it was
///   <id>/plan       written when everything is put aside and durable; from then on it is done to the end, or taken back
///   <id>/back       it is being taken back
///   <id>/lost       what lay beside the user's files was gone, so old files come from old/
///   <id>/done       written when the target is durable: how many paths were written
///   <id>/noted      it is told elsewhere, too (the log of the task)
///   <id>/undo/      the same for an undo
///
/// The folders that are being written are locked in ../.targets.
///
/// New files wait in <target>/.conclave-<id>/<n>; what they replaced lies there too until the end ("<n>" exchanged, "<n>.old"
/// moved). Whether a step was taken is known by that, so nothing of it is deleted while the plan is there.

#include "transports/delivery.hpp"
#include "transports/snapshot_disk.hpp"

#include <optional>
#include <string>
#include <vector>

namespace conclave::delivery {

using snapshots::descriptor;
using snapshots::entry_kind;
using snapshots::failure;
using snapshots::fault;
using snapshots::found;

/// Something with a name, as it is before or after a step.
struct state {
  entry_kind kind = entry_kind::none;
  std::uint32_t mode = 0, uid = 0, gid = 0; ///< permissions alone
  std::uint64_t size = 0, inode = 0;
  snapshots::moment modified = 0;
  std::string sha256; ///< of a file's bytes, of a link's target

  bool is(const found& f) const; ///< the same file in the same state, wherever it is now
};
state state_of(const found& f);

enum class act : char { remove_file = 'r', remove_folder = 'R', make_folder = 'M', add = 'a', replace = 'c' };

struct step {
  act what = act::add;
  std::string path;
  state before, after;
};

inline bool has_old(const step& s) {
  return s.before.kind != entry_kind::none && s.before.kind != entry_kind::folder;
}
inline bool has_new(const step& s) {
  return s.what == act::add || s.what == act::replace;
}

/// A folder of the user's, held open.
class target {
public:
  target() = default;
  ~target();
  target(const target&) = delete;
  target& operator=(const target&) = delete;

  /// Failures: denied (it is gone, no folder, a link), io.
  std::optional<failure> open(const std::string& path);
  /// Keeps others out that deliver to it by a journal beside this one. By a file of our own, named after the folder's device and
  /// inode: whoever may read the folder could lock that itself. Failures: busy, io, disk_full.
  std::optional<failure> lock(const std::string& journal);
  /// Opens the folder that a path is in, one component after the other; no link, no other disk. `name` gets what is behind.
  descriptor parent(const std::string& path, std::string& name) const;
  int root() const { return root_.get(); }
  const found& what() const { return what_; }
  const std::string& path() const { return path_; }

private:
  std::string path_;
  descriptor root_, locks_, lock_;
  std::string lock_name_;
  found what_;
};

/// One plan and where its parts lie.
class run {
public:
  /// `folder`: <id> or its undo.
  run(descriptor folder, std::string id, bool undo) : folder_(std::move(folder)), id_(std::move(id)), undo_(undo) {}

  int begin(const target& at); ///< writes "target", makes the place for new files
  int open_stage(const target& at);
  int write_plan(const std::vector<step>& steps, const target& at) const;
  int read_plan(std::vector<step>& out) const;
  /// Reads "target"; false if there is none.
  bool read_target(std::string& path, std::uint64_t& inode) const;

  /// Takes every step that is not taken yet. Returns what stands in the way, which is nothing after a kill. `kept`: folders that
  /// are not empty; `reached`: how many steps may have been taken.
  std::optional<failure> forward(const std::vector<step>& steps, const target& at, std::vector<left_out>& kept,
                                 std::size_t& reached) const;
  /// Takes back every step that was taken; what somebody else put in the place of a new file stays. Then ends the plan and clears
  /// up. What cannot be taken back keeps all of it, for another time: returns what that is, or empty.
  std::string take_back(const std::vector<step>& steps, const target& at, std::size_t reached) const;
  /// Whether somebody deleted what lay beside the user's files and is needed to go on.
  bool is_damaged(const std::vector<step>& steps, const target& at) const;
  /// Then: from here on what an apply replaced comes from its old/; an undo is given its new files again, from `olds` of what was
  /// `applied`. Returns 0 or errno.
  int mend_stage(std::vector<step>& steps, const target& at, const std::vector<step>& applied, int olds);

  /// Makes the target durable and says so, then clears up. Returns 0 or errno; then nothing is said.
  int finish(const target& at, std::size_t paths);
  int clear(const target& at) const; ///< deletes what lies beside the user's files
  void end_plan() const;             ///< from here on there is nothing to end

  int folder() const { return folder_.get(); }
  int stage() const { return stage_.get(); }
  bool has(const char* name) const;
  bool undo() const { return undo_; }
  std::string stage_name() const { return ".conclave-" + id_ + (undo_ ? "-undo" : ""); }

private:
  std::optional<failure> take(const step& s, std::size_t n, const target& at, std::vector<left_out>& kept) const;
  std::string take_back(const step& s, std::size_t n, const target& at, std::size_t reached) const;
  bool lies_aside(const step& s, std::size_t n) const;
  int put_back(const step& s, std::size_t n, int in, const std::string& name) const;

  descriptor folder_, stage_;
  std::string id_;
  bool undo_, lost_ = false;
};

/// Opens the journal and locks it. Failures: busy, io, missing (if not `make`).
std::optional<failure> open_journal(const std::string& path, bool make, descriptor& folder, descriptor& lock);

/// A folder in a folder; no link.
descriptor open_in(int in, const std::string& name);

/// Six letters and digits.
bool is_id(const std::string& id);

/// `so`: what that means for the rest.
failure changed_meanwhile(const std::string& path, const char* so = "");

/// Moves a name where nothing is; where a disk does not know how, it is looked first. Returns 0 or errno, EEXIST if there is
/// something.
int move_name(int from, const std::string& name, int to, const std::string& new_name);

/// Returns 0 or errno; EINVAL: this disk does not exchange names.
int exchange(int a, const std::string& name, int b, const std::string& other);

/// Whether a name is that file. A name that is nothing is not.
bool is_still(int folder, const std::string& name, const state& s);
bool is_nothing(int folder, const std::string& name);

/// Makes a folder aside, and moves it to its place once it is as it shall be: none is ever seen half made. Returns 0, also if a
/// folder is there, or errno; EEXIST if something else is.
int make_folder(int stage, const std::string& slot, int in, const std::string& name, const state& as);

/// Gives a folder that was made again the time that it had, once what belongs into it is there.
void date_folder(const target& at, const std::string& path, const state& as);

/// Puts a file or a link with the bytes of `source` aside and notes in `as` which one it is. Returns 0 or errno.
int put_aside(int stage, const std::string& slot, state& as, int source, cancel_flag cancel);

/// Keeps the bytes of what a step takes away. Returns 0 or errno; EAGAIN: it is not what was judged any more.
int keep_old(int olds, std::size_t n, const step& s, const target& at, cancel_flag cancel);

} // namespace conclave::delivery
