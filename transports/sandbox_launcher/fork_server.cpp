// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The start of a program costs more than all else that a launcher does: a C library asks the processor for its kind, which a
/// virtual machine answers slowly. So that is done once.

#include "transports/sandbox_launcher/fork_server.hpp"

#include "transports/sandbox_launcher/passing.hpp"

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace conclave::launcher {

namespace {

/// What a program that is executed has from its parent (transports/child_launch.cpp). Its group it has from the engine.
void become_launcher(const descriptors& fds, pid_t engine) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a fork does not have it from its parent
  if (::getppid() != engine)
    ::_exit(127); // it died before that: nobody would ever end us
  for (int fd = 0; fd < 3; ++fd)
    ::dup2(fds[static_cast<std::size_t>(fd)], fd);
  for (auto fd : fds)
    if (fd > 2)
      ::close(fd);
}

/// Not a fork of the engine, which has its end of the socket, too, and may have given up rights that we have.
bool is_engine(const ucred& sender, pid_t engine) {
  return sender.pid == engine && sender.uid == ::getuid() && sender.gid == ::getgid();
}

} // namespace

bool fork_on_request() {
  auto engine = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto its_end =
      static_cast<int>(::syscall(SYS_pidfd_open, engine, 0)); // the signal does not come from who gave up the right to send it
  int yes = 1;
  if (its_end < 0 || ::setsockopt(0, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
    return false;
  char request = 0;
  descriptors fds{};
  send_with(0, "+", nullptr, 0);
  while (true) {
    std::array<pollfd, 2> on{{{0, POLLIN, 0}, {its_end, POLLIN, 0}}};
    if (::poll(on.data(), on.size(), -1) < 0 && errno == EINTR)
      continue;
    ucred sender{};
    if (on[1].revents != 0 || receive(0, &request, 1, fds, &sender) <= 0)
      return false;
    errno = fds[2] < 0 ? EINVAL : EPERM;
    auto asked = fds[2] >= 0 && is_engine(sender, engine);
    auto pid = asked ? static_cast<pid_t>(::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr)) : -1;
    if (pid == 0) {
      ::close(its_end);
      become_launcher(fds, engine);
      return true;
    }
    auto said = std::to_string(pid > 0 ? pid : -errno);
    for (auto fd : fds)
      if (fd >= 0)
        ::close(fd);
    if (!send_with(0, said, nullptr, 0))
      return false;
  }
}

} // namespace conclave::launcher
