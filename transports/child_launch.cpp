// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_launch.hpp"

#include "transports/child_fork_server.hpp"

#include <boost/type_traits/remove_pointer.hpp> // environment.hpp of 1.81 needs it and does not include it

#define BOOST_PROCESS_USE_STD_FS 1 // no compiled Boost library is needed
#include <boost/asio/io_context.hpp>
#include <boost/optional.hpp>
#include <boost/process/v2/environment.hpp>
#include <boost/process/v2/posix/vfork_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

namespace process = boost::process::v2;
using boost::system::error_code;

/// Runs between vfork and exec: on the stack and in the memory of the parent, whose thread waits meanwhile. Changes nothing of its
/// own but what the kernel keeps for the child.
struct become_child {
  const char* cwd;
  child_bond bond;
  pid_t parent = ::getpid();

  template <class Launcher>
  error_code on_exec_setup(Launcher&, const std::filesystem::path&, const char* const*) const {
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
    return *cwd == '\0' || ::chdir(cwd) == 0 ? error_code{} : error_code{errno, boost::system::system_category()};
  }

  /// Boost would call exit(), and with it the exit handlers of our process.
  template <class... Ts>
  void on_exec_error(Ts&&...) const {
    ::_exit(127);
  }
};

/// A pipe of which one end (0 or 1) is ours. Returns the other; throws what the system says against it.
unique_fd open_pipe(launched_child::stream& ours, int end) {
  int fds[2];
  checked(::pipe2(fds, O_CLOEXEC));
  unique_fd theirs{fds[1 - end]};
  unique_fd{fds[end]}.give_to(ours);
  ours.non_blocking(true);
  return theirs;
}

} // namespace

std::vector<unique_fd> open_null() {
  std::vector<unique_fd> null;
  do
    null.emplace_back(checked(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  while (null.back().get() <= 2);
  return null;
}

int execute_child(const child_command& o, const std::string& program, child_bond bond, int in, int out, int err) {
  process::process_environment env{o.env};
  process::posix::vfork_launcher launcher;
  launcher.env = env.env.data(); // by hand: as an initializer it is only declared in the headers of 1.81
  try {
    // vfork, because Boost allocates in the child: after a fork, a lock that another thread held in that moment would stay locked
    // there. A context of its own: the reactor's would open its descriptors anew in the child, and throw there if it cannot.
    boost::asio::io_context none{1};
    launcher(none.get_executor(), std::filesystem::path{program}, std::vector(o.argv.begin() + 1, o.argv.end()),
             process::process_stdio{in, out, err}, become_child{o.cwd.c_str(), bond})
        .detach();
  } catch (const boost::system::system_error&) { // Boost's pidfd may be one descriptor too many for a program that runs
    if (launcher.pid > 0) {
      ::kill(-launcher.pid, SIGKILL);
      ::waitpid(launcher.pid, nullptr, 0); // Boost leaves a zombie
    }
    throw;
  }
  return launcher.pid;
}

std::string launch_child(const child_command& o, child_bond bond, launched_child& child) {
  std::string program;
  if (auto why = resolve_command(o, program); !why.empty())
    return why;
  std::string step = "no descriptors for the program's pipes: ";
  try {
    auto null = open_null();
    auto in = open_pipe(child.in, 1), out = open_pipe(child.out, 0), err = open_pipe(child.err, 0);
    step = "cannot run '" + o.argv[0] + "': ";
    child.pid = o.fork_server.empty() ? 0 : child_fork_server::get().fork(o, program, in.get(), out.get(), err.get());
    if (child.pid == 0)
      child.pid = execute_child(o, program, bond, in.get(), out.get(), err.get());
    unique_fd{checked(::syscall(SYS_pidfd_open, child.pid, 0))}.give_to(child.end); // glibc 2.36: not declared for C++
    return {};
  } catch (const boost::system::system_error& e) {
    if (child.pid > 0) { // no pidfd for it
      ::kill(-child.pid, SIGKILL);
      ::waitpid(std::exchange(child.pid, 0), nullptr, 0);
    }
    return step + e.code().message();
  }
}

} // namespace conclave
