// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to native_tool.cpp: how a tool's function, on a thread of its own, gets at the workspace of its agent. What it asks goes
/// as a message through the tool's actor, and the thread waits for the answer; the end of the call answers all that wait, and no
/// message follows. So a function that outlives its engine touches nothing of it.

#include "actors/workspace_use.hpp"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

/// A use that a thread waits for. Any thread.
class one_use {
public:
  void answer(files_used f) { // the first counts
    std::lock_guard lock(mutex_);
    if (got_)
      return;
    got_ = std::move(f);
    came_.notify_all();
  }
  files_used wait() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return got_.has_value(); });
    return std::move(*got_);
  }

private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::optional<files_used> got_;
};

/// What the function of a call asks for.
struct handle_use {
  std::uint64_t call = 0;
  use_files what;
  std::shared_ptr<one_use> by;
};

/// What a handle leads to.
class call_files final : public workspace_access {
public:
  using sender = std::function<void(use_files, std::shared_ptr<one_use>)>;

  /// `reach` gives what sends to the actor while that lives, else nothing. It sends nothing once close() has returned.
  call_files(bool may_write, std::function<sender()> reach) : may_write_(may_write), reach_(std::move(reach)) {}

  std::string read(const std::string& path) override { return use({{}, 0, use_files::kind::read, path, {}}).bytes; }
  void write(const std::string& path, std::string bytes) override {
    if (!may_write_)
      throw workspace_error("E_READONLY", "this tool is declared read-only (native_tool::read_only), so it writes nothing");
    use({{}, 0, use_files::kind::write, path, std::move(bytes)});
  }
  std::vector<workspace_entry> list(const std::string& path) override {
    return use({{}, 0, use_files::kind::list, path, {}}).entries;
  }

  /// The call is over.
  void close() {
    std::lock_guard lock(mutex_);
    over_ = true;
    for (auto& u : std::exchange(open_, {}))
      u->answer(void_one());
  }

private:
  static files_used void_one() {
    files_used out;
    out.failed = true;
    out.fault.text = "the call that this handle was given for is over, so it is void";
    return out;
  }

  files_used use(use_files what) {
    auto by = std::make_shared<one_use>();
    auto send = reach_(); // goes without the lock: it may be the last to hold the actor, whose end calls close()
    {
      std::lock_guard lock(mutex_);
      if (send && !over_) {
        open_.push_back(by);
        send(std::move(what), by);
      } else {
        by->answer(void_one());
      }
    }
    auto got = by->wait();
    {
      std::lock_guard lock(mutex_);
      std::erase(open_, by);
    }
    if (got.failed)
      throw workspace_error(std::string{path_policy::to_string(got.fault.code)}, got.fault.text);
    return got;
  }

  const bool may_write_;
  const std::function<sender()> reach_;
  std::mutex mutex_;
  bool over_ = false;
  std::vector<std::shared_ptr<one_use>> open_;
};

} // namespace conclave
