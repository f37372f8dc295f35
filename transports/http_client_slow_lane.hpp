// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The thread for callbacks that take long, so that they hold up nobody but each other. Internal to http_client.cpp.

#include "transports/http_client.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace conclave::http_detail {

class slow_lane {
public:
  struct job {
    std::uint64_t id = 0; ///< of the transfer
    std::shared_ptr<const http_client::callbacks> cb;
    std::string bytes;           ///< for on_data, unless empty
    std::optional<http_end> end; ///< for on_done, after them
  };

  /// `on_served` is called on the lane's thread after each job that has no end.
  explicit slow_lane(std::function<void(std::uint64_t id)> on_served);

  slow_lane(const slow_lane&) = delete;
  slow_lane& operator=(const slow_lane&) = delete;

  /// Runs what waits, then joins the thread.
  ~slow_lane();

  /// Starts the thread unless it runs. Returns false if the system gives none.
  bool start();

  /// Queues a job, once started. Jobs run one after another, in order. Any thread.
  void push(job j);

private:
  void loop();

  const std::function<void(std::uint64_t)> on_served_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<job> waiting_; ///< guarded by `mutex_`, as is
  bool closed_ = false;
  std::thread thread_;
};

} // namespace conclave::http_detail
