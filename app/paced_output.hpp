// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Writing to the standard descriptors of a run, whose readers may be slow, stopped or gone: nothing here waits inside the kernel,
/// and every wait can be ended.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace conclave {

/// A reader that took nothing for so long is not waited for any longer, where something else is to be done.
inline constexpr std::chrono::milliseconds reader_patience{2000};

/// The same of what is for eyes, once all is over: whoever waits for the end of the process does not wait for a display that nobody
/// reads.
inline constexpr std::chrono::milliseconds eyes_patience{400};

/// A descriptor that is written to without blocking. Its own mode is left alone: other processes share it. Thread rule: one thread.
class unblocked_fd {
public:
  explicit unblocked_fd(int fd); ///< borrowed
  ~unblocked_fd();
  unblocked_fd(const unblocked_fd&) = delete;
  unblocked_fd& operator=(const unblocked_fd&) = delete;

  /// Writes what there is room for. Returns how much that was, 0 if there is none now, or -errno.
  ssize_t write_some(std::string_view bytes);

  /// Waits until there may be room; returns after `limit_ms` at the latest.
  void wait(int limit_ms) const;

private:
  int fd_;
  int twin_ = -1; ///< the same pipe or terminal, opened anew in non-blocking mode
  bool is_socket_ = false, must_ask_ = false;
};

/// Writes everything, however long the reader takes; once `leaving` is set it is given up after `reader_patience` without progress.
/// Returns 0, an errno, or ECANCELED if it was given up.
int write_unless_leaving(int fd, std::string_view bytes, const std::atomic<bool>& leaving);

/// Output for eyes on a descriptor: a thread of its own writes, so that whoever says something never waits. What waits is bounded:
/// the oldest texts are dropped, and a line says how much is missing. A reader that is gone is no error.
///
/// Thread rule: any thread.
class paced_output {
public:
  /// Returns the line that says how many bytes are missing.
  using gap_mark = std::string (*)(std::size_t bytes);
  explicit paced_output(int fd, std::size_t limit_bytes = std::size_t{1} << 20, gap_mark mark = nullptr);
  ~paced_output(); ///< does not wait; see flush()
  paced_output(const paced_output&) = delete;
  paced_output& operator=(const paced_output&) = delete;

  void write(std::string_view text); ///< whole lines, or a line that is to be overwritten

  /// Waits until everything is written. Gives up on a reader that takes nothing for `eyes_patience`, and on one that is merely slow
  /// after five times `reader_patience`; `forever`: only once `leaving` is set.
  void flush(bool forever, const std::atomic<bool>& leaving);

private:
  struct impl;
  std::shared_ptr<impl> impl_; ///< shared with the thread, which may outlive this object
};

/// Returns whether two descriptors lead to the same pipe, terminal or file.
bool same_reader(int a, int b);

} // namespace conclave
