// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_disk.hpp"

#include "protocols/path_policy.hpp"
#include "transports/snapshot_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <memory>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace conclave::snapshots {

namespace {

constexpr std::size_t chunk = std::size_t{1} << 20;
// Each level costs a descriptor. What is nested deeper is moved up first.
constexpr unsigned deepest = 64;

moment of(const struct statx_timestamp& t) {
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

} // namespace

void descriptor::reset(int fd) {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = fd;
}

bool found::is_file() const {
  return S_ISREG(mode);
}
bool found::is_folder() const {
  return S_ISDIR(mode);
}
bool found::is_link() const {
  return S_ISLNK(mode);
}

bool found::same_state(const found& other) const {
  return device == other.device && inode == other.inode && size == other.size && modified == other.modified
         && changed == other.changed && mode == other.mode;
}

entry_kind found::kind() const {
  if (is_file())
    return (mode & S_IXUSR) != 0 ? entry_kind::executable : entry_kind::file;
  return is_folder() ? entry_kind::folder : is_link() ? entry_kind::link : entry_kind::none;
}

int look(int folder, const char* name, found& out) {
  struct statx st {};
  auto flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  out = {};
  if (::statx(folder, name, flags, STATX_BASIC_STATS, &st) != 0)
    return errno;
  out.mode = st.stx_mode;
  out.device = makedev(st.stx_dev_major, st.stx_dev_minor);
  out.inode = st.stx_ino;
  out.size = st.stx_size;
  out.blocks = st.stx_blocks;
  out.links = st.stx_nlink;
  out.uid = st.stx_uid;
  out.gid = st.stx_gid;
  out.modified = of(st.stx_mtime);
  out.changed = of(st.stx_ctime);
  out.mount_point = (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  return 0;
}

descriptor open_folder(int in, const char* name, std::uint64_t device) {
  descriptor fd{::openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd)
    return fd;
  found what;
  auto error = look(fd.get(), "", what);
  if (error == 0 && (what.mount_point || what.device != device))
    error = EXDEV;
  if (error != 0) {
    fd.reset();
    errno = error;
  }
  return fd;
}

descriptor open_file(int in, const char* name) {
  return descriptor{::openat(in, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
}

bool may_read(int in, const char* name, bool folder) {
  return ::faccessat(in, name, folder ? R_OK | X_OK : R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) == 0 || errno != EACCES;
}

int make_readable(int in, const char* name) {
  descriptor self{::openat(in, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  found what;
  if (auto error = self ? look(self.get(), "", what) : errno; error != 0)
    return error;
  auto wanted = static_cast<mode_t>(what.is_folder() ? S_IRWXU : S_IRUSR);
  if ((what.mode & wanted) == wanted || (!what.is_folder() && !what.is_file()))
    return 0;
  return ::chmod(("/proc/self/fd/" + std::to_string(self.get())).c_str(), (what.mode & 07777) | wanted) == 0 ? 0 : errno;
}

int names_in(int folder, std::vector<std::string>& out) {
  out.clear();
  auto again = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (again < 0)
    return errno;
  std::unique_ptr<DIR, int (*)(DIR*)> all{::fdopendir(again), &::closedir};
  if (all == nullptr) {
    auto error = errno;
    ::close(again);
    return error;
  }
  for (;;) {
    errno = 0;
    auto* e = ::readdir(all.get());
    if (e == nullptr)
      break;
    std::string_view name = e->d_name;
    if (name != "." && name != "..")
      out.emplace_back(name);
  }
  if (errno != 0)
    return errno;
  std::sort(out.begin(), out.end());
  return 0;
}

int read_link(int folder, const char* name, std::string& out) {
  out.resize(4096);
  auto n = ::readlinkat(folder, name, out.data(), out.size());
  if (n < 0)
    return errno;
  out.resize(static_cast<std::size_t>(n));
  return 0;
}

int write_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    auto n = ::write(fd, bytes, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return errno;
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

std::int64_t read_at(int fd, char* to, std::size_t size, std::uint64_t offset) {
  std::size_t got = 0;
  while (got < size) {
    auto n = ::pread(fd, to + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    got += static_cast<std::size_t>(n);
  }
  return static_cast<std::int64_t>(got);
}

int read_whole(int fd, std::string& out, std::size_t limit) {
  found what;
  if (auto error = look(fd, "", what); error != 0)
    return error;
  if (what.size > limit)
    return EFBIG;
  out.resize(what.size);
  auto n = read_at(fd, out.data(), out.size(), 0);
  if (n < 0)
    return errno;
  out.resize(static_cast<std::size_t>(n));
  return 0;
}

int hash_bytes(int fd, wire::digest& out, cancel_flag cancel) {
  auto buffer = std::make_unique<char[]>(chunk);
  wire::sha256_stream all;
  for (std::uint64_t at = 0;;) {
    if (is_set(cancel))
      return ECANCELED;
    auto n = read_at(fd, buffer.get(), chunk, at);
    if (n < 0)
      return errno;
    all.add({buffer.get(), static_cast<std::size_t>(n)});
    at += static_cast<std::uint64_t>(n);
    if (static_cast<std::size_t>(n) < chunk)
      break;
  }
  out = all.end();
  return 0;
}

int copy_bytes(int from, int to, std::uint64_t size, cancel_flag cancel) {
  if (size == 0)
    return 0;
  if (size >= 4096 && ::ioctl(to, FICLONE, from) == 0)
    return 0;
  bool by_kernel = true;
  std::unique_ptr<char[]> buffer;
  for (std::uint64_t at = 0; at < size;) {
    if (is_set(cancel))
      return ECANCELED;
    auto want = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, size - at));
    if (by_kernel) {
      auto in = static_cast<off64_t>(at), out = static_cast<off64_t>(at);
      auto n = ::copy_file_range(from, &in, to, &out, want, 0);
      if (n > 0) {
        at += static_cast<std::uint64_t>(n);
        continue;
      }
      if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
        return errno;
      by_kernel = false; // not on these disks
      if (::lseek(to, static_cast<off_t>(at), SEEK_SET) < 0)
        return errno;
    }
    if (buffer == nullptr)
      buffer = std::make_unique<char[]>(chunk);
    auto n = read_at(from, buffer.get(), want, at);
    if (n <= 0)
      return n < 0 ? errno : EIO;
    if (auto error = write_all(to, buffer.get(), static_cast<std::size_t>(n)); error != 0)
      return error;
    at += static_cast<std::uint64_t>(n);
  }
  return 0;
}

mode_t umask_now() {
  // umask() tells it only by setting another one, for the files of other threads, too.
  descriptor fd{::open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
  std::string text(std::size_t{4} << 10, '\0');
  auto n = fd ? read_at(fd.get(), text.data(), text.size(), 0) : -1;
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  unsigned mask = 0;
  constexpr std::string_view name = "\nUmask:\t";
  auto at = text.find(name);
  if (at != std::string::npos && std::sscanf(text.c_str() + at + name.size(), "%o", &mask) == 1)
    return static_cast<mode_t>(mask & 0777);
  auto now = ::umask(0022);
  ::umask(now);
  return now;
}

int make_folders(const std::string& path) {
  for (std::size_t i = 1; i <= path.size(); ++i)
    if (i == path.size() || path[i] == '/')
      if (::mkdir(path.substr(0, i).c_str(), 0700) != 0 && errno != EEXIST && errno != EROFS)
        return errno;
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0)
    return errno;
  return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

bool has_room(int fd, std::uint64_t wanted, std::uint64_t keep) {
  if (keep == 0)
    return true; // the disk says itself when it is full
  struct statvfs st {};
  if (::fstatvfs(fd, &st) != 0)
    return true;
  auto left = std::uint64_t{st.f_bavail} * st.f_frsize;
  return left > wanted && left - wanted >= keep;
}

namespace {

struct removal {
  cancel_flag cancel;
  descriptor root = {}; ///< the tree's own folder
  unsigned moved = 0;   ///< folders moved up into it
};

int remove_name(removal& r, int folder, const char* name, unsigned depth);

int empty_folder(removal& r, int folder, unsigned depth) {
  std::vector<std::string> names;
  if (auto error = names_in(folder, names); error != 0)
    return error;
  for (auto& n : names)
    if (auto error = remove_name(r, folder, n.c_str(), depth + 1); error != 0)
      return error;
  return 0;
}

int move_up(removal& r, int folder, const char* name) {
  for (int tries = 0; tries < 1000; ++tries) {
    auto free_name = ".deep" + std::to_string(r.moved++);
    if (::renameat2(folder, name, r.root.get(), free_name.c_str(), RENAME_NOREPLACE) == 0)
      return 0;
    if (errno != EEXIST)
      return errno;
  }
  return ENAMETOOLONG;
}

int remove_name(removal& r, int folder, const char* name, unsigned depth) {
  if (is_set(r.cancel))
    return ECANCELED;
  found what;
  if (auto error = look(folder, name, what); error != 0)
    return error == ENOENT ? 0 : error;
  if (what.mount_point)
    return EBUSY;
  // Told to be a folder a moment ago or not: unlinkat never deletes one, and never what a link names.
  if (!what.is_folder())
    return ::unlinkat(folder, name, 0) == 0 || errno == ENOENT ? 0 : errno;
  if ((what.mode & S_IRWXU) != S_IRWXU)
    make_readable(folder, name);
  if (depth > deepest)
    return move_up(r, folder, name);
  auto inside = open_folder(folder, name, what.device);
  if (!inside)
    return errno == ENOENT ? 0 : errno;
  auto fd = inside.get();
  if (depth == 0)
    r.root = std::move(inside);
  for (unsigned before = 0;;) {
    if (auto error = empty_folder(r, fd, depth); error != 0)
      return error;
    if (depth > 0 || r.moved == before)
      break;
    before = r.moved;
  }
  return ::unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
}

} // namespace

int remove_below(int folder, const char* name, cancel_flag cancel) {
  removal r{cancel};
  return remove_name(r, folder, name, 0);
}

int write_durably(int folder, const std::string& name, const std::string& bytes) {
  auto temporary = "." + name + ".new";
  descriptor fd{::openat(folder, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)};
  if (!fd)
    return errno;
  auto error = write_all(fd.get(), bytes.data(), bytes.size());
  if (error == 0 && ::fsync(fd.get()) != 0)
    error = errno;
  if (error == 0 && ::renameat(folder, temporary.c_str(), folder, name.c_str()) != 0)
    error = errno;
  if (error == 0 && ::fsync(folder) != 0)
    error = errno;
  if (error != 0)
    ::unlinkat(folder, temporary.c_str(), 0);
  return error;
}

failure failed(const std::string& doing, const std::string& path, int error) {
  auto kind = error == ENOSPC || error == EDQUOT ? fault::disk_full : error == ECANCELED ? fault::cancelled : fault::io;
  if (kind == fault::cancelled)
    return {kind, "cancelled", {}};
  auto text = "cannot " + doing + " " + path_policy::shown(path) + ": " + std::strerror(error);
  if (kind == fault::disk_full)
    text += "; free some room (conclave prune), then try again";
  return {kind, std::move(text), {}};
}

std::string leads_out(const std::string& target, std::size_t depth) {
  if (target.starts_with('/'))
    return "a link to an absolute path";
  bool named = false;
  for (std::size_t i = 0; i <= target.size();) {
    auto end = std::min(target.find('/', i), target.size());
    auto part = std::string_view{target}.substr(i, end - i);
    if (part == "..") {
      if (named)
        return "a link with '..' behind a name";
      if (depth-- == 0)
        return "a link that leads out";
    } else if (!part.empty() && part != ".") {
      named = true;
    }
    i = end + 1;
  }
  return {};
}

std::string remove_tree(const std::string& folder, cancel_flag cancel) {
  auto error = remove_below(AT_FDCWD, folder.c_str(), cancel);
  return error == 0 ? std::string{} : failed("delete", folder, error).text;
}

} // namespace conclave::snapshots
