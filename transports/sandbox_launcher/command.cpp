// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/command.hpp"

#include "transports/sandbox_launcher/system.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <time.h>

namespace conclave::launcher {

std::int64_t now_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

void close_at(int& fd) {
  if (fd >= 0)
    ::close(fd);
  fd = -1;
}

void drain(int& fd, bounded_output& to, std::size_t most) {
  static char buffer[64 << 10];
  while (fd >= 0 && most > 0) {
    auto n = ::read(fd, static_cast<char*>(buffer), std::min(most, sizeof buffer));
    if (n < 0)
      return errno == EAGAIN ? void() : close_at(fd);
    if (n == 0)
      return close_at(fd);
    to.add({static_cast<const char*>(buffer), static_cast<std::size_t>(n)});
    most -= static_cast<std::size_t>(n);
  }
}

int pid_of(command& c) {
  if (c.pid != 0)
    return c.pid;
  char text[512];
  auto fd = ::open(("/proc/self/fdinfo/" + std::to_string(c.pidfd)).c_str(), O_RDONLY | O_CLOEXEC);
  auto n = ::read(fd, static_cast<char*>(text), sizeof text - 1);
  ::close(fd);
  text[n < 0 ? 0 : n] = '\0';
  const auto* at = std::strstr(static_cast<const char*>(text), "Pid:");
  return c.pid = at ? static_cast<int>(std::strtol(at + 4, nullptr, 10)) : 0;
}

void add_output(sandbox_line& line, command& c) {
  auto out = c.out.take(), err = c.err.take();
  line.add("out", std::move(out.text)).add("out_cut", out.cut).add("out_at", out.at);
  line.add("err", std::move(err.text)).add("err_cut", err.cut).add("err_at", err.at);
}

void kill_command(command& c, int tier) {
  close_at(c.life_fd);
  if (tier == 2)
    ::syscall(SYS_pidfd_send_signal, c.pidfd, SIGKILL, nullptr, 0);
}

} // namespace conclave::launcher
