// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_launch.hpp"

#define BOOST_PROCESS_USE_STD_FS 1 // no compiled Boost library is needed
#include <boost/asio/io_context.hpp>
#include <boost/optional.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>

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

namespace process = boost::process::v2;
using boost::system::error_code;
namespace fs = std::filesystem;

constexpr int no_directory = 1 << 16; ///< added to the errno that comes from a child: it is of the directory, not of the program

/// Runs between fork and exec in the image of a process with many threads: async-signal-safe calls only, no allocation.
struct become_child {
  const char* cwd;
  child_bond bond;
  pid_t parent = ::getpid();

  template <class Launcher>
  error_code on_exec_setup(Launcher&, const fs::path&, const char* const*) const {
    if (bond == child_bond::keeper) {
      ::setsid();
    } else {
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent)
        ::_exit(127); // the parent died before prctl: nobody would ever end us
    }
    // All signals are blocked here (the reactor's mask). exec resets handlers but keeps what is ignored, SIGPIPE for one.
    for (int sig = 1; sig < NSIG; ++sig)
      ::signal(sig, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // Boost 1.81 closes what is above its own pipe only: what other libraries opened lies below.
    if (::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
      for (int fd = 3; fd < 65'536; ++fd) // a kernel without close_range
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (*cwd == '\0' || ::chdir(cwd) == 0)
      return {};
    errno += no_directory;
    return {errno, boost::system::system_category()};
  }

  /// Boost would call exit(), and with it the exit handlers of our process.
  template <class... Ts>
  void on_exec_error(Ts&&...) const {
    ::_exit(127);
  }
};

struct pipe_ends {
  unique_fd read, write;
  bool open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0)
      return false;
    read.reset(fds[0]);
    write.reset(fds[1]);
    return true;
  }
};

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
  auto own = o.env.find("PATH");
  auto found = find_program(name, own == o.env.end() ? nullptr : own->second.c_str());
  if (found.empty())
    error = "no program '" + name + "' on the PATH";
  return found;
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

/// Returns the pid, 0 and `why` if the program does not run.
int launch(const std::string& program, const child_options& o, process::process_stdio streams, child_bond bond, std::string& why) {
  std::vector<std::string> env;
  std::vector<const char*> argv, envp;
  for (auto& a : o.argv)
    argv.push_back(a.c_str());
  argv.push_back(nullptr);
  for (auto& [k, v] : o.env)
    env.push_back(k + "=" + v);
  for (auto& e : env)
    envp.push_back(e.c_str());
  envp.push_back(nullptr);
  process::posix::default_launcher launcher;
  launcher.env = envp.data();
  error_code failed;
  try {
    // A context of its own: the reactor's would open its descriptors anew in the child, and throw there if it cannot.
    boost::asio::io_context none{1};
    auto** args = argv.data();
    launcher(none.get_executor(), failed, fs::path{program}, args, streams, become_child{o.cwd.c_str(), bond}).detach();
    if (!failed)
      return launcher.pid;
    auto code = failed.value() % no_directory;
    auto what = launcher.pid <= 0               ? "cannot fork: "
                : failed.value() > no_directory ? "no working directory '" + o.cwd + "': "
                                                : "cannot run '" + o.argv[0] + "': ";
    why = what + std::strerror(code);
  } catch (const std::exception& e) { // it runs, but there is no descriptor to watch it with
    why = std::string("cannot watch the program: ") + e.what();
    if (launcher.pid > 0)
      ::kill(-launcher.pid, SIGKILL);
  }
  while (launcher.pid > 0 && ::waitpid(launcher.pid, nullptr, 0) < 0 && errno == EINTR) // Boost leaves a zombie
    ;
  return 0;
}

} // namespace

std::string find_program(const std::string& name, const char* path) {
  auto* ours = std::getenv("PATH");
  std::string_view list = path ? path : ours ? ours : "/usr/local/bin:/usr/bin:/bin";
  for (std::size_t pos = 0; pos < list.size();) {
    auto end = std::min(list.find(':', pos), list.size());
    auto folder = std::string{list.substr(pos, end - pos)};
    pos = end + 1;
    if (folder.empty() || folder[0] != '/')
      continue; // a relative entry would mean whatever directory we happen to be in
    if (auto full = folder + "/" + name; is_program(full))
      return full;
  }
  return {};
}

launched_child launch_child(const child_options& options, child_bond bond) {
  launched_child child;
  if (holds_nul(options)) {
    child.error = "the command, its directory or its environment holds a NUL byte or a bad variable name";
    return child;
  }
  auto program = resolve(options, child.error);
  if (program.empty())
    return child;
  // A host may run with stdin, stdout or stderr closed; an end numbered 0 to 2 would be overwritten by the dup2 of another.
  std::vector<unique_fd> null;
  do
    null.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
  while (null.back() && null.back().get() <= 2);
  pipe_ends in, out, err;
  if (!null.back() || !in.open() || (bond == child_bond::dependent && (!out.open() || !err.open()))) {
    child.error = "no descriptors for the program's pipes: " + std::string{::strerror(errno)};
    return child;
  }
  auto or_null = [&](const unique_fd& fd) { return fd ? fd.get() : null.back().get(); };
  auto pid = launch(program, options, {in.read.get(), or_null(out.write), or_null(err.write)}, bond, child.error);
  if (pid == 0)
    return child;
  child.end.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); // glibc 2.36 declares pidfd_open without extern "C"
  if (!child.end) {
    child.error = "cannot watch the program: " + std::string{::strerror(errno)};
    ::kill(-pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR)
      ;
    return child;
  }
  child.pid = pid;
  child.in = std::move(in.write);
  child.out = std::move(out.read);
  child.err = std::move(err.read);
  return child;
}

} // namespace conclave
