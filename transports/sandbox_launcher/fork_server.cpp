// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The start of a program costs more than all else that a launcher does: a C library asks the processor for its kind, which a
/// virtual machine answers slowly. So that is done once.

#include "transports/sandbox_launcher/fork_server.hpp"

#include "transports/sandbox_launcher/passing.hpp"

#include <cerrno>
#include <csignal>
#include <sched.h>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace conclave::launcher {

namespace {

/// What a program that is executed has from its parent (transports/child_launch.cpp).
void become_launcher(const descriptors& fds, pid_t engine) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a fork does not have it from its parent
  if (::getppid() != engine)
    ::_exit(127); // it died before that: nobody would ever end us
  for (int fd = 0; fd < 3; ++fd)
    ::dup2(fds[static_cast<std::size_t>(fd)], fd);
  for (auto fd : fds)
    if (fd > 2)
      ::close(fd);
}

} // namespace

bool fork_on_request() {
  auto engine = ::getppid();
  char request = 0;
  descriptors fds{};
  send_with(0, "+", nullptr, 0);
  while (receive(0, &request, 1, fds) > 0) {
    auto whole = fds[2] >= 0;
    auto pid = whole ? static_cast<pid_t>(::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr)) : -1;
    if (pid == 0) {
      become_launcher(fds, engine);
      return true;
    }
    auto said = std::to_string(pid > 0 ? pid : -(whole ? errno : EINVAL));
    for (auto fd : fds)
      if (fd >= 0)
        ::close(fd);
    if (!send_with(0, said, nullptr, 0))
      break;
  }
  return false;
}

} // namespace conclave::launcher
