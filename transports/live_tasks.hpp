// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which tasks of a store are under way, in this or any other process: a lock per task on one byte of a file beside the store. The
/// kernel lets go of it when the process ends, however it ends. A task's byte is found by its number in the store, which no other
/// task has; programs that knew no numbers took one found by a hash of its name, and are still heeded.
///
/// Thread rule: any thread. Where the file cannot be had, no task counts as live and none can be held.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace conclave {

class live_tasks {
public:
  /// The lock file is `path`; it is made with mode 0600.
  explicit live_tasks(const std::string& path);
  ~live_tasks();
  live_tasks(const live_tasks&) = delete;
  live_tasks& operator=(const live_tasks&) = delete;

  enum class taking { done, taken, failed };

  /// Takes the lock. `taken`: somebody has it, be it this object. `failed`: locks do not work here; sets `error` to one sentence.
  taking hold(const std::string& task, std::int64_t nr, std::string& error);

  void let_go(const std::string& task);
  bool holds(const std::string& task); ///< this object does
  bool holds_any();

  /// `nr` 0 = the task has no number.
  bool is_live(const std::string& task, std::int64_t nr);
  bool is_any_live();

  /// Returns whether a program that knows no numbers works on the task.
  bool is_live_by_name(const std::string& task);

private:
  bool is_locked(std::int64_t byte);
  bool open_for_writing();

  std::string path_;
  int fd_ = -1;
  bool writable_ = false;
  std::mutex mutex_;
  std::map<std::string, std::int64_t> held_; ///< task -> its byte
};

} // namespace conclave
