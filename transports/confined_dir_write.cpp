// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/confined_dir.hpp"
#include "transports/confined_dir_system.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr std::uint32_t access_bits = 0777; // neither setuid nor setgid

/// A name that no one else has in this moment: O_EXCL and linkat tell if someone does.
std::string temporary_name() {
  static std::atomic<unsigned> count{0};
  return ".conclave-" + std::to_string(::getpid()) + "-" + std::to_string(++count) + ".tmp";
}

/// A new file in `folder`, without a name where the file system can do that.
descriptor new_file(int folder, std::uint32_t mode, std::string& name) {
  descriptor fd(::openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode));
  for (int i = 0; !fd && i < 100; ++i) {
    name = temporary_name();
    fd = descriptor(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!fd && errno != EEXIST)
      break;
  }
  return fd;
}

bool link_open(int fd, int folder, const std::string& name) {
  auto by_proc = "/proc/self/fd/" + std::to_string(fd);
  return ::linkat(fd, "", folder, name.c_str(), AT_EMPTY_PATH) == 0
         || (errno != EEXIST && ::linkat(AT_FDCWD, by_proc.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW) == 0);
}

bool rename_to_new(int from, const std::string& old_name, int to, const std::string& new_name) {
  if (::renameat2(from, old_name.c_str(), to, new_name.c_str(), RENAME_NOREPLACE) == 0)
    return true;
  if (errno != EINVAL && errno != ENOSYS)
    return false;
  // A file system that cannot refuse to replace: linkat() can, for a file.
  if (::linkat(from, old_name.c_str(), to, new_name.c_str(), 0) == 0)
    return ::unlinkat(from, old_name.c_str(), 0) == 0;
  if (errno == EEXIST)
    return false;
  struct stat st {};
  if (::fstatat(to, new_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    errno = EEXIST;
    return false;
  }
  return ::renameat(from, old_name.c_str(), to, new_name.c_str()) == 0;
}

/// Gives the file its name. `name`: the temporary one, empty if it has none yet.
bool give_name(int fd, int folder, std::string& name, const std::string& final_name, bool replace) {
  if (name.empty()) {
    if (!replace)
      return link_open(fd, folder, final_name);
    for (int i = 0; i < 100; ++i) {
      auto next = temporary_name();
      if (link_open(fd, folder, next)) {
        name = next;
        break;
      }
      if (errno != EEXIST)
        return false;
    }
  }
  if (replace ? ::renameat(folder, name.c_str(), folder, final_name.c_str()) == 0
              : rename_to_new(folder, name, folder, final_name)) {
    name.clear();
    return true;
  }
  return false;
}

dir_error write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return system_error("");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

/// Copies without changing the position of `from`. Shares the blocks where the file system can.
dir_error copy_all(int from, int to, std::uint64_t limit, const std::atomic<bool>* cancel) {
  struct stat st {};
  if (::fstat(from, &st) != 0)
    return system_error("");
  if (static_cast<std::uint64_t>(st.st_size) > limit)
    return {dir_fault::too_large, "", EFBIG};
  if (st.st_size > 0 && ::ioctl(to, FICLONE, from) == 0) // NOLINT: ioctl() is as it is
    return {};
  constexpr std::size_t step = std::size_t{8} << 20;
  off64_t at = 0;
  bool in_kernel = true;
  std::string buffer;
  for (;;) {
    if (cancel != nullptr && *cancel)
      return {dir_fault::cancelled, "", 0};
    ssize_t n = -1;
    if (in_kernel) {
      auto from_at = at;
      n = ::copy_file_range(from, &from_at, to, nullptr, step, 0);
      in_kernel = n > 0; // 0: also what some file systems say that cannot
    }
    if (!in_kernel) {
      if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM && errno != EINTR)
        return system_error("");
      auto read = read_bytes(from, static_cast<std::uint64_t>(at), std::size_t{1} << 20, cancel);
      if (!read.ok())
        return read.error;
      if (auto e = write_all(to, read.value); !e.ok())
        return e;
      n = static_cast<ssize_t>(read.value.size());
    }
    at += n;
    if (n == 0)
      return {};
    if (static_cast<std::uint64_t>(at) > limit) // it grew meanwhile
      return {dir_fault::too_large, "", EFBIG};
  }
}

void sync_folder(int folder) {
  descriptor fd(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd)
    ::fsync(fd.get());
}

dir_fault unfit(entry_kind kind) {
  switch (kind) {
  case entry_kind::file:
    return dir_fault::none;
  case entry_kind::folder:
    return dir_fault::folder;
  case entry_kind::link:
    return dir_fault::link;
  case entry_kind::special:
    break;
  }
  return dir_fault::special;
}

bool same_state(const entry_facts& a, const entry_facts& b) {
  return a.same_file(b) && a.size == b.size && a.ctime_ns == b.ctime_ns;
}

} // namespace

dir_result<entry_facts> confined_dir::put(std::string_view path, const std::function<dir_error(int)>& fill,
                                          const write_options& o) const {
  auto where = parent_of(path);
  if (!where.ok())
    return {{}, where.error};
  auto& p = where.value;
  auto fail = [&p](dir_error e) {
    e.path = p.path;
    return dir_result<entry_facts>{{}, std::move(e)};
  };
  if (p.name.empty())
    return fail({dir_fault::folder, "", EISDIR});
  auto folder = p.folder.get();
  auto old = facts_at(folder, p.name);
  if (!old.ok() && old.error.what != dir_fault::absent)
    return fail(old.error);
  auto there = old.ok();
  if (there && (o.existing == if_exists::fail || unfit(old.value.kind) != dir_fault::none))
    return fail({unfit(old.value.kind) == dir_fault::none ? dir_fault::exists : unfit(old.value.kind), "", EEXIST});
  if (o.expected && (!there || !same_state(*o.expected, old.value)))
    return fail({dir_fault::changed, "", 0});
  auto mode = there ? 0600 : (o.mode != 0 ? o.mode & access_bits : 0666);
  std::string name;
  auto fd = new_file(folder, mode, name);
  if (!fd)
    return fail(system_error(""));
  auto finish = [&]() -> dir_error {
    if (auto e = fill(fd.get()); !e.ok())
      return e;
    if (there) {
      if (old.value.links == 1 && (old.value.user != ::geteuid() || old.value.group != ::getegid())
          && ::fchown(fd.get(), old.value.user, old.value.group) != 0)
        errno = 0; // only the owner's privileges keep the owner
      if (::fchmod(fd.get(), old.value.mode & access_bits) != 0)
        return system_error("");
    }
    if (o.durable && ::fsync(fd.get()) != 0)
      return system_error("");
    // Whatever takes the name meanwhile is not replaced, unless it was there: that, or a link put in its place, goes.
    if (!give_name(fd.get(), folder, name, p.name, there))
      return there ? system_error("") : dir_error{errno == EEXIST ? dir_fault::changed : system_error("").what, "", errno};
    return {};
  };
  if (auto e = finish(); !e.ok()) {
    if (!name.empty())
      ::unlinkat(folder, name.c_str(), 0);
    return fail(e);
  }
  if (o.durable)
    sync_folder(folder);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0)
    return fail(system_error(""));
  return {facts_of(st), {}};
}

dir_result<entry_facts> confined_dir::write(std::string_view path, std::string_view bytes, const write_options& o) const {
  return put(
      path, [bytes](int fd) { return write_all(fd, bytes); }, o);
}

dir_result<entry_facts> confined_dir::write_from(std::string_view path, int from, std::uint64_t limit, const write_options& o,
                                                 const std::atomic<bool>* cancel) const {
  return put(
      path, [&](int fd) { return copy_all(from, fd, limit, cancel); }, o);
}

dir_error confined_dir::make_link(std::string_view path, const std::string& target) const {
  auto p = parent_of(path);
  if (!p.ok())
    return p.error;
  if (p.value.name.empty())
    return {dir_fault::folder, "", EISDIR};
  if (::symlinkat(target.c_str(), p.value.folder.get(), p.value.name.c_str()) != 0)
    return system_error(p.value.path);
  return {};
}

dir_error confined_dir::make_folders(std::string_view path, std::size_t* made) const {
  std::vector<std::string> parts;
  if (!split_relative(path, parts))
    return {path.find("..") == path.npos ? dir_fault::bad_path : dir_fault::escapes, std::string(path), 0};
  descriptor at;
  std::string done;
  for (auto& name : parts) {
    auto here = at ? at.get() : root_.get();
    done += (done.empty() ? "" : "/") + name;
    if (::mkdirat(here, name.c_str(), 0777) == 0) {
      if (made != nullptr)
        ++*made;
    } else if (errno != EEXIST) {
      return system_error(done);
    }
    auto next = step(here, name.c_str(), O_PATH | O_DIRECTORY);
    if (!next) {
      auto e = system_error(done);
      auto facts = facts_at(here, name);
      if (facts.ok() && facts.value.kind == entry_kind::link)
        e.what = dir_fault::link;
      return e;
    }
    at = std::move(next);
  }
  return {};
}

dir_error confined_dir::remove(std::string_view path, const std::optional<entry_facts>& expected) const {
  auto p = parent_of(path);
  if (!p.ok())
    return p.error;
  if (p.value.name.empty())
    return {dir_fault::folder, "", EISDIR};
  if (expected) {
    auto now = facts_at(p.value.folder.get(), p.value.name);
    if (now.ok() && !same_state(now.value, *expected))
      return {dir_fault::changed, p.value.path, 0};
  }
  if (::unlinkat(p.value.folder.get(), p.value.name.c_str(), 0) != 0)
    return system_error(p.value.path);
  return {};
}

dir_error confined_dir::remove_folder(std::string_view path) const {
  auto p = parent_of(path);
  if (!p.ok())
    return p.error;
  if (p.value.name.empty())
    return {dir_fault::bad_path, "", 0};
  if (::unlinkat(p.value.folder.get(), p.value.name.c_str(), AT_REMOVEDIR) != 0)
    return system_error(p.value.path);
  return {};
}

dir_error confined_dir::move(std::string_view from, const confined_dir& to_dir, std::string_view to) const {
  auto source = parent_of(from);
  if (!source.ok())
    return source.error;
  auto target = to_dir.parent_of(to);
  if (!target.ok())
    return target.error;
  if (source.value.name.empty() || target.value.name.empty())
    return {dir_fault::bad_path, "", 0};
  if (!rename_to_new(source.value.folder.get(), source.value.name, target.value.folder.get(), target.value.name))
    return system_error(errno == EEXIST ? target.value.path : source.value.path);
  sync_folder(target.value.folder.get());
  return {};
}

dir_error confined_dir::sync() const {
  descriptor fd(::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::syncfs(fd.get()) != 0)
    return system_error("");
  return {};
}

} // namespace conclave
