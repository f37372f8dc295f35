// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The first process of a run's namespaces (tier 2). It starts wardens and runs nothing itself. The kernel ends it with the
/// launcher and, as it is the first of its pid namespace, everything below it.

#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/passing.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <linux/mount.h>
#include <memory>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>

namespace conclave::launcher {

namespace {

constexpr std::int64_t max_shared_pages = (std::int64_t{256} << 20) / 4096;
constexpr std::size_t max_message = 160u << 10;

/// As fork(), into new namespaces.
int fork_into(unsigned long namespaces, int* pidfd = nullptr) {
  return static_cast<int>(::syscall(SYS_clone, namespaces | SIGCHLD | (pidfd ? CLONE_PIDFD : 0), nullptr, pidfd, nullptr, nullptr));
}

bool write_at(int folder, const char* path, const std::string& text) {
  auto fd = ::openat(folder, path, O_WRONLY | O_CLOEXEC);
  auto n = fd < 0 ? -1 : ::write(fd, text.data(), text.size());
  if (fd >= 0)
    ::close(fd);
  return n == static_cast<ssize_t>(text.size());
}

bool write_to(const char* path, const std::string& text) {
  return write_at(AT_FDCWD, path, text);
}

/// Within the user namespace one is who one was outside, without what a root of the host may do.
std::string map_user(unsigned uid, unsigned gid) {
  auto same = [](unsigned id) { return std::to_string(id) + " " + std::to_string(id) + " 1"; };
  write_to("/proc/self/setgroups", "deny"); // not there before Linux 3.19
  return write_to("/proc/self/uid_map", same(uid)) && write_to("/proc/self/gid_map", same(gid))
             ? std::string{}
             : fault("cannot map the user into a user namespace");
}

std::string raise_loopback() {
  auto fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq r{};
  std::snprintf(static_cast<char*>(r.ifr_name), sizeof r.ifr_name, "lo");
  r.ifr_flags = IFF_UP | IFF_RUNNING;
  auto done = ::ioctl(fd, SIOCSIFFLAGS, &r);
  auto why = done != 0 ? fault("cannot raise the loopback device") : std::string{};
  ::close(fd);
  return why;
}

/// pid_max belongs to the namespace since Linux 6.14; before that a root would set it for the whole machine.
bool has_own_pid_max() {
  utsname u{};
  int major = 0, minor = 0;
  return ::uname(&u) == 0 && std::sscanf(static_cast<const char*>(u.release), "%d.%d", &major, &minor) == 2
         && (major > 6 || (major == 6 && minor >= 14));
}

std::string pack(const order& o) {
  auto text = std::to_string(o.cpu_s) + '\0' + (o.in >= 0 ? "i" : "") + '\0' + std::to_string(o.groups.size()) + '\0' + o.cwd + '\0'
              + o.command + '\0';
  for (const auto& e : o.env)
    text += e + '\0';
  return text;
}

order unpack(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    auto end = text.find('\0', at);
    parts.emplace_back(text.substr(at, end - at));
    at = end == std::string_view::npos ? text.size() : end + 1;
  }
  order o;
  if (parts.size() < 5)
    return o;
  o.cpu_s = std::strtol(parts[0].c_str(), nullptr, 10);
  o.in = parts[1].empty() ? -1 : 0;
  o.groups.assign(std::min<std::size_t>(std::strtoul(parts[2].c_str(), nullptr, 10), 2), -1);
  o.cwd = parts[3];
  o.command = parts[4];
  o.env.assign(parts.begin() + 5, parts.end());
  return o;
}

/// Makes the network namespace in a process beside this one: it takes the kernel as long as all the rest. Returns a socket on which
/// it comes, or -1 with the reason.
int begin_network(std::string& why) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, static_cast<int*>(ends)) != 0) {
    why = fault("no socket");
    return -1;
  }
  auto pid = ::fork();
  if (pid == 0) {
    auto failed = ::unshare(CLONE_NEWNET) != 0 ? fault("cannot make a network of its own") : raise_loopback();
    auto made = failed.empty() ? ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
    if (made < 0 && failed.empty())
      failed = fault("cannot open a network of its own");
    send_with(ends[1], failed.empty() ? "+" : failed, &made, failed.empty() ? 1 : 0);
    ::_exit(0);
  }
  ::close(ends[1]);
  if (pid > 0)
    return ends[0];
  why = fault("cannot fork");
  ::close(ends[0]);
  return -1;
}

std::string enter_network(int socket) {
  std::array<char, 512> said{};
  descriptors fds{};
  auto n = receive(socket, said.data(), said.size(), fds);
  ::close(socket);
  if (n <= 0)
    return "the process that makes the network died";
  if (fds[0] < 0)
    return {said.data(), static_cast<std::size_t>(n)};
  auto why = ::setns(fds[0], CLONE_NEWNET) != 0 ? fault("cannot enter a network of its own") : std::string{};
  ::close(fds[0]);
  return why;
}

std::string build(const profile& p, unsigned uid, unsigned gid) {
  std::string why;
  auto network = p.network ? -1 : begin_network(why);
  if (why.empty())
    why = map_user(uid, gid);
  ::sethostname("sandbox", 7);
  if (why.empty())
    why = build_view(p);
  return why.empty() && !p.network ? enter_network(network) : why;
}

[[noreturn]] void hold(const profile& p, int socket, unsigned uid, unsigned gid) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGCHLD, SIG_IGN);      // what is started here is reaped by the kernel; the launcher has the pidfds of wardens
  for (int fd = 0; fd < 2; ++fd) { // a tool server's: whoever is at their other ends waits for their end
    auto null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup3(null, fd, O_CLOEXEC);
    ::close(null);
  }
  ::prctl(PR_SET_DUMPABLE, 1); // for uid_map, which belongs to root otherwise
  auto why = build(p, uid, gid);
  ::prctl(PR_SET_DUMPABLE, 0);
  if (!send_with(socket, why.empty() ? "+" : why, nullptr, 0) || !why.empty())
    ::_exit(1);
  drop_bounds();                                         // for all wardens
  std::unique_ptr<char[]> buffer{new char[max_message]}; // not zeroed: few orders are long
  auto mounts = ::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  while (true) {
    // A file of the host that is renamed over one that is covered here takes what covers it away. So none of this view goes on.
    std::array<pollfd, 2> on{{{socket, POLLIN, 0}, {mounts, POLLPRI, 0}}};
    if (::poll(on.data(), on.size(), -1) < 0 && errno != EINTR)
      ::_exit(2);
    if (on[1].revents != 0)
      ::_exit(3);
    if (on[0].revents == 0)
      continue;
    descriptors fds{};
    auto n = receive(socket, buffer.get(), max_message, fds);
    if (n <= 0)
      ::_exit(0); // the launcher is gone
    auto o = unpack({buffer.get(), static_cast<std::size_t>(n)});
    o.out = fds[0];
    o.err = fds[1];
    o.status = fds[2];
    o.life = fds[3];
    std::size_t next = 4;
    o.in = o.in == 0 ? fds[next++] : -1;
    for (auto& group : o.groups)
      group = fds[next++];
    int pidfd = -1;
    auto pid = fork_into(CLONE_NEWPID | CLONE_NEWNS, &pidfd);
    if (pid == 0) {
      ::close(socket);
      run_warden(p, o);
    }
    auto said = pid > 0 ? std::string("+") : fault("cannot start a process");
    send_with(socket, said, &pidfd, pid > 0 ? 1 : 0);
    for (auto fd : fds)
      if (fd >= 0)
        ::close(fd);
    if (pidfd >= 0)
      ::close(pidfd);
  }
}

} // namespace

std::string mount_at(int root, const char* name, std::int64_t processes) {
  auto fs = static_cast<int>(::syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC));
  if (fs < 0 || ::syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return fault("cannot make a /proc");
  auto mount =
      static_cast<int>(::syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  ::close(fs);
  if (mount < 0)
    return fault("cannot mount a /proc of its own");
  // Memory of System V is nobody's: what nobody uses stays until the end of the run. The limit is the namespace's own since
  // Linux 5.19; before that it is not ours to set.
  if (processes == 0)
    write_at(mount, "sys/kernel/shmall", std::to_string(max_shared_pages));
  if (processes > 0 && has_own_pid_max()) {
    // The numbers up to 300 are given once only: those are not counted.
    if (!write_at(mount, "sys/kernel/pid_max", std::to_string(300 + processes)))
      return fault("cannot limit the processes");
  }
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY; // /proc/sys and sysrq-trigger with it: root needs no capability to write there
  std::string why;
  if (::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    why = fault("cannot make /proc read-only");
  else if (::syscall(SYS_move_mount, mount, "", root, name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    why = fault("cannot mount /proc");
  ::close(mount);
  return why;
}

std::string mount_proc(const profile& p) {
  return mount_at(AT_FDCWD, "/proc", p.processes);
}

int start_holder(const profile& p, std::string& why) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, static_cast<int*>(ends)) != 0) {
    why = fault("no socket");
    return -1;
  }
  int size = 1 << 20;
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  auto uid = ::getuid(), gid = ::getgid();
  auto pid = fork_into(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP);
  if (pid == 0) {
    ::close(ends[0]);
    hold(p, ends[1], uid, gid);
  }
  ::close(ends[1]);
  if (pid < 0) {
    why = fault("cannot make namespaces");
    ::close(ends[0]);
    return -1;
  }
  return ends[0];
}

std::string await_holder(int holder) {
  std::array<char, 512> said{};
  descriptors fds{};
  auto n = receive(holder, said.data(), said.size(), fds);
  if (n == 1 && said[0] == '+')
    return {};
  return n > 0 ? std::string(said.data(), static_cast<std::size_t>(n)) : "the first process of the sandbox died";
}

bool send_order(int holder, const order& o) {
  std::vector<int> sent{o.out, o.err, o.status, o.life};
  if (o.in >= 0)
    sent.push_back(o.in);
  sent.insert(sent.end(), o.groups.begin(), o.groups.end());
  return send_with(holder, pack(o), sent.data(), sent.size());
}

int receive_warden(int holder) {
  char said[256];
  descriptors fds{};
  return receive(holder, static_cast<char*>(said), sizeof said, fds) > 0 ? fds[0] : -1;
}

} // namespace conclave::launcher
