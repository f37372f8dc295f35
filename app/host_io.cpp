// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/host_io.hpp"

#include "transports/child_process.hpp"
#include "transports/outside.hpp"
#include "transports/unfinished.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <malloc.h>
#include <mutex>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

constexpr int interrupted_code = 4;
constexpr int brief_ms = 500;
constexpr rlim_t wanted_files = 65'536; // more than any run needs; some children close every possible descriptor one by one

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  // A blocked signal is queued even if it is ignored, so nohup's choice has to be respected here.
  struct sigaction old {};
  if (sigaction(SIGHUP, nullptr, &old) != 0 || old.sa_handler != SIG_IGN)
    sigaddset(&set, SIGHUP);
  return set;
}

/// Without destructors: a thread may hold what they want.
[[noreturn]] void leave_at_once() {
  unfinished::remove_all();
  _exit(interrupted_code);
}

const char* name_of(std::uint32_t number) {
  return number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGHUP";
}

} // namespace

void prepare_process() {
  // Standard output is opened for reading: an answer written to it fails, as it would have without us, instead of being lost.
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == 1 ? O_RDONLY : O_RDWR) < 0)
      std::_Exit(2);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error of its writer (EFBIG), not the end of the process
  // The memory holds keys and conversations: no core dumps, of children neither. 1, not 0: the kernel hands a core to a program
  // (systemd-coredump, apport) whatever the limit is, but for this one (do_coredump in Linux' fs/coredump.c, read 2026-11-26).
  // PR_SET_DUMPABLE would also do, but would keep the user's debugger away, and the user out of /proc/PID.
  rlimit core{};
  if (getrlimit(RLIMIT_CORE, &core) == 0) {
    core.rlim_cur = std::min<rlim_t>(core.rlim_max, 1);
    setrlimit(RLIMIT_CORE, &core);
  }
#ifdef __GLIBC__
  // Long texts (conversations, bodies) go back to the system when they end. Left alone, glibc raises this limit with the first of
  // them and keeps such memory in the arena of every thread that handled one.
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < wanted_files && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = std::min(files.rlim_max, wanted_files);
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

bool is_terminal(int fd) {
  return isatty(fd) == 1;
}

std::size_t terminal_width(int fd, std::size_t otherwise) {
  if (!is_terminal(fd))
    return otherwise;
  constexpr unsigned long most = 10'000;
  auto* wish = std::getenv("COLUMNS");
  if (auto n = wish ? std::strtoul(wish, nullptr, 10) : 0; n > 0 && n <= most)
    return n;
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool wants_colour(int fd) {
  auto* off = std::getenv("NO_COLOR");
  auto* term = std::getenv("TERM");
  return is_terminal(fd) && (!off || !*off) && term && *term && std::strcmp(term, "dumb") != 0;
}

int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::write(fd, bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      pollfd p{fd, POLLOUT, 0};
      if (poll(&p, 1, -1) < 0 && errno != EINTR)
        return errno;
    } else if (n < 0 && errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

int wait_readable(int fd, int ms) {
  auto machine = outside::of_machine();
  auto until = machine->now_steady() + std::chrono::milliseconds(ms);
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - machine->now_steady()).count();
    pollfd p{fd, POLLIN, 0};
    auto ready = poll(&p, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready >= 0 || errno != EINTR)
      return ready != 0 ? 1 : 0;
  }
}

bool read_all(int fd, std::size_t limit, std::string& out, std::string& error, const char* name,
              const std::function<void()>& on_wait) {
  out.clear();
  bool said = !on_wait;
  char buffer[16'384];
  for (;;) {
    if (!said && wait_readable(fd, 2'000) == 0) {
      said = true;
      on_wait();
    }
    auto n = ::read(fd, buffer, sizeof buffer);
    if (n == 0)
      return true;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      pollfd p{fd, POLLIN, 0};
      poll(&p, 1, -1);
      continue;
    }
    if (n < 0) {
      error = std::string("cannot read ") + name + ": " + std::strerror(errno);
      return false;
    }
    if (out.size() + static_cast<std::size_t>(n) > limit) {
      error = std::string(name) + " holds more than " + std::to_string(limit) + " bytes";
      return false;
    }
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

void block_signals() {
  auto set = watched_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

asked read_line(std::string& line) {
  constexpr std::size_t most = 4'096; // of an answer; the rest of the line counts as more answers
  line.clear();
  auto set = watched_signals();
  auto signals = signalfd(-1, &set, SFD_CLOEXEC);
  auto end = asked::at_end;
  for (auto going_on = true; going_on;) {
    pollfd fds[2]{{0, POLLIN, 0}, {signals, POLLIN, 0}}; // a descriptor of -1 is passed over
    if (poll(fds, 2, -1) < 0)
      continue; // EINTR
    char c = 0;
    signalfd_siginfo info{};
    if (fds[1].revents != 0) {
      end = asked::interrupted;
      [[maybe_unused]] auto taken = ::read(signals, &info, sizeof info);
      break;
    }
    auto n = ::read(0, &c, 1); // byte by byte: what follows the line is not ours
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
      continue;
    going_on = n == 1 && c != '\n' && line.size() < most;
    if (n == 1 && c != '\n')
      line += c;
    if (n == 1)
      end = asked::answered;
    else if (line.empty())
      end = asked::at_end;
  }
  if (signals >= 0)
    close(signals);
  return end;
}

struct signal_watch::impl {
  int signals = -1, wake = -1;
  std::mutex mutex;
  std::function<void(const char*)> on_signal;
  std::unique_ptr<host_thread> thread;

  void work() {
    int seen = 0;
    for (;;) {
      pollfd fds[2]{{signals, POLLIN, 0}, {wake, POLLIN, 0}};
      if (poll(fds, 2, -1) < 0)
        continue; // EINTR; nothing else can happen to two open descriptors
      if (fds[1].revents)
        return;
      signalfd_siginfo info{};
      if (!fds[0].revents || ::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info))
        continue;
      if (++seen > 2)
        leave_at_once();
      if (seen == 2) { // on its own thread, so that a third signal ends the process at once
        auto leave = [] {
          child_process::end_all();
          leave_at_once();
        };
        if (!outside::of_machine()->start_thread("leaving", leave))
          leave();
        continue;
      }
      std::unique_lock lock(mutex);
      if (!on_signal) {
        // A reader that does not read must not keep the process; so little fits wherever there is room at all.
        pollfd p{2, POLLOUT, 0};
        if (poll(&p, 1, brief_ms) > 0)
          write_all(2, std::string("conclave: interrupted by ") + name_of(info.ssi_signo) + " before anything was begun\n");
        leave_at_once();
      }
      // On its own thread: if the handler blocks (a stopped terminal), the second signal still ends the process.
      auto act = on_signal;
      lock.unlock();
      acting = outside::of_machine()->start_thread("on signal", [act, name = name_of(info.ssi_signo)] { act(name); });
      if (!acting)
        act(name_of(info.ssi_signo));
    }
  }

  std::unique_ptr<host_thread> acting;
};

signal_watch::signal_watch() : impl_(std::make_unique<impl>()) {
  auto set = watched_signals();
  impl_->signals = signalfd(-1, &set, SFD_CLOEXEC);
  impl_->wake = eventfd(0, EFD_CLOEXEC);
  if (impl_->signals >= 0 && impl_->wake >= 0)
    impl_->thread = outside::of_machine()->start_thread("signals", [i = impl_.get()] { i->work(); });
  if (!impl_->thread) // leave the signals to the kernel, which ends the process
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

signal_watch::~signal_watch() {
  if (impl_->thread) {
    eventfd_write(impl_->wake, 1);
    impl_->thread->join();
  }
  if (impl_->acting)
    impl_->acting->join();
  if (impl_->signals >= 0)
    close(impl_->signals);
  if (impl_->wake >= 0)
    close(impl_->wake);
}

void signal_watch::arm(std::function<void(const char*)> on_signal) {
  std::lock_guard lock(impl_->mutex);
  impl_->on_signal = std::move(on_signal);
}

} // namespace conclave
