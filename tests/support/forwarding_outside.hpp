// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Hands every question on to another outside: a test overrides what it wants to see, or to answer itself.

#include "transports/outside.hpp"

#include <utility>

namespace conclave::test {

class forwarding_outside : public outside {
public:
  explicit forwarding_outside(std::shared_ptr<outside> to = outside::of_machine()) : to_(std::move(to)) {}

  std::int64_t now_unix_ms() override { return to_->now_unix_ms(); }
  std::chrono::nanoseconds now_steady() override { return to_->now_steady(); }
  std::int32_t utc_offset_s(std::int64_t unix_ms) override { return to_->utc_offset_s(unix_ms); }
  std::uint32_t seed(const std::string& owner) override { return to_->seed(owner); }
  std::shared_ptr<http_transfers> open_http(std::shared_ptr<text_readers> readers) override {
    return to_->open_http(std::move(readers));
  }
  std::shared_ptr<child_process> start_child(child_options options, child_process::callbacks cb) override {
    return to_->start_child(std::move(options), std::move(cb));
  }
  std::shared_ptr<local_model> acquire_local_model(local_model_options options, std::shared_ptr<http_transfers> http,
                                                   local_model::callbacks cb) override {
    return to_->acquire_local_model(std::move(options), std::move(http), std::move(cb));
  }
  std::unique_ptr<event_store> open_store(const std::string& path, std::string& error, store_use use) override {
    return to_->open_store(path, error, use);
  }
  std::unique_ptr<lane> open_lane(const std::string& owner) override { return to_->open_lane(owner); }
  std::shared_ptr<lane_group> open_lanes(const std::string& owner, std::size_t threads) override {
    return to_->open_lanes(owner, threads);
  }
  std::unique_ptr<host_thread> start_thread(const std::string& name, std::function<void()> body) override {
    return to_->start_thread(name, std::move(body));
  }

private:
  std::shared_ptr<outside> to_;
};

} // namespace conclave::test
