// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#include "transports/http_client_slow_lane.hpp"

#include "transports/http_client_transfer.hpp"
#include "transports/process_room.hpp"

#include <sched.h>
#include <system_error>
#include <utility>

namespace conclave::http_detail {

slow_lane::slow_lane(std::function<void(std::uint64_t)> on_served) : on_served_(std::move(on_served)) {}

slow_lane::~slow_lane() {
  {
    std::lock_guard guard{mutex_};
    closed_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable())
    thread_.join();
}

bool slow_lane::start() {
  try {
    if (!thread_.joinable())
      thread_ = start_without_signals([this] { loop(); });
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

void slow_lane::push(job j) {
  {
    std::lock_guard guard{mutex_};
    waiting_.push_back(std::move(j));
  }
  wake_.notify_one();
}

void slow_lane::loop() {
  sched_param none{};
  sched_setscheduler(0, SCHED_BATCH, &none); // it does not push its waker, who serves all others, off the core
  std::unique_lock lock{mutex_};
  for (;;) {
    wake_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
    if (waiting_.empty())
      return;
    auto now = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    if (!now.bytes.empty())
      call(now.cb->on_data, std::move(now.bytes));
    if (now.end)
      call(now.cb->on_done, std::move(*now.end));
    else
      on_served_(now.id);
    now = {}; // what the callbacks hold may end anything: not under the lock
    lock.lock();
  }
}

} // namespace conclave::http_detail
