// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which tasks of a store are under way, in this or any other process: a lock on one byte of a file beside the store per task. The
/// kernel lets go of it when the process ends, however it ends.
///
/// Thread rule: any thread. Where the file cannot be had, no task counts as live.

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

  void hold(const std::string& task);
  void let_go(const std::string& task);
  bool is_live(const std::string& task);
  bool is_any_live();

private:
  int fd_ = -1;
  std::mutex mutex_;
  std::map<std::string, long long> held_; ///< task -> its byte
};

} // namespace conclave
