// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/looker.hpp"

#include "transports/sandbox_launcher/system.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace conclave::launcher {

namespace {

using looks = std::array<look, looker::max_looks>;

[[noreturn]] void serve(int socket, std::int64_t memory_limit) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid(); // a kill of the launcher's group is not for it
  ::dup3(socket, 3, O_CLOEXEC);
  ::syscall(SYS_close_range, 4, ~0U, 0);
  for (int fd = 0; fd < 3; ++fd)
    ::close(fd); // else their readers never see the end
  looks all{};
  while (true) {
    auto n = ::read(3, all.data(), sizeof all);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      ::_exit(0); // the launcher is gone
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) / sizeof(look); ++i)
      perform(all[i], memory_limit);
    if (::send(3, all.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) != n)
      ::_exit(0);
  }
}

} // namespace

void perform(look& l, std::int64_t memory_limit) {
  if (l.count)
    l.used = measure(l.pid, memory_limit);
  if (l.files)
    l.held = measure_files(l.pid);
}

looker::~looker() {
  drop();
}

void looker::drop() {
  if (socket_ >= 0)
    ::close(socket_);
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0) { // still ours: its number may be another's once it was reaped
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, WNOHANG);
  }
  socket_ = -1;
  pid_ = 0;
  asked_ = false;
}

bool looker::start(std::int64_t memory_limit) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, static_cast<int*>(ends)) != 0)
    return false;
  pid_ = ::fork();
  if (pid_ == 0)
    serve(ends[1], memory_limit);
  ::close(ends[1]);
  socket_ = ends[0];
  if (pid_ < 0)
    drop();
  return pid_ > 0;
}

void looker::ask(const std::vector<look>& what, std::int64_t memory_limit) {
  if (asked_ || what.empty() || (socket_ < 0 && !start(memory_limit)))
    return;
  auto size = std::min(what.size(), max_looks) * sizeof(look);
  asked_ = ::send(socket_, what.data(), size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
  if (!asked_)
    drop();
}

std::vector<look> looker::take() {
  looks all{};
  auto n = ::recv(socket_, all.data(), sizeof all, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return {};
  if (n <= 0) {
    drop();
    return {};
  }
  asked_ = false;
  return {all.begin(), all.begin() + n / static_cast<ssize_t>(sizeof(look))};
}

} // namespace conclave::launcher
