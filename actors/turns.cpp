// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/turns.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <algorithm>
#include <utility>

namespace conclave {

using std::chrono::nanoseconds;

namespace {

/// What the actors' clock says at the start of a run. Their moments of 0 mean "never".
constexpr caf::actor_clock::time_point start_point{std::chrono::hours(24 * 10)};

thread_local const turns* current = nullptr;

} // namespace

turns::turns(std::shared_ptr<outside> machine, turn_options options) : machine_(std::move(machine)), options_(std::move(options)) {}

turns::~turns() = default;

bool turns::begin(caf::actor_system_config& config) {
  config_ = &config;
  lock_type lock(mutex_);
  thread_ = machine_->start_thread("turns", [me = shared_from_this()] { me->run(); });
  if (!thread_)
    return false;
  changed_.wait(lock, [this] { return sys_ != nullptr; });
  return true;
}

void turns::start_clock() {
  if (std::exchange(running_, true))
    return;
  real_anchor_ = machine_->now_steady();
}

void turns::inside(const std::function<void()>& what) {
  if (here())
    return what();
  lock_type lock(mutex_);
  if (ended_)
    return;
  auto done = false;
  queue_.push_back([&] {
    what();
    std::lock_guard guard(mutex_);
    done = true;
    changed_.notify_all();
  });
  changed_.notify_all();
  changed_.wait(lock, [&] { return done; });
}

void turns::close(std::chrono::milliseconds limit, std::function<void()> last) {
  {
    std::lock_guard guard(mutex_);
    if (std::exchange(closing_, true))
      return;
    last_ = std::move(last);
    close_until_ = machine_->now_steady() + limit;
    changed_.notify_all();
  }
  thread_->join();
}

void turns::post(std::function<void()> input) {
  std::lock_guard guard(mutex_);
  if (ended_)
    return;
  queue_.push_back(std::move(input));
  changed_.notify_all();
}

bool turns::here() const {
  return current == this;
}

nanoseconds turns::elapsed() const {
  return now_;
}

void turns::run() {
  current = this;
  config_->set("scheduler.policy", caf::atom("testing"));
  auto sys = std::make_unique<caf::actor_system>(*config_);
  actors_ = dynamic_cast<caf::scheduler::test_coordinator*>(&sys->scheduler());
  actors_->clock().current_time = start_point;
  own_actors_ = sys->registry().running();
  lock_type lock(mutex_);
  sys_ = std::move(sys);
  changed_.notify_all();
  while (turn(lock))
    ;
  ended_ = true;
  auto left = std::exchange(queue_, {});
  auto last = std::exchange(last_, {});
  lock.unlock();
  if (last)
    last();
  work();
  sys_->await_actors_before_shutdown(at_rest()); // one that did not come to its end must not hold up ours
  sys_.reset();
  current = nullptr;
}

/// Returns false at the end. Called, and left, with the lock held.
bool turns::turn(lock_type& lock) {
  lock.unlock();
  work();
  auto due = running_ && options_.source ? options_.source->due() : std::nullopt;
  if (options_.source && running_ && !due)
    let_run_free();
  auto timer = running_ ? first_timer() : std::nullopt;
  auto with_source = options_.source && running_;
  auto now_real = real();
  lock.lock();
  if (closing_ && ((queue_.empty() && at_rest()) || machine_->now_steady() >= close_until_))
    return false;
  auto next = due && timer ? std::min(*due, *timer) : due ? due : timer;
  auto late = next && ((with_source && options_.speed <= 0) || *next <= now_real);
  // Late timers do not keep an input waiting for ever: it may come in between two of them, at the time of the first.
  auto between = std::exchange(after_timer_, false) && !with_source && late && *next > now_;
  if (late && (queue_.empty() || (!with_source && !between))) {
    auto is_timer = timer && *timer <= *next; // a timer first, as when it was recorded
    lock.unlock();
    move_time(*next);
    if (is_timer)
      actors_->trigger_timeout();
    else
      options_.source->take();
    lock.lock();
    after_timer_ = is_timer;
    return true;
  }
  if (!queue_.empty()) {
    auto input = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    if (running_ && !with_source && !between)
      move_time(now_real);
    input();
    input = nullptr;
    lock.lock();
    return true;
  }
  wait(lock, next);
  return true;
}

void turns::work() {
  while (actors_->try_run_once())
    ;
}

void turns::move_time(nanoseconds to) {
  now_ = std::max(now_, to);
  actors_->clock().current_time = start_point + now_;
}

/// The time of the run by the machine's clock.
nanoseconds turns::real() {
  if (!running_)
    return now_;
  auto gone = machine_->now_steady() - real_anchor_;
  if (options_.source && options_.speed > 0)
    gone = std::chrono::duration_cast<nanoseconds>(gone * options_.speed);
  return anchor_ + gone;
}

std::optional<nanoseconds> turns::first_timer() const {
  auto& timers = actors_->clock().schedule();
  if (timers.empty())
    return {};
  return std::chrono::duration_cast<nanoseconds>(timers.begin()->first - start_point);
}

/// What is recorded is over: time goes on as it does, and inputs are those that are posted.
void turns::let_run_free() {
  options_.source = nullptr;
  anchor_ = now_;
  real_anchor_ = machine_->now_steady();
}

void turns::wait(lock_type& lock, std::optional<nanoseconds> until) {
  auto limit = nanoseconds(std::chrono::seconds(3600)); // whatever is told wakes it
  if (closing_)
    limit = std::max(close_until_ - machine_->now_steady(), nanoseconds(0)) + std::chrono::milliseconds(1);
  if (until) {
    auto left = *until - real();
    if (options_.source && options_.speed > 0)
      left = std::chrono::duration_cast<nanoseconds>(left / options_.speed);
    limit = std::min(limit, std::max(left, nanoseconds(0)));
  }
  changed_.wait_for(lock, limit, [this] { return !queue_.empty() || (closing_ && at_rest()); });
}

bool turns::at_rest() const {
  return sys_->registry().running() <= own_actors_;
}

} // namespace conclave
