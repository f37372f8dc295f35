// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a child writes to stderr on its way to its log. All logs are written by one thread that does nothing else: a slow disk, or
/// a folder on a network that is gone, keeps neither the other children nor the connections waiting. Thread rule: that of its
/// caller, one at a time. Internal to transports/.

#include "transports/child_log.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace conclave {

class child_log_lane {
public:
  /// Bytes that may wait to be written, of one log: more than one may hold. What comes beyond is left out, and the log says so.
  static constexpr std::size_t max_waiting = std::size_t{2} << 20;

  ~child_log_lane();

  /// An empty path: nothing is written. `clean` is called on the writing thread.
  void open(const std::string& path, child_log::cleaner clean);
  void add(std::string_view bytes);

  /// Calls `then` once all that waits is written, on the writing thread; at once where there is no file.
  void flush(std::function<void()> then);

  /// Closes the file once all that waits is written, and then calls `then`, on the writing thread; at once where there is no file.
  void close(std::function<void()> then);

private:
  struct file;

  std::shared_ptr<file> file_; ///< null = nothing is written
  std::size_t left_out_ = 0;   ///< bytes since the last that were taken
};

} // namespace conclave
