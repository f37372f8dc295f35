// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Run within a sandbox by its self-test: does what an agent's command might do, and says what came of it.

#include "transports/sandbox_launcher/probe.hpp"

#include "transports/sandbox_launcher/system.hpp"

#include <array>
#include <climits>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <netinet/in.h>

namespace conclave::launcher {

namespace {

void tell(const char* what, bool open) {
  std::printf("%s %s\n", what, open ? "open" : "held");
}

bool can_open(const char* path, int flags) {
  auto fd = ::open(path, flags | O_CLOEXEC);
  if (fd >= 0)
    ::close(fd);
  return fd >= 0;
}

/// Whether an internet socket can be had that belongs to the engine's network.
bool reaches_network(const char* net) {
  auto fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  ::close(fd);
  std::array<char, PATH_MAX> own{};
  auto n = ::readlink("/proc/self/ns/net", own.data(), own.size() - 1);
  return n <= 0 || std::string(own.data(), static_cast<std::size_t>(n)) == net;
}

/// In a process of its own: whoever gets into a user namespace stays there.
bool can_unshare() {
  auto pid = ::fork();
  if (pid == 0)
    ::_exit(::unshare(CLONE_NEWUSER) == 0 ? 1 : 0);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

} // namespace

int probe(const targets& t) {
  tell("read_outside", can_open(t.outside, O_RDONLY));
  tell("write_read_only", can_open(t.read_only, O_WRONLY) || can_open(t.read_only, O_RDONLY | O_TRUNC) || ::truncate(t.read_only, 0) == 0);
  tell("chmod_read_only", ::chmod(t.read_only, 0777) == 0);
  tell("network", reaches_network(t.net));
  auto signalled = ::kill(t.parent, 0) == 0;
  tell("signal_parent", signalled);
  tell("read_parent", can_open(("/proc/" + std::to_string(t.parent) + "/environ").c_str(), O_RDONLY));
  tell("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
  tell("user_namespace", can_unshare());
  tell("kernel_settings", can_open("/proc/sys/kernel/core_pattern", O_WRONLY));
  return 0;
}

} // namespace conclave::launcher
