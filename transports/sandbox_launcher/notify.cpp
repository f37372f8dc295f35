// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Modes and times of files at tier 1; at tier 2 modes that would give a program the rights of its owner. Landlock knows nothing of
/// them, so the filter hands these calls to the warden, which performs them itself: on a descriptor of its own, if what that stands
/// for lies in a writable folder. The caller may change its arguments meanwhile; they are read once. And limits and priorities of
/// processes, which are left to the kernel where the number is that of the command's own: it is in a register, so it stays what it
/// is. And sessions: the kernel gives each as much of the processors as all of another's, so many are a way to starve the machine.

#include "transports/sandbox_launcher/connections.hpp"
#include "transports/sandbox_launcher/descendants.hpp"
#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/paths.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <climits>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <set>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace conclave::launcher {

namespace {

struct call {
  const seccomp_notif& n;
  int memory = -1; ///< of the caller

  std::uint64_t arg(int i) const { return n.data.args[i]; }

  bool read(std::uint64_t at, void* to, std::size_t size) const {
    return ::pread(memory, to, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size);
  }

  bool read_path(std::uint64_t at, std::string& path) const {
    std::array<char, PATH_MAX> buffer{};
    auto n_read = ::pread(memory, buffer.data(), buffer.size(), static_cast<off_t>(at));
    for (auto page = at | 0xFFF; n_read < 0 && page + 1 - at < buffer.size();) { // the next page may not be there
      n_read = ::pread(memory, buffer.data(), page + 1 - at, static_cast<off_t>(at));
      break;
    }
    auto end = std::find(buffer.begin(), buffer.end(), '\0');
    if (n_read <= 0 || end - buffer.begin() >= n_read)
      return false;
    path.assign(buffer.begin(), end);
    return true;
  }

  std::string of_proc(const std::string& what) const { return "/proc/" + std::to_string(n.pid) + "/" + what; }

  int open_fd(int fd) const { return ::open(of_proc("fd/" + std::to_string(fd)).c_str(), O_PATH | O_CLOEXEC); }

  int open_path(int base_fd, std::uint64_t at, bool follow) const {
    std::string path;
    if (!read_path(at, path))
      return errno = EFAULT, -1;
    if (int own = 0, end = 0;
        std::sscanf(path.c_str(), "/proc/self/fd/%d%n", &own, &end) == 1 && path.size() == static_cast<std::size_t>(end))
      return open_fd(own); // how a C library sets the mode of a descriptor, or of what is no link
    auto base = base_fd == AT_FDCWD ? ::open(of_proc("cwd").c_str(), O_PATH | O_CLOEXEC) : open_fd(base_fd);
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    how.resolve = RESOLVE_NO_MAGICLINKS; // in /proc/self we are the self
    auto fd = static_cast<int>(::syscall(SYS_openat2, base < 0 ? AT_FDCWD : base, path.c_str(), &how, sizeof how));
    auto e = errno;
    if (base >= 0)
      ::close(base);
    errno = e;
    return base < 0 && !path.starts_with('/') ? -1 : fd;
  }

  /// With the flags of those calls that may mean the descriptor itself.
  int open_at(int base_fd, std::uint64_t at, std::uint64_t flags) const {
    char first = 1;
    if ((flags & AT_EMPTY_PATH) != 0 && read(at, &first, 1) && first == '\0' && base_fd != AT_FDCWD)
      return open_fd(base_fd);
    return open_path(base_fd, at, (flags & AT_SYMLINK_NOFOLLOW) == 0);
  }
};

/// Whether the command may change this file at all.
bool is_ours(int fd, const profile& p) {
  std::array<char, PATH_MAX> target{};
  auto n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target.data(), target.size());
  if (n <= 0)
    return false;
  std::string path(target.data(), static_cast<std::size_t>(n));
  bool writable =
      !innermost(p.writable, path).empty() || (!p.home.empty() && is_within(path, p.home))
      || (p.tier == 2 ? is_within(path, "/tmp") || is_within(path, "/dev/shm") : !p.tmp.empty() && is_within(path, p.tmp));
  return writable && innermost(p.protected_paths, path).empty() && innermost(p.hidden, path).empty();
}

int change_mode(int fd, std::uint64_t mode, const profile& p) {
  if (fd < 0)
    return -errno;
  auto path = "/proc/self/fd/" + std::to_string(fd);
  auto e = !is_ours(fd, p) ? EPERM : ::chmod(path.c_str(), static_cast<mode_t>(mode & 01777)) != 0 ? errno : 0;
  ::close(fd);
  return -e;
}

int change_times(int fd, const timespec* times, const profile& p) {
  if (fd < 0)
    return -errno;
  auto path = "/proc/self/fd/" + std::to_string(fd);
  auto e = !is_ours(fd, p) ? EPERM : ::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0 ? errno : 0;
  ::close(fd);
  return -e;
}

/// Reads two times of the caller. Returns false if they cannot be read; none given means now.
bool read_times(const call& c, std::uint64_t at, bool micro, std::array<timespec, 2>& out, const timespec*& times) {
  times = at == 0 ? nullptr : out.data();
  if (at == 0)
    return true;
  if (!micro)
    return c.read(at, out.data(), sizeof out);
  std::array<timeval, 2> us{};
  if (!c.read(at, us.data(), sizeof us))
    return false;
  for (std::size_t i = 0; i < 2; ++i)
    out[i] = {us[i].tv_sec, us[i].tv_usec * 1000};
  return true;
}

int set_times(const call& c, const profile& p) {
  std::array<timespec, 2> out{};
  const timespec* times = nullptr;
  auto fd = static_cast<int>(c.arg(0));
  switch (c.n.data.nr) {
  case SYS_utimensat:
    if (!read_times(c, c.arg(2), false, out, times))
      return -EFAULT;
    return change_times(c.arg(1) == 0 ? c.open_fd(fd) : c.open_path(fd, c.arg(1), (c.arg(3) & AT_SYMLINK_NOFOLLOW) == 0), times, p);
#ifdef SYS_utimes
  case SYS_utimes:
    return read_times(c, c.arg(1), true, out, times) ? change_times(c.open_path(AT_FDCWD, c.arg(0), true), times, p) : -EFAULT;
  case SYS_futimesat:
    return read_times(c, c.arg(2), true, out, times) ? change_times(c.open_path(fd, c.arg(1), true), times, p) : -EFAULT;
#endif
  default:
    return -ENOSYS;
  }
}

constexpr int carry_on = 1; ///< the kernel may do it

/// Whether a process or thread descends from this process. Who lost its parent is a child of it.
bool is_below(int pid) {
  for (int depth = 0; pid > 1 && depth < 4096; ++depth) {
    auto parent = parent_of(pid);
    if (parent == ::getpid())
      return true;
    pid = parent;
  }
  return false;
}

/// To whom a file belongs stays as it is: who asks for the owner that it has is told that it is done.
int keep_owner(int fd, std::uint64_t uid, std::uint64_t gid) {
  struct stat st {};
  auto error = fd < 0 || ::fstat(fd, &st) != 0 ? errno : 0;
  if (fd >= 0)
    ::close(fd);
  auto same = [](std::uint64_t asked, unsigned now) {
    return static_cast<unsigned>(asked) == now || static_cast<unsigned>(asked) == ~0U;
  };
  return error != 0 ? -error : same(uid, st.st_uid) && same(gid, st.st_gid) ? 0 : -EPERM;
}

int perform(const call& c, const profile& p) {
  auto fd = static_cast<int>(c.arg(0));
  auto to_process = [](int pid) { return pid == 0 || is_below(pid) ? carry_on : -EPERM; };
  switch (c.n.data.nr) {
  case SYS_prlimit64:
  case SYS_sched_setaffinity:
  case SYS_sched_setscheduler:
  case SYS_sched_setparam:
  case SYS_sched_setattr:
    return to_process(fd);
  case SYS_setpriority:
    return fd == PRIO_PROCESS ? to_process(static_cast<int>(c.arg(1))) : fd == PRIO_PGRP && c.arg(1) == 0 ? carry_on : -EPERM;
  case SYS_ioprio_set: // 1: of a process, 2: of a group
    return fd == 1 ? to_process(static_cast<int>(c.arg(1))) : fd == 2 && c.arg(1) == 0 ? carry_on : -EPERM;
#ifdef SYS_chown
  case SYS_chown:
    return keep_owner(c.open_path(AT_FDCWD, c.arg(0), true), c.arg(1), c.arg(2));
  case SYS_lchown:
    return keep_owner(c.open_path(AT_FDCWD, c.arg(0), false), c.arg(1), c.arg(2));
#endif
  case SYS_fchown:
    return keep_owner(c.open_fd(fd), c.arg(1), c.arg(2));
  case SYS_fchownat:
    return keep_owner(c.open_at(fd, c.arg(1), c.arg(4)), c.arg(2), c.arg(3));
#ifdef SYS_chmod
  case SYS_chmod:
    return change_mode(c.open_path(AT_FDCWD, c.arg(0), true), c.arg(1), p);
#endif
  case SYS_fchmod:
    return change_mode(c.open_fd(fd), c.arg(1), p);
  case SYS_fchmodat:
    return change_mode(c.open_path(fd, c.arg(1), true), c.arg(2), p);
  default:
    return set_times(c, p);
  }
}

constexpr std::size_t max_sessions = 32;

/// Whether the command may have one session more. Beyond the bound programs are told that they have theirs: most do not care.
bool takes_session() {
  static std::size_t begun = 0; // since somebody counted
  if (begun >= max_sessions) {
    std::set<int> alive;
    for (auto pid : descendants_of(::getpid()))
      alive.insert(::getsid(pid));
    begun = alive.size();
  }
  return begun++ < max_sessions;
}

} // namespace

void answer_notification(int listener, const profile& p, connections& connects) {
  seccomp_notif n{};
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) != 0)
    return; // the caller is gone already
  if (n.data.nr == SYS_connect)
    return connects.answer(n);
  seccomp_notif_resp answer{};
  answer.id = n.id;
  call c{n, ::open(("/proc/" + std::to_string(n.pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  // Only now it is certain that the number was the caller's when its memory was opened.
  if (n.data.nr == SYS_setsid && takes_session())
    answer.error = carry_on;
  else if (n.data.nr == SYS_setsid)
    answer.val = n.pid;
  else if (c.memory >= 0 && ::ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) == 0)
    answer.error = perform(c, p);
  else
    answer.error = -EPERM;
  if (c.memory >= 0)
    ::close(c.memory);
  if (answer.error == carry_on) {
    answer.error = 0;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT)
      return;
    answer.flags = 0; // before Linux 5.5
    answer.error = -EPERM;
  }
  ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

} // namespace conclave::launcher
