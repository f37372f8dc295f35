// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_fork_server.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

constexpr int patience_ms = 200; ///< for an answer, which a process that is not stopped gives at once
constexpr int max_failed = 3;
constexpr auto start_delay = std::chrono::milliseconds{50}; ///< what made us start it comes first
constexpr auto reap_delay = std::chrono::seconds{1};

std::string read_all(const char* path) {
  std::ifstream f(path);
  std::stringstream s;
  s << f.rdbuf();
  return std::move(s).str();
}

/// What a child inherits and a host may change: it must not have children of the one it was. Its root, limits and control groups,
/// and of its state the user, the groups, the rights, the mask of files and the session.
std::string identity() {
  struct stat root {};
  ::stat("/", &root);
  auto out = std::to_string(root.st_dev) + ' ' + std::to_string(root.st_ino) + '\n' + read_all("/proc/thread-self/limits")
             + read_all("/proc/thread-self/cgroup");
  std::istringstream status(read_all("/proc/thread-self/status"));
  for (std::string line; std::getline(status, line);)
    for (const auto* name : {"Umask:", "Uid:", "Gid:", "Groups:", "NSsid:", "Cap", "NoNewPrivs:", "Seccomp", "Cpus_allowed:"})
      if (line.starts_with(name))
        out += line + '\n';
  return out;
}

bool request(int socket, const std::array<int, 3>& fds) {
  char byte = 'f';
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> space{};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = space.data();
  m.msg_controllen = space.size();
  auto* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(c), fds.data(), sizeof fds);
  return ::sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/// Returns what it says, empty if that is nothing.
std::string hear(int socket) {
  std::array<char, 32> text;
  auto n = ::recv(socket, text.data(), text.size(), MSG_DONTWAIT);
  return {text.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

int number(const std::string& text) {
  int n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

} // namespace

struct child_fork_server::running {
  explicit running(child_reactor& r) : end(r.io()) {}

  bool serves(const child_command& c, const std::string& p) const {
    return program == p && argument == c.fork_server && cwd == c.cwd && env == c.env && owner == identity();
  }

  std::string program, argument, cwd;
  std::map<std::string, std::string> env;
  std::string owner = identity();
  unique_fd socket;
  launched_child::stream end; ///< waited for as long as it lives
  int pid = 0;                ///< also its group
  bool ready = false;
};

child_fork_server& child_fork_server::get() {
  static auto* one = new child_fork_server;
  return *one;
}

int child_fork_server::fork(const child_command& command, const std::string& program, int in, int out, int err) {
  if (running_ && !running_->serves(command, program))
    stop();
  auto pid = running_ ? ask(in, out, err) : 0;
  if (pid == 0)
    start_soon(command, program);
  return pid;
}

int child_fork_server::ask(int in, int out, int err) {
  auto& r = *running_;
  r.ready = r.ready || !hear(r.socket.get()).empty();
  if (!r.ready)
    return 0;
  auto asked = request(r.socket.get(), {in, out, err});
  pollfd on{r.socket.get(), POLLIN, 0};
  while (asked && ::poll(&on, 1, patience_ms) < 0 && errno == EINTR)
    ;
  auto said = asked ? hear(r.socket.get()) : std::string{};
  if (said.empty()) { // it was stopped or killed. A child that it has not told is still of its group.
    ++failed_;
    auto group = r.pid;
    ::kill(-group, SIGKILL);
    stop();
    child_reactor::get()->after(reap_delay, [group] {
      while (::waitpid(-group, nullptr, WNOHANG) > 0)
        ;
    });
    return 0;
  }
  auto pid = number(said);
  if (pid <= 0)
    return 0; // executing it tells why no process can be had
  if (::setpgid(pid, pid) == 0)
    return pid;
  ::kill(pid, SIGKILL);
  child_reactor::get()->after(reap_delay, [pid] { ::waitpid(pid, nullptr, WNOHANG); });
  return 0;
}

void child_fork_server::start_soon(const child_command& command, const std::string& program) {
  if (running_ || !open_ || failed_ >= max_failed || command.cwd.empty() || std::exchange(starting_, true))
    return;
  child_reactor::get()->after(start_delay, [this, command, program] {
    starting_ = false;
    if (!running_ && open_)
      start(command, program);
  });
}

void child_fork_server::start(const child_command& command, const std::string& program) {
  auto fresh = std::make_shared<running>(*child_reactor::get());
  try {
    auto null = open_null();
    std::array<int, 2> ends{};
    checked(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()));
    fresh->socket = unique_fd{ends[0]};
    unique_fd theirs{ends[1]};
    fresh->program = program;
    fresh->argument = command.fork_server;
    fresh->cwd = command.cwd;
    fresh->env = command.env;
    auto c = command;
    c.argv = {program, command.fork_server};
    fresh->pid = execute_child(c, program, child_bond::dependent, theirs.get(), null.back().get(), null.back().get());
    unique_fd{checked(::syscall(SYS_pidfd_open, fresh->pid, 0))}.give_to(fresh->end);
  } catch (const boost::system::system_error&) {
    ++failed_;
    if (fresh->pid > 0) { // no pidfd for it
      ::kill(-fresh->pid, SIGKILL);
      ::waitpid(fresh->pid, nullptr, 0);
    }
    return;
  }
  running_ = fresh;
  fresh->end.async_wait(launched_child::stream::wait_read, [this, fresh](const boost::system::error_code&) {
    ::waitpid(fresh->pid, nullptr, WNOHANG);
    if (running_ == fresh) {
      failed_ += !fresh->ready;
      running_ = nullptr;
    }
  });
}

/// By its pidfd, as a host may have reaped it and its number may be another's; by the socket, also where others have it or we have
/// no right to signal. Who waits for its end reaps it.
void child_fork_server::stop() {
  if (!running_)
    return;
  ::shutdown(running_->socket.get(), SHUT_RDWR);
  ::syscall(SYS_pidfd_send_signal, running_->end.native_handle(), SIGKILL, nullptr, 0);
  running_ = nullptr;
}

void child_fork_server::close() {
  open_ = false;
  stop();
}

} // namespace conclave
