// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A store whose disk is played: what is appended becomes durable in order, when the seed says so, and a crash loses the rest and
/// all callbacks.

#include "sim/world.hpp"
#include "transports/event_store.hpp"

#include <deque>

namespace conclave::sim {

class disk {
public:
  explicit disk(world& w) : w_(w) {}

  // Its moves; the seed chooses among those that are possible.
  bool can_sync() const { return !writes_.empty(); }
  void sync(std::size_t most); ///< the oldest writes become durable, together
  bool can_call_back() const { return !callbacks_.empty(); }
  void call_back();
  bool can_read() const { return !reads_.empty(); }
  void read_one();

  void crash(); ///< the engine's process is gone: what was not durable, and the lock
  const std::string& task() const { return task_; }
  void begin_task(std::string task);

private:
  friend class store;
  append_result write(std::uint64_t fence, std::uint64_t expected, const append_batch& batch);

  world& w_;
  std::string task_;
  std::uint64_t fence_ = 0;
  bool live_ = false;
  std::vector<std::string> lines_;
  std::deque<std::function<std::function<void()>()>> writes_; ///< each returns its callback
  std::deque<std::function<void()>> callbacks_;
  std::deque<std::function<void()>> reads_;
};

/// As one engine uses it.
class store final : public event_store {
public:
  store(disk& d, process_ptr of) : d_(d), of_(std::move(of)) {}

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) override;
  void claim(std::string task, task_owner owner, std::function<void(claim_result)> done) override;
  void release(const std::string& task) override;
  void read(std::string task, std::uint64_t after, std::size_t limit, std::function<void(event_page)> done) override;
  void read_bodies(std::string task, std::vector<std::string> shas, std::function<void(body_page)> done) override;
  bool request_cancel(const std::string&, const std::string&, std::string&) override { return false; }
  void on_cancel(std::function<void(std::string, std::string)>) override {}
  std::vector<stored_event> read(const std::string&, std::uint64_t, std::string&) override { return {}; }
  std::vector<stored_body> bodies(const std::string&, const std::vector<std::string>&, std::string&) override { return {}; }
  std::vector<task_row> list(std::string&) override { return {}; }
  bool remove(const std::string&, std::string&) override { return false; }
  std::vector<std::string> prune(std::int64_t, std::string&) override { return {}; }

private:
  disk& d_;
  process_ptr of_;
};

} // namespace conclave::sim
