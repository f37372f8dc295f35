// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/confined_dir.hpp"

#include "transports/confined_dir_system.hpp"

#include <climits>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr int max_links = 40; // as many as the kernel follows
constexpr std::uint64_t inside = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;

int open_at2(int folder, const char* path, int flags) {
  struct open_how how {};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = inside;
  long fd = -1;
  for (int i = 0; i < 8; ++i) { // EAGAIN: something else was renamed meanwhile
    fd = ::syscall(SYS_openat2, folder, path, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN)
      break;
  }
  return static_cast<int>(fd);
}

/// What tells mounts apart: bind mounts of one file system, too, where the kernel says it.
std::uint64_t mount_of(int fd) {
  struct statx sx {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID | STATX_INO, &sx) == 0 && (sx.stx_mask & STATX_MNT_ID) != 0)
    return sx.stx_mnt_id;
  struct stat st {};
  return ::fstat(fd, &st) == 0 ? static_cast<std::uint64_t>(st.st_dev) : 0;
}

std::int64_t nanoseconds(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

dir_fault fault_of(int number) {
  switch (number) {
  case ENOENT:
    return dir_fault::absent;
  case EEXIST:
    return dir_fault::exists;
  case EACCES:
  case EPERM:
  case EROFS:
    return dir_fault::refused;
  case ELOOP:
    return dir_fault::link;
  case EXDEV:
  case EBUSY:
    return dir_fault::mount;
  case ENOTDIR:
    return dir_fault::not_folder;
  case EISDIR:
    return dir_fault::folder;
  case ENXIO:
  case ENODEV:
    return dir_fault::special;
  case ENOTEMPTY:
    return dir_fault::not_empty;
  case ENAMETOOLONG:
  case EINVAL:
  case EILSEQ:
    return dir_fault::bad_path;
  case EFBIG:
    return dir_fault::too_large;
  case ENOSPC:
  case EDQUOT:
    return dir_fault::full;
  default:
    return dir_fault::io;
  }
}

/// What a link says; empty if it is none.
std::string read_link(int folder, const std::string& name) {
  std::string out(PATH_MAX, '\0');
  auto n = ::readlinkat(folder, name.c_str(), out.data(), out.size());
  out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return out;
}

bool is_link(int folder, const std::string& name) {
  auto facts = facts_at(folder, name);
  return facts.ok() && facts.value.kind == entry_kind::link;
}

} // namespace

descriptor::~descriptor() {
  if (fd_ >= 0)
    ::close(fd_);
}

std::string to_text(const dir_error& e) {
  switch (e.what) {
  case dir_fault::none:
    return "nothing is wrong";
  case dir_fault::absent:
    return "is not there";
  case dir_fault::exists:
    return "exists already";
  case dir_fault::refused:
    return "is refused by the system's permissions";
  case dir_fault::escapes:
    return "leads out of the folder through a symbolic link";
  case dir_fault::link:
    return "is, or lies behind, a symbolic link";
  case dir_fault::mount:
    return "is a mount point or lies behind one";
  case dir_fault::not_folder:
    return "is not a directory, or a part of the path is none";
  case dir_fault::folder:
    return "is a directory";
  case dir_fault::special:
    return "is neither a regular file nor a directory";
  case dir_fault::not_empty:
    return "is not empty";
  case dir_fault::bad_path:
    return "is no path that can be used here";
  case dir_fault::too_deep:
    return "is nested too deeply";
  case dir_fault::too_large:
    return "is too large";
  case dir_fault::changed:
    return "was changed by someone else meanwhile";
  case dir_fault::cancelled:
    return "was cancelled";
  case dir_fault::full:
    return "does not fit: no space is left";
  case dir_fault::io:
    break;
  }
  return "failed (system error " + std::to_string(e.number) + ")";
}

dir_error system_error(std::string_view path, int number) {
  return {fault_of(number), std::string(path), number};
}

dir_error system_error(std::string_view path) {
  return system_error(path, errno);
}

bool split_relative(std::string_view path, std::vector<std::string>& out) {
  if (path.size() > PATH_MAX || path.find('\0') != std::string_view::npos)
    return false;
  for (std::size_t at = 0; at <= path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    auto part = path.substr(at, end - at);
    if (part == ".." || part.size() > NAME_MAX)
      return false;
    if (!part.empty() && part != ".")
      out.emplace_back(part);
    at = end + 1;
  }
  return true;
}

std::string joined(const std::vector<std::string>& components) {
  std::string out;
  for (auto& c : components)
    out += (out.empty() ? "" : "/") + c;
  return out;
}

entry_facts facts_of(const struct stat& st) {
  entry_facts f;
  f.kind = S_ISREG(st.st_mode)   ? entry_kind::file
           : S_ISDIR(st.st_mode) ? entry_kind::folder
           : S_ISLNK(st.st_mode) ? entry_kind::link
                                 : entry_kind::special;
  f.size = static_cast<std::uint64_t>(st.st_size);
  f.mode = st.st_mode & 07777;
  f.user = st.st_uid;
  f.group = st.st_gid;
  f.device = st.st_dev;
  f.inode = st.st_ino;
  f.links = st.st_nlink;
  f.mtime_ns = nanoseconds(st.st_mtim);
  f.ctime_ns = nanoseconds(st.st_ctim);
  f.atime_ns = nanoseconds(st.st_atim);
  return f;
}

dir_result<entry_facts> facts_at(int folder, const std::string& name) {
  struct stat st {};
  if (::fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0)
    return {{}, system_error(name)};
  return {facts_of(st), {}};
}

dir_result<confined_dir> confined_dir::open(const std::string& path, way how) {
  dir_result<confined_dir> out;
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr) {
    out.error = system_error(path);
    return out;
  }
  auto& dir = out.value;
  dir.path_ = real;
  ::free(real); // NOLINT: realpath() allocates so
  dir.root_ = descriptor(::open(dir.path_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.root_) {
    out.error = system_error(path);
    return out;
  }
  dir.mount_ = mount_of(dir.root_.get());
  dir.way_ = how;
  if (how == way::best && !descriptor(open_at2(dir.root_.get(), ".", O_PATH | O_DIRECTORY)))
    dir.way_ = way::components; // an older kernel, or a filter that does not know the call
  return out;
}

descriptor confined_dir::step(int folder, const char* name, int flags) const {
  if (way_ == way::best)
    return descriptor(open_at2(folder, name, flags));
  descriptor fd(::openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC));
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0)
    return {};
  if (S_ISLNK(st.st_mode))
    errno = ELOOP;
  else if (mount_of(fd.get()) != mount_)
    errno = EXDEV;
  else
    return fd;
  auto number = errno;
  fd = {};
  errno = number;
  return {};
}

dir_result<opened_entry> confined_dir::resolve(std::string_view path, int flags, bool follow) const {
  std::vector<std::string> parts;
  if (!root_)
    return {{}, {dir_fault::absent, std::string(path), ENOENT}};
  if (!split_relative(path, parts))
    return {{}, {path.find("..") == path.npos ? dir_fault::bad_path : dir_fault::escapes, std::string(path), 0}};
  if (way_ == way::components && !parts.empty())
    return walk_components(path, flags, follow);
  auto plain = joined(parts);
  descriptor fd = step(root_.get(), plain.empty() ? "." : plain.c_str(), flags);
  struct stat st {};
  if (fd && ::fstat(fd.get(), &st) == 0)
    return {{std::move(fd), std::move(plain), facts_of(st)}, {}};
  if (errno == ELOOP)
    return follow ? walk_components(path, flags, true) : dir_result<opened_entry>{{}, {dir_fault::link, plain, ELOOP}};
  return {{}, system_error(plain)};
}

dir_result<opened_entry> confined_dir::walk_components(std::string_view path, int flags, bool follow) const {
  std::vector<std::string> parts;
  split_relative(path, parts);
  std::deque<std::string> ahead(parts.begin(), parts.end());
  std::vector<descriptor> folders; // those of `done`, so that ".." of a link goes back to where we came from
  std::vector<std::string> done;
  auto here = [&] { return folders.empty() ? root_.get() : folders.back().get(); };
  auto fault = [&](dir_fault what, const std::string& name) {
    auto at = joined(done);
    return dir_result<opened_entry>{{}, {what, at + (at.empty() ? "" : "/") + name, 0}};
  };
  int links = 0;
  while (!ahead.empty()) {
    auto name = std::move(ahead.front());
    ahead.pop_front();
    if (name.empty() || name == ".")
      continue;
    if (name == "..") {
      if (done.empty())
        return fault(dir_fault::escapes, name);
      done.pop_back();
      folders.pop_back();
      continue;
    }
    auto last = ahead.empty();
    auto fd = step(here(), name.c_str(), last ? flags : O_PATH | O_DIRECTORY);
    if (fd && last) {
      struct stat st {};
      if (::fstat(fd.get(), &st) != 0)
        return {{}, system_error(path)};
      done.push_back(std::move(name));
      return {{std::move(fd), joined(done), facts_of(st)}, {}};
    }
    if (fd) {
      folders.push_back(std::move(fd));
      done.push_back(std::move(name));
      continue;
    }
    auto number = errno;
    if ((number != ELOOP && number != ENOTDIR) || !is_link(here(), name)) {
      auto e = fault(dir_fault::io, name);
      e.error = system_error(e.error.path, number == ELOOP ? EAGAIN : number);
      return e;
    }
    if (!follow)
      return fault(dir_fault::link, name);
    auto target = read_link(here(), name);
    if (target.empty() || ++links > max_links)
      return fault(target.empty() ? dir_fault::changed : dir_fault::link, name);
    if (target.front() == '/') { // beneath all the same, if it says so
      if (target != path_ && !(target.starts_with(path_) && target[path_.size()] == '/'))
        return fault(dir_fault::escapes, name);
      folders.clear();
      done.clear();
      target.erase(0, path_.size());
    }
    std::vector<std::string> more;
    for (std::size_t at = 0; at <= target.size();) {
      auto end = std::min(target.find('/', at), target.size());
      more.push_back(target.substr(at, end - at));
      at = end + 1;
    }
    if (ahead.size() + more.size() > PATH_MAX)
      return fault(dir_fault::bad_path, name);
    ahead.insert(ahead.begin(), more.begin(), more.end());
  }
  // The end was "..", "." or a link to a folder: it is open as a reference; open it as asked.
  auto fd = step(here(), ".", flags);
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0)
    return {{}, system_error(joined(done))};
  return {{std::move(fd), joined(done), facts_of(st)}, {}};
}

dir_result<confined_dir::place> confined_dir::parent_of(std::string_view path) const {
  std::vector<std::string> parts;
  if (!split_relative(path, parts))
    return {{}, {path.find("..") == path.npos ? dir_fault::bad_path : dir_fault::escapes, std::string(path), 0}};
  place p;
  p.path = joined(parts);
  if (!parts.empty()) {
    p.name = std::move(parts.back());
    parts.pop_back();
  }
  auto folder = resolve(joined(parts), O_PATH | O_DIRECTORY, false);
  if (!folder.ok()) {
    if (folder.error.what == dir_fault::not_folder) { // as a link is with O_DIRECTORY
      auto looked = resolve(joined(parts), O_PATH, false);
      if (looked.error.what == dir_fault::link)
        folder.error = looked.error;
    }
    return {{}, folder.error};
  }
  p.folder = std::move(folder.value.fd);
  return {std::move(p), {}};
}

dir_result<opened_entry> confined_dir::open_file(std::string_view path) const {
  auto found = resolve(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, true);
  if (!found.ok())
    return found;
  auto kind = found.value.facts.kind;
  if (kind == entry_kind::file)
    return found;
  return {{}, {kind == entry_kind::folder ? dir_fault::folder : dir_fault::special, found.value.path, 0}};
}

dir_result<opened_entry> confined_dir::open_folder(std::string_view path) const {
  return resolve(path, O_RDONLY | O_DIRECTORY, true);
}

dir_result<opened_entry> confined_dir::find(std::string_view path) const {
  return resolve(path, O_PATH, true);
}

dir_result<opened_entry> confined_dir::open_walked(const walked& w) const {
  auto fd = step(w.parent, w.name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat st {};
  if (!fd || ::fstat(fd.get(), &st) != 0)
    return {{}, system_error(w.path)};
  auto facts = facts_of(st);
  if (facts.kind != entry_kind::file)
    return {{}, {facts.kind == entry_kind::folder ? dir_fault::folder : dir_fault::special, w.path, 0}};
  return {{std::move(fd), w.path, facts}, {}};
}

dir_result<entry_facts> confined_dir::look(std::string_view path) const {
  auto p = parent_of(path);
  if (!p.ok())
    return {{}, p.error};
  auto facts = facts_at(p.value.folder.get(), p.value.name.empty() ? "." : p.value.name);
  facts.error.path = p.value.path;
  return facts;
}

dir_result<std::string> confined_dir::link_target(std::string_view path) const {
  auto p = parent_of(path);
  if (!p.ok())
    return {{}, p.error};
  auto target = read_link(p.value.folder.get(), p.value.name);
  if (target.empty())
    return {{}, {dir_fault::bad_path, p.value.path, EINVAL}};
  return {std::move(target), {}};
}

dir_result<std::uint64_t> confined_dir::room() const {
  struct statvfs st {};
  if (::fstatvfs(root_.get(), &st) != 0)
    return {{}, system_error("")};
  return {static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize, {}};
}

dir_result<std::string> read_bytes(int fd, std::uint64_t offset, std::size_t limit, const std::atomic<bool>* cancel) {
  dir_result<std::string> out;
  constexpr std::size_t step = std::size_t{1} << 20;
  while (out.value.size() < limit) {
    if (cancel != nullptr && *cancel) {
      out.error.what = dir_fault::cancelled;
      return out;
    }
    auto have = out.value.size();
    auto want = std::min(step, limit - have);
    out.value.resize(have + want);
    auto n = ::pread(fd, out.value.data() + have, want, static_cast<off_t>(offset + have));
    out.value.resize(have + (n > 0 ? static_cast<std::size_t>(n) : 0));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      out.error = system_error("");
    if (n <= 0)
      return out;
  }
  return out;
}

} // namespace conclave
