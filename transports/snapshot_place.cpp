// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_policy.hpp"
#include "transports/snapshot_placing.hpp"
#include "transports/snapshot_read.hpp"
#include "transports/snapshot_store.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::snapshots {

namespace {

/// Makes the tree of one snapshot.
struct builder {
  const objects& kept;
  cancel_flag cancel;
  bool read_only;
  const leaving& leave_out;
  mode_t mask = 0;       ///< taken off what is writable
  std::size_t root = 0;  ///< bytes of the folder's own path, with the '/'
  bool verifies = false; ///< the bytes of files, not only which there are
  placed out = {};

  std::optional<failure> fill(int folder, const wire::digest& hash, const std::string& path, unsigned depth);
  std::optional<failure> file(int folder, const std::string& name, const tree_entry& e, const std::string& path);
  int copy(int folder, const std::string& name, const tree_entry& e, mode_t mode) const;
};

std::optional<failure> builder::fill(int folder, const wire::digest& hash, const std::string& path, unsigned depth) {
  std::string text;
  if (auto bad = kept.read_tree(hash, text))
    return bad;
  tree_reader in{text};
  tree_entry e;
  while (in.next(e)) {
    if (is_set(cancel))
      return failed("", "", ECANCELED);
    std::string name{e.name};
    auto below = path + "/" + name;
    if (leave_out && !leave_out(below.substr(root), e.kind == entry_kind::folder).empty())
      continue;
    if (e.kind == entry_kind::link) {
      std::string target;
      descriptor fd{kept.open_file(e.hash)};
      if (!fd || read_whole(fd.get(), target, 4096) != 0 || wire::sha256_digest(target) != e.hash
          || !leads_out(target, depth).empty())
        return damaged(kept, e.hash, below);
      if (::symlinkat(target.c_str(), folder, name.c_str()) != 0)
        return failed("write", below, errno);
      ++out.files;
    } else if (e.kind == entry_kind::folder) {
      descriptor inside;
      if (::mkdirat(folder, name.c_str(), 0755) == 0)
        inside.reset(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!inside || ::fchmod(inside.get(), 0755) != 0)
        return failed("make", below, errno);
      ++out.dirs;
      if (auto bad = fill(inside.get(), e.hash, below, depth + 1))
        return bad;
      if (!read_only && ::fchmod(inside.get(), 0777 & ~mask) != 0)
        return failed("close", below, errno);
    } else if (auto bad = file(folder, name, e, below)) {
      return bad;
    }
  }
  if (!in.good())
    return failure{fault::damaged, "the snapshot store is damaged: " + kept.home() + "/trees/" + objects::place(hash), {}};
  if (read_only && ::fchmod(folder, 0555) != 0)
    return failed("close", path, errno);
  return {};
}

std::optional<failure> builder::file(int folder, const std::string& name, const tree_entry& e, const std::string& path) {
  auto executable = e.kind == entry_kind::executable;
  ++out.files;
  out.bytes += e.size;
  int error = EMLINK;
  if (read_only) {
    error = executable ? kept.make_executable(e.hash, e.size, cancel) : 0;
    auto from = objects::place(e.hash) + (executable ? ".x" : "");
    if (error == 0 && ::linkat(kept.files(), from.c_str(), folder, name.c_str(), 0) != 0)
      error = errno;
    // Too many names for one file, or another disk.
    if (error != EMLINK && error != EXDEV && error != EPERM && error != 0)
      return error == ENOENT ? damaged(kept, e.hash, path) : failed("write", path, error);
  }
  if (error != 0)
    error = copy(folder, name, e, read_only ? (executable ? 0555 : 0444) : (executable ? 0777 : 0666) & ~mask);
  if (error == ENOENT || error == EIO)
    return damaged(kept, e.hash, path);
  return error == 0 ? std::nullopt : std::optional{failed("write", path, error)};
}

int builder::copy(int folder, const std::string& name, const tree_entry& e, mode_t mode) const {
  descriptor from{kept.open_file(e.hash)};
  if (!from)
    return errno;
  descriptor to{::openat(folder, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)};
  if (!to)
    return errno;
  auto error = copy_bytes(from.get(), to.get(), e.size, cancel);
  if (wire::digest hash{}; error == 0 && verifies && (error = hash_bytes(to.get(), hash, cancel)) == 0 && hash != e.hash)
    error = EIO;
  return error == 0 && ::fchmod(to.get(), mode) != 0 ? errno : error;
}

result<placed> place(const std::string& home, const std::string& id, const std::string& folder, bool read_only, cancel_flag cancel,
                     std::uint64_t keep_free, const leaving& leave_out, bool for_user = false) {
  objects kept;
  wire::digest root;
  if (auto bad = open_snapshot(home, id, kept, root))
    return std::move(*bad);
  // What is being deleted is not read, and what is read is not deleted.
  auto lock = kept.lock(false, true, cancel);
  if (!lock)
    return failed("lock the snapshot store", home, errno);
  auto note = kept.held_by_anyone(id);
  if (!note)
    return no_snapshot(id);
  placing in;
  if (auto bad = in.begin(kept, folder, for_user))
    return std::move(*bad);
  if (!read_only && !has_room(in.folder(), note->bytes, keep_free))
    return failure{fault::disk_full,
                   "there is no room for " + std::to_string(note->bytes) + " bytes beside " + path_policy::shown(folder)
                       + "; free some room (conclave prune), then try again",
                   {}};
  builder made{kept, cancel, read_only, leave_out, for_user ? umask_now() : 0022, folder.size() + 1, for_user};
  if (auto bad = made.fill(in.folder(), root, folder, 0))
    return std::move(*bad);
  if (for_user && ::fchmod(in.folder(), 0777 & ~made.mask) != 0)
    return failed("make", folder, errno);
  if (!read_only && ::syncfs(in.folder()) != 0)
    return failed("write", folder, errno);
  auto error = in.finish(folder);
  if (error == ENOTEMPTY || error == EEXIST || error == ENOTDIR)
    return failure{fault::exists, path_policy::shown(folder) + " is there already and not empty", {}};
  if (error != 0)
    return failed("make", folder, error);
  return made.out;
}

} // namespace

result<placed> store::materialise(const std::string& id, const std::string& folder, cancel_flag cancel) const {
  return place(home_, id, folder, true, cancel, 0, {});
}

result<placed> store::restore(const std::string& id, const std::string& folder, cancel_flag cancel, std::uint64_t keep_free,
                              const leaving& leave_out, bool for_user) const {
  return place(home_, id, folder, false, cancel, keep_free, leave_out, for_user);
}

} // namespace conclave::snapshots
