// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one thread that forks, feeds, reads and reaps all children of the process, carries its connections, and runs timers: an
/// io_context of Boost.Asio. Internal to transports/.
///
/// It is never joined and never destroyed: PR_SET_PDEATHSIG fires when the *thread* that forked ends, so this thread lives as long
/// as the process. It blocks all signals, so that handlers of the host run elsewhere and a write to a broken pipe is an ordinary
/// EPIPE.

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace boost::asio {
class io_context;
}

namespace conclave {

/// Owns a file descriptor.
class unique_fd {
public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
  unique_fd& operator=(unique_fd other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset() { *this = {}; }
  int release() { return std::exchange(fd_, -1); }

  /// Moves it into an object of Asio (made for `protocol`, if there are such), which throws if it cannot have it.
  template <class Object, class... Protocol>
  void give_to(Object& object, const Protocol&... protocol) {
    object.assign(protocol..., fd_);
    release();
  }

private:
  int fd_ = -1;
};

/// Returns what a system call did. Throws its error (boost::system::system_error) if that is negative.
int checked(long result);

class child_reactor {
public:
  /// Returns the reactor of this process, started by the first call; nullptr if the system gives neither descriptor nor thread for
  /// it (the next call tries again), and in a fork of the host, which does not have its thread.
  static child_reactor* get();

  /// Runs `run` on the reactor thread, in the order of the calls. Any thread.
  void post(std::function<void()> run);

  /// Runs `run` on the reactor thread, not before `delay` has passed. Any thread.
  void after(std::chrono::milliseconds delay, std::function<void()> run);

  /// What pipes, sockets and timers of this folder are made with. Their handlers run on the reactor thread.
  boost::asio::io_context& io() { return *io_; }

private:
  child_reactor();

  std::shared_ptr<boost::asio::io_context> io_;
  int owner_; ///< the process that has its thread
};

} // namespace conclave
