// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What lies beside the user's files while they are written, and the copies of what they held.

#include "transports/delivery_journal.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave::delivery {

using snapshots::copy_bytes;
using snapshots::look;

int put_aside(int stage, const std::string& slot, state& as, int source, cancel_flag cancel) {
  int error = 0;
  auto at = [](snapshots::moment m) { return timespec{m / 1'000'000'000, m % 1'000'000'000}; };
  timespec times[2] = {at(as.modified), at(as.modified)};
  if (as.kind == entry_kind::link) {
    std::string names;
    error = snapshots::read_whole(source, names, 4096);
    if (error == 0 && ::symlinkat(names.c_str(), stage, slot.c_str()) != 0)
      error = errno;
    if (error == 0 && ::geteuid() == 0 && ::fchownat(stage, slot.c_str(), as.uid, as.gid, AT_SYMLINK_NOFOLLOW) != 0)
      error = errno;
    if (error == 0 && as.modified != 0 && ::utimensat(stage, slot.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      error = errno;
  } else {
    descriptor to{::openat(stage, slot.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    error = to ? copy_bytes(source, to.get(), as.size, cancel) : errno;
    if (error == 0 && ::geteuid() == 0 && ::fchown(to.get(), as.uid, as.gid) != 0)
      error = errno;
    if (error == 0 && ::fchmod(to.get(), as.mode & 07777) != 0)
      error = errno;
    if (error == 0 && as.modified != 0 && ::futimens(to.get(), times) != 0)
      error = errno;
  }
  found f;
  if (error == 0)
    error = look(stage, slot.c_str(), f);
  auto sha256 = as.sha256;
  if (error == 0)
    as = state_of(f);
  as.sha256 = sha256;
  return error;
}

int keep_old(int olds, std::size_t n, const step& s, const target& at, cancel_flag cancel) {
  std::string name, slot = std::to_string(n);
  auto in = at.parent(s.path, name);
  if (!in)
    return EAGAIN;
  descriptor to{::openat(olds, slot.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (!to)
    return errno;
  if (s.before.kind == entry_kind::link) {
    std::string names;
    if (snapshots::read_link(in.get(), name.c_str(), names) != 0 || wire::sha256(names) != s.before.sha256)
      return EAGAIN;
    return snapshots::write_all(to.get(), names.data(), names.size());
  }
  auto from = snapshots::open_file(in.get(), name.c_str());
  found f;
  if (!from || look(from.get(), "", f) != 0 || !s.before.is(f))
    return EAGAIN;
  auto error = copy_bytes(from.get(), to.get(), s.before.size, cancel);
  if (error == EIO && look(from.get(), "", f) == 0 && f.size != s.before.size)
    return EAGAIN;
  return error != 0 ? error : look(from.get(), "", f) == 0 && s.before.is(f) ? 0 : EAGAIN;
}

int move_name(int from, const std::string& name, int to, const std::string& new_name) {
  if (::renameat2(from, name.c_str(), to, new_name.c_str(), RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL)
    return errno;
  found there;
  if (look(to, new_name.c_str(), there) != ENOENT)
    return EEXIST;
  return ::renameat(from, name.c_str(), to, new_name.c_str()) == 0 ? 0 : errno;
}

int exchange(int a, const std::string& name, int b, const std::string& other) {
  return ::renameat2(a, name.c_str(), b, other.c_str(), RENAME_EXCHANGE) == 0 ? 0 : errno;
}

bool is_still(int folder, const std::string& name, const state& s) {
  found f;
  return look(folder, name.c_str(), f) == 0 && s.is(f);
}

bool is_nothing(int folder, const std::string& name) {
  found f;
  return look(folder, name.c_str(), f) == ENOENT;
}

int make_folder(int stage, const std::string& slot, int in, const std::string& name, const state& as) {
  auto mode = static_cast<mode_t>(as.mode & 07777);
  found f;
  if (look(in, name.c_str(), f) == 0) {
    // To move a folder one has to be able to write to it: ended between that and taking the right again.
    if (f.is_folder() && (f.mode & 07777) != mode && (f.mode & 07777) == (mode | 0200) && f.uid == ::geteuid() && f.links <= 2)
      if (descriptor there{::openat(in, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)}; there)
        ::fchmod(there.get(), mode);
    return f.is_folder() ? 0 : EEXIST;
  }
  ::unlinkat(stage, slot.c_str(), AT_REMOVEDIR); // of one that was killed
  if (::mkdirat(stage, slot.c_str(), 0700) != 0)
    return errno;
  descriptor made{::openat(stage, slot.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!made || (::geteuid() == 0 && ::fchown(made.get(), as.uid, as.gid) != 0) || ::fchmod(made.get(), mode) != 0)
    return errno;
  auto error = move_name(stage, slot, in, name);
  if (error == EACCES && (mode & 0200) == 0) {
    if (::fchmod(made.get(), mode | 0200) != 0)
      return errno;
    error = move_name(stage, slot, in, name);
    if (error == 0 && ::fchmod(made.get(), mode) != 0)
      return errno;
  }
  return error == EEXIST && look(in, name.c_str(), f) == 0 && f.is_folder() ? 0 : error;
}

void date_folder(const target& at, const std::string& path, const state& as) {
  std::string name;
  auto in = as.modified != 0 ? at.parent(path, name) : descriptor{};
  auto self = in ? snapshots::open_folder(in.get(), name.c_str(), at.what().device) : descriptor{};
  timespec when{as.modified / 1'000'000'000, as.modified % 1'000'000'000}, times[2] = {when, when};
  if (self)
    ::futimens(self.get(), times); // of somebody else it may not be: the rest is as it was
}

} // namespace conclave::delivery
