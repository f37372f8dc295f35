// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one thread that forks, feeds, reads and reaps all children of the process, and runs timers. Internal to transports/.
///
/// It is never joined and never destroyed: PR_SET_PDEATHSIG fires when the *thread* that forked ends, so this thread lives as long
/// as the process. It blocks all signals, so that handlers of the host run elsewhere and a write to a broken pipe is an ordinary
/// EPIPE.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace conclave {

/// Owns a file descriptor.
class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~unique_fd() { reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1);
  int release() { return std::exchange(fd_, -1); }

private:
  int fd_ = -1;
};

class child_reactor {
public:
  using task = std::function<void()>;
  using clock = std::chrono::steady_clock;

  /// Returns the reactor of this process, started by the first call; nullptr if the system gives neither descriptor nor thread for
  /// it (the next call tries again).
  static child_reactor* get();

  /// Runs `run` on the reactor thread, in the order of the calls. Any thread.
  void post(task run);

  /// Runs `run` on the reactor thread, not before `delay` has passed. Any thread.
  void after(std::chrono::milliseconds delay, task run);

  /// Calls `ready` with the epoll events of `fd`. Returns the watch, 0 on failure. Reactor thread only, like all below.
  std::uint64_t watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready);

  /// Ends a watch; call it before closing the descriptor. 0 and unknown watches are ignored.
  void unwatch(std::uint64_t id);

  /// Changes what a watch waits for.
  void change(std::uint64_t id, std::uint32_t events);

private:
  struct watched {
    int fd;
    std::shared_ptr<std::function<void(std::uint32_t)>> ready;
  };

  child_reactor() = default;
  bool start();
  [[noreturn]] void run();
  void run_posted();
  int run_timers();

  unique_fd epoll_;
  unique_fd wake_;
  std::uint64_t last_watch_ = 0;
  std::unordered_map<std::uint64_t, watched>
      watches_; ///< by id and not by descriptor: a stale event must not reach a reused number

  std::mutex mutex_; ///< guards the two below
  std::vector<task> posted_;
  std::multimap<clock::time_point, task> timers_;
};

} // namespace conclave
