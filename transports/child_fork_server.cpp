// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_fork_server.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr int patience_ms = 1000; ///< for an answer, which a process that is not stopped gives at once
constexpr int max_failed = 3;

/// Who we are to the kernel: a host that has become another user must not have children of the one it was.
std::array<unsigned, 4> identity() {
  return {::getuid(), ::geteuid(), ::getgid(), ::getegid()};
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
  running(const running&) = delete;
  running& operator=(const running&) = delete;

  /// Ends it. After that no answer of it comes any more.
  ~running() {
    socket.reset();
    if (pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

  bool serves(const child_command& c, const std::string& p) const {
    return program == p && argument == c.fork_server && cwd == c.cwd && env == c.env && owner == identity();
  }

  std::string program, argument, cwd;
  std::map<std::string, std::string> env;
  std::array<unsigned, 4> owner = identity();
  unique_fd socket;
  launched_child::stream end;
  int pid = 0;
  bool ready = false;
};

child_fork_server& child_fork_server::get() {
  static auto* one = new child_fork_server;
  return *one;
}

int child_fork_server::fork(const child_command& command, const std::string& program, int in, int out, int err) {
  if (!running_)
    return 0;
  auto& r = *running_;
  if (!r.serves(command, program)) {
    close();
    return 0;
  }
  r.ready = r.ready || !hear(r.socket.get()).empty();
  if (!r.ready)
    return 0;
  if (!request(r.socket.get(), {in, out, err})) { // it has ended
    close();
    return 0;
  }
  pollfd on{r.socket.get(), POLLIN, 0};
  while (::poll(&on, 1, patience_ms) < 0 && errno == EINTR)
    ;
  auto said = hear(r.socket.get());
  if (said.empty()) { // it was stopped or killed. What it said until its end counts.
    ++failed_;
    ::kill(r.pid, SIGKILL);
    siginfo_t ended{};
    ::waitid(P_PID, static_cast<id_t>(r.pid), &ended, WEXITED | WNOWAIT);
    said = hear(r.socket.get());
    close();
    if (said.empty()) // there may be a child, which has these descriptors and ends with them: no other must have them
      throw boost::system::system_error{ECONNRESET, boost::system::system_category()};
  }
  auto pid = number(said);
  if (pid <= 0)
    return 0; // executing it tells why no process can be had
  ::setpgid(pid, pid);
  return pid;
}

void child_fork_server::start(const child_command& command, const std::string& program) {
  if (running_ || failed_ >= max_failed)
    return;
  try {
    auto fresh = std::make_shared<running>(*child_reactor::get());
    std::array<int, 2> ends{};
    checked(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()));
    fresh->socket = unique_fd{ends[0]};
    unique_fd theirs{ends[1]}, null{checked(::open("/dev/null", O_RDWR | O_CLOEXEC))};
    fresh->program = program;
    fresh->argument = command.fork_server;
    fresh->cwd = command.cwd;
    fresh->env = command.env;
    auto c = command;
    c.argv = {program, command.fork_server};
    fresh->pid = execute_child(c, program, child_bond::dependent, theirs.get(), null.get(), null.get());
    unique_fd{checked(::syscall(SYS_pidfd_open, fresh->pid, 0))}.give_to(fresh->end);
    fresh->end.async_wait(launched_child::stream::wait_read, [this, pid = fresh->pid](const boost::system::error_code& e) {
      if (!e && running_ && running_->pid == pid) {
        failed_ += !running_->ready;
        close();
      }
    });
    running_ = std::move(fresh);
  } catch (const boost::system::system_error&) {
    ++failed_;
  }
}

void child_fork_server::close() {
  running_.reset();
}

} // namespace conclave
