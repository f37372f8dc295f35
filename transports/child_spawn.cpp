// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_spawn.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace conclave {

namespace {

struct pipe_ends {
  unique_fd read;
  unique_fd write;
};

// A host may run with stdin, stdout or stderr closed; an end numbered 0 to 2 would be overwritten by the dup2 of another.
bool above_standard(unique_fd& fd) {
  if (fd.get() <= 2)
    fd = unique_fd{::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3)};
  return static_cast<bool>(fd);
}

bool make_pipe(pipe_ends& p) {
  std::array<int, 2> fds;
  if (::pipe2(fds.data(), O_CLOEXEC) != 0)
    return false;
  p.read = unique_fd{fds[0]};
  p.write = unique_fd{fds[1]};
  return above_standard(p.read) && above_standard(p.write);
}

void no_wait(const unique_fd& fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

bool is_program(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

// The child's own PATH counts, as in a shell; without one, ours.
std::string resolve(const child_options& o, std::string& error) {
  if (o.argv.empty() || o.argv[0].empty()) {
    error = "no program was named";
    return {};
  }
  auto& name = o.argv[0];
  if (name.find('/') != std::string::npos)
    return name;
  auto in_env = o.env.find("PATH");
  auto* ours = std::getenv("PATH");
  std::string path = in_env != o.env.end() ? in_env->second : ours ? ours : "/usr/local/bin:/usr/bin:/bin";
  for (std::size_t pos = 0; pos <= path.size();) {
    auto end = std::min(path.find(':', pos), path.size());
    auto dir = path.substr(pos, end - pos);
    pos = end + 1;
    if (dir.empty() || dir[0] != '/')
      continue; // a relative entry would mean whatever directory we happen to be in
    if (auto full = dir + "/" + name; is_program(full))
      return full;
  }
  error = "no program '" + name + "' on the PATH";
  return {};
}

bool holds_nul(const child_options& o) {
  auto has = [](const std::string& s) { return s.find('\0') != std::string::npos; };
  for (auto& a : o.argv)
    if (has(a))
      return true;
  for (auto& [k, v] : o.env)
    if (has(k) || has(v) || k.empty() || k.find('=') != std::string::npos)
      return true;
  return has(o.cwd);
}

// Everything the child needs after the fork, where it may no longer allocate.
struct prepared {
  std::string program;
  std::vector<std::string> env;
  std::vector<char*> argv;
  std::vector<char*> envp;
  pipe_ends in, out, err, failure;
  pid_t parent = 0;
};

[[noreturn]] void give_up(const prepared& p, int stage) {
  spawn_failure f{stage, errno};
  [[maybe_unused]] auto n = ::write(p.failure.write.get(), &f, sizeof f);
  ::_exit(127);
}

void close_the_rest() {
  if (::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
    return;
  for (int fd = 3; fd < 65'536; ++fd) // a kernel without close_range
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// Runs between fork and exec in the image of a process with many threads: async-signal-safe calls only, no allocation.
[[noreturn]] void become(const prepared& p, const child_options& o) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != p.parent)
    ::_exit(127); // the parent died before prctl: nobody would ever end us
  // All signals are blocked here (the reactor's mask). exec resets handlers but keeps what is ignored, SIGPIPE for one.
  for (int sig = 1; sig < NSIG; ++sig)
    ::signal(sig, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(p.in.read.get(), 0);
  ::dup2(p.out.write.get(), 1);
  ::dup2(p.err.write.get(), 2);
  close_the_rest();
  if (!o.cwd.empty() && ::chdir(o.cwd.c_str()) != 0)
    give_up(p, 1);
  ::execve(p.program.c_str(), p.argv.data(), p.envp.data());
  give_up(p, 2);
}

bool prepare(prepared& p, const child_options& o, std::string& error) {
  if (holds_nul(o)) {
    error = "the command, its directory or its environment holds a NUL byte or a bad variable name";
    return false;
  }
  p.program = resolve(o, error);
  if (p.program.empty())
    return false;
  for (auto& a : o.argv)
    p.argv.push_back(const_cast<char*>(a.c_str()));
  p.argv.push_back(nullptr);
  for (auto& [k, v] : o.env)
    p.env.push_back(k + "=" + v);
  for (auto& e : p.env)
    p.envp.push_back(e.data());
  p.envp.push_back(nullptr);
  p.parent = ::getpid();
  bool ok = make_pipe(p.in) && make_pipe(p.out) && make_pipe(p.err) && make_pipe(p.failure);
  if (!ok)
    error = "no descriptors for the program's pipes: " + std::string{::strerror(errno)};
  return ok;
}

} // namespace

spawned_child spawn_child(const child_options& options) {
  spawned_child child;
  prepared p;
  if (!prepare(p, options, child.error))
    return child;
  auto pid = ::fork();
  if (pid == 0)
    become(p, options);
  if (pid < 0) {
    child.error = "cannot fork: " + std::string{::strerror(errno)};
    return child;
  }
  ::setpgid(pid, pid); // also done by the child: whoever comes first, the group exists before the pid is known to anyone
  child.pidfd = unique_fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))}; // glibc 2.36 declares pidfd_open without extern "C"
  if (!child.pidfd) {
    child.error = "cannot watch the program: " + std::string{::strerror(errno)};
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR)
      ;
    return child;
  }
  child.pid = pid;
  child.in = std::move(p.in.write);
  child.out = std::move(p.out.read);
  child.err = std::move(p.err.read);
  child.failure = std::move(p.failure.read);
  no_wait(child.in);
  no_wait(child.out);
  no_wait(child.failure);
  if (child.err)
    no_wait(child.err);
  return child;
}

} // namespace conclave
