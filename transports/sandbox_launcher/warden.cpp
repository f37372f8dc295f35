// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The process above a command's shell: it confines, starts the shell, and sees to it that nothing outlives it.

#include "transports/sandbox_launcher/connections.hpp"
#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/passing.hpp"
#include "transports/sandbox_launcher/paths.hpp"
#include "transports/sandbox_launcher/system.hpp"
#include "transports/sandbox_launcher/system_paths.hpp"

#include <climits>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace conclave::launcher {

namespace {

constexpr int status_fd = 3, life_fd = 4, first_free = 5;

[[noreturn]] void end_with(char what, int status, const std::string& text) {
  last_word w;
  w.what = what;
  w.status = status;
  std::snprintf(static_cast<char*>(w.text), sizeof w.text, "%s", text.c_str());
  if (::write(status_fd, &w, sizeof w) < 0)
    ::_exit(2); // nobody is there to hear it
  ::_exit(0);
}

void check(const std::string& why) {
  if (!why.empty())
    end_with('e', 0, why);
}

/// 0 to 2 are the command's, 3 and 4 ours, nothing else is open. Via numbers above: one may stand where another is to go.
void arrange_descriptors(const order& o) {
  auto in = o.in >= 0 ? o.in : ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::array<int, 5> from{in, o.out, o.err, o.status, o.life};
  for (auto& fd : from)
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, first_free);
  for (int i = 0; i < 5; ++i)
    ::dup3(from[static_cast<std::size_t>(i)], i, i > 2 ? O_CLOEXEC : 0) < 0 ? ::_exit(2) : void();
  ::syscall(SYS_close_range, first_free, ~0U, 0);
}

std::string enter_groups(const order& o) {
  for (auto fd : o.groups)
    if (::write(fd, "0", 1) != 1)
      return fault("cannot enter a control group");
  return {};
}

void unblock_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Of a search path what can be entered. At tier 1 the rest is there to see, and programs take what they find there for theirs.
std::string within_reach(const profile& p, const std::string& search) {
  std::string out;
  auto granted = program_folders();
  for (const auto* more : {&p.readable, &p.writable})
    granted.insert(granted.end(), more->begin(), more->end());
  for (const auto* one : {&p.home, &p.tmp})
    if (!one->empty())
      granted.push_back(*one);
  for (std::size_t at = 0; at <= search.size();) {
    auto end = std::min(search.find(':', at), search.size());
    auto folder = search.substr(at, end - at);
    char real[PATH_MAX];
    if (!folder.starts_with('/') || (::realpath(folder.c_str(), static_cast<char*>(real)) && !innermost(granted, real).empty()))
      out += (out.empty() ? "" : ":") + folder;
    at = end + 1;
  }
  return out;
}

std::vector<char*> environment(const profile& p, const order& o, std::vector<std::string>& text) {
  text = p.env;
  for (const auto& e : o.env) {
    auto name = e.substr(0, e.find('=') + 1);
    std::erase_if(text, [&](const std::string& known) { return known.starts_with(name); });
    text.push_back(e);
  }
  std::vector<char*> out;
  out.reserve(text.size() + 1);
  for (auto& e : text) {
    if (p.tier == 1 && e.starts_with("PATH="))
      e = "PATH=" + within_reach(p, e.substr(5));
    out.push_back(e.data());
  }
  out.push_back(nullptr);
  return out;
}

/// Hands the descriptor of notifications to the warden; the filter lets no other process get one.
void send_listener(int socket, int listener) {
  send_with(socket, "n", &listener, 1);
}

int receive_listener(int socket) {
  char byte = 0;
  descriptors fds{};
  receive(socket, &byte, 1, fds);
  return fds[0];
}

/// `env` as execve takes it. At tier 2 this runs in the memory of the warden, which waits.
[[noreturn]] void become_shell(const profile& p, const order& o, char* const* env, int listener_to) {
  unblock_signals();
  ::setsid();
  if (::chdir(o.cwd.c_str()) != 0)
    check(fault("cannot enter the folder " + o.cwd));
  std::array<char*, 4> argv{const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(o.command.c_str()), nullptr};
  if (p.tier == 1)
    check(set_landlock(p));
  if (p.tier == 2)
    check(drop_rights());
  if (p.tier > 0) {
    int listener = -1;
    check(set_filter(p.filter, listener));
    send_listener(listener_to, listener);
    ::close(listener);
  }
  ::execve("/bin/sh", argv.data(), env);
  check(fault("cannot run /bin/sh"));
  ::_exit(127);
}

int server = 0; ///< the first process of a tool server, and its session

void pass_on(int signal) {
  ::kill(-server, signal);
}

/// Tier 2. The kernel would end what is left with this process, the first of its namespace. But that process' own end waits until
/// the namespace's mounts are taken apart, for which nobody needs to wait: so it does it itself and has the last word behind it.
[[noreturn]] void wait_as_first(int shell, const profile& p, int listener, int signals) {
  std::array<pollfd, 2> on{{{signals, POLLIN, 0}, {listener, POLLIN, 0}}};
  connections under_way{listener, p};
  for (int code = 255;;) {
    if (::poll(on.data(), on.size(), under_way.look()) < 0)
      continue; // a signal that is passed on
    if (on[1].revents & POLLIN)
      answer_notification(listener, p, under_way);
    else if (on[1].revents)
      on[1].fd = -1;
    signalfd_siginfo ignored;
    if ((on[0].revents & POLLIN) && ::read(signals, &ignored, sizeof ignored) < 0)
      continue;
    int status = 0, pid = 0;
    while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0)
      if (pid != shell) {
        under_way.reaped(pid, status);
      } else {
        code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        ::kill(-1, SIGKILL); // all but this one, and what one of them is just starting
      }
    if (pid < 0 && errno == ECHILD)
      end_with('s', code, {});
  }
}

/// `scoped`: this process reaches nobody but those below it, so one call ends them all, also those who are just starting others.
void end_all(bool scoped) {
  if (scoped)
    ::kill(-1, SIGKILL);
  end_descendants();
}

[[noreturn]] void wait_as_subreaper(int shell, const profile& p, int listener, int signals, bool scoped) {
  std::array<pollfd, 3> on{{{life_fd, POLLIN, 0}, {signals, POLLIN, 0}, {listener, POLLIN, 0}}};
  connections none{listener, p};
  while (true) {
    if (::poll(on.data(), on.size(), -1) < 0)
      continue; // a signal that is passed on
    if (on[2].revents & POLLIN)
      answer_notification(listener, p, none);
    else if (on[2].revents)
      on[2].fd = -1; // nobody uses the filter any more
    if (on[1].revents & POLLIN) {
      signalfd_siginfo ignored;
      if (::read(signals, &ignored, sizeof ignored) < 0)
        continue;
      int status = 0;
      for (int pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
        if (WIFSTOPPED(status)) {
          ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr); // at tier 0 it may have asked its parent to trace it
        } else if (pid == shell) {
          end_all(scoped);
          end_with('s', WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), {});
        }
    }
    if (on[0].revents) { // the launcher says so, or is gone
      end_all(scoped);
      ::_exit(0);
    }
  }
}

} // namespace

[[noreturn]] void run_warden(const profile& p, const order& o) {
  bool first = p.tier == 2;
  auto outside = enter_groups(o);
  arrange_descriptors(o);
  for (int sig = 1; sig < NSIG; ++sig) // for the shell, too: there is no handler before it is there
    ::signal(sig, SIG_DFL);
  unblock_signals();
  check(outside);
  if (first) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    check(mount_proc(p));
  } else {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::setsid();
  }
  char begin = 0;
  if (::read(life_fd, &begin, 1) != 1)
    ::_exit(0);
  check(set_limits(p, o));
  if (p.tier == 1)
    drop_bounds(); // at tier 2 the holder did
  if (p.tier > 0)
    check(drop_rights(first));
  bool scoped = false;
  if (first)
    check(scope_and_hide(p));
  else if (p.tier == 1)
    check(scope_signals(scoped));
  scoped = scoped && ::kill(::getppid(), 0) != 0 && errno == EPERM; // the launcher is of the same user, and beyond
  ::prctl(PR_SET_DUMPABLE, 0);                                      // what runs below may not look into this process
  int ends[2] = {-1, -1};
  if (p.tier > 0 && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, static_cast<int*>(ends)) != 0)
    check(fault("no socket"));
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  auto signals = ::signalfd(-1, &child, SFD_CLOEXEC);
  std::vector<std::string> text;
  auto env = environment(p, o, text);
  // NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): of one thread, which waits while become_shell() runs
  auto shell = first ? ::vfork() : ::fork();
  if (shell == 0)
    become_shell(p, o, env.data(), ends[1]);
  if (shell < 0)
    check(fault("cannot fork"));
  if (o.in >= 0) {
    server = shell;
    ::signal(SIGTERM, pass_on);
  }
  for (int fd = 0; fd < 3; ++fd)
    ::close(fd); // else the end of its output never shows
  ::close(ends[1]);
  auto listener = p.tier > 0 ? receive_listener(ends[0]) : -1;
  if (first)
    wait_as_first(shell, p, listener, signals);
  wait_as_subreaper(shell, p, listener, signals, scoped);
}

} // namespace conclave::launcher
