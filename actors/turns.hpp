// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// An actor system on one thread: an input, then its actors until they are idle, then the next. A timer is a turn of its own at the
/// moment when it is due. What happens is a matter of the inputs, their order and their times alone.
///
/// Thread rule: all members from any thread, but `system` and what is said in turn_thread.

#include "transports/turn_thread.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace caf::scheduler {
class test_coordinator;
}

namespace conclave {

struct turn_options {
  std::shared_ptr<turn_source> source; ///< none = inputs are those that are posted
  double speed = 0;                    ///< of a source: 1 = as it was, 0 = without waiting
};

class turns final : public turn_thread, public std::enable_shared_from_this<turns> {
public:
  turns(std::shared_ptr<outside> machine, turn_options options);
  ~turns() override;
  turns(const turns&) = delete;
  turns& operator=(const turns&) = delete;

  /// Starts the thread, and on it a system with this configuration, which outlives this object. Returns false if there is no
  /// thread.
  bool begin(caf::actor_system_config& config);

  /// Time runs from here on; before, it stands still. On the thread.
  void start_clock();

  /// Runs `what` on the thread and waits for it.
  void inside(const std::function<void()>& what);

  /// Lets everything come to its end (at most `limit`), runs `last`, ends system and thread. Once.
  void close(std::chrono::milliseconds limit, std::function<void()> last);

  caf::actor_system& system() { return *sys_; } ///< as long as the thread is there

  void post(std::function<void()> input) override;
  bool here() const override;
  std::chrono::nanoseconds elapsed() const override;

private:
  using lock_type = std::unique_lock<std::mutex>;

  void run();
  bool turn(lock_type& lock);
  void work();
  void move_time(std::chrono::nanoseconds to);
  std::chrono::nanoseconds real();
  std::optional<std::chrono::nanoseconds> first_timer() const;
  void let_run_free();
  void wait(lock_type& lock, std::optional<std::chrono::nanoseconds> until);
  bool at_rest() const;

  const std::shared_ptr<outside> machine_;
  turn_options options_;
  caf::actor_system_config* config_ = nullptr;
  std::unique_ptr<caf::actor_system> sys_;
  caf::scheduler::test_coordinator* actors_ = nullptr;
  std::unique_ptr<host_thread> thread_;
  std::size_t own_actors_ = 0; ///< of the system itself
  bool running_ = false;       ///< the clock
  bool after_timer_ = false;   ///< the turn before was a timer's
  std::chrono::nanoseconds now_{0}, anchor_{0}, real_anchor_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::function<void()> last_;
  std::chrono::nanoseconds close_until_{0};
  bool closing_ = false, ended_ = false;
};

} // namespace conclave
