// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A launcher for one tool server, whose input and output are the engine's own.

#include "transports/sandbox_launcher/descendants.hpp"
#include "transports/sandbox_launcher/supervisor.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <sys/wait.h>

namespace conclave::launcher {

namespace {

constexpr int server_watch_ms = 500, server_files_ms = 5000; ///< a server is there for long, and each look costs

/// The profile is behind its length, in 8 digits: what follows it must be left unread.
bool read_opening(sandbox_line& line) {
  auto read_all = [](std::string& to) {
    for (std::size_t at = 0; at < to.size();) {
      auto n = ::read(0, to.data() + at, to.size() - at);
      if (n == 0 || (n < 0 && errno != EINTR))
        return false;
      at += n < 0 ? 0 : static_cast<std::size_t>(n);
    }
    return true;
  };
  std::string digits(8, '\0');
  if (!read_all(digits) || digits.find_first_not_of("0123456789") != std::string::npos)
    return false;
  auto size = std::strtoul(digits.c_str(), nullptr, 10);
  if (size > max_line)
    return false;
  std::string text(size, '\0');
  return read_all(text) && text.ends_with('\n') && sandbox_line::read(std::string_view{text}.substr(0, size - 1), line);
}

/// A tool server is asked to end like any program: it gets the signal that the launcher got.
int warden_to_tell = -1;

void pass_on(int signal) {
  ::syscall(SYS_pidfd_send_signal, warden_to_tell, signal, nullptr, 0);
}

} // namespace

int supervisor::run_one() {
  sandbox_line line;
  auto why = read_opening(line) ? read_profile(line, profile_) : std::string{"not a line of this version"};
  if (why.empty() && profile_.tier == 1 && landlock_abi() < 1)
    why = "the kernel has no Landlock";
  if (why.empty())
    why = begin_walls();
  command c(0);
  order o;
  o.cwd = line.get("cwd");
  o.command = line.get("command");
  o.in = 0;
  o.out = 1;
  o.err = 2;
  if (why.empty())
    why = start(o, c);
  if (!why.empty()) {
    std::fprintf(stderr, "conclave-sandbox: %s\n", why.c_str());
    return 126;
  }
  warden_to_tell = c.pidfd;
  ::signal(SIGTERM, pass_on);
  for (auto fd : {0, 1})
    ::close(fd); // else its reader never sees the end
  pollfd on{c.pidfd, POLLIN, 0};
  const auto* end = "killed";
  auto kernel_counts = group_.limits_memory() && (group_.limits_processes() || profile_.tier == 2);
  auto wait = profile_.tier == 0 ? -1 : kernel_counts ? server_files_ms : server_watch_ms;
  for (int n = 0; (n = ::poll(&on, 1, wait)) <= 0;) {
    if (n < 0 && errno == EINTR)
      continue; // a signal was passed on
    if (n < 0)
      ::_exit(2);
    auto l = look_at(c, true);
    perform(l, profile_.memory);
    if (const auto* what = over(c, l)) {
      end = what == std::string_view{"memory"} ? "killed: too much memory"
            : what == std::string_view{"disk"} ? "killed: too much in deleted files"
                                               : "killed: too many processes";
      kill_command(c, profile_.tier);
    }
  }
  if (int status = 0; profile_.tier < 2 && ::waitpid(c.pid, &status, 0) == c.pid && WIFSIGNALED(status)) {
    std::vector<int> others; // somebody else ended the warden: who is left?
    if (group_.sweeper() > 0)
      others.push_back(group_.sweeper());
    end_descendants(others);
  }
  auto no_memory = group_.ran_out_of_memory();
  if (no_memory)
    end = "killed: too much memory";
  if (::read(c.status_fd, &c.last, sizeof c.last) == sizeof c.last && c.last.what == 's') {
    if (no_memory)
      std::fprintf(stderr, "conclave-sandbox: %s\n", end);
    return c.last.status;
  }
  std::fprintf(stderr, "conclave-sandbox: %s\n", c.last.what == 'e' ? static_cast<const char*>(c.last.text) : end);
  return 126;
}

} // namespace conclave::launcher
