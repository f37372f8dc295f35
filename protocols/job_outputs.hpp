// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the background jobs of a run wrote, as far as it is held: within one bound for all of them together, however many there
/// were. Room is made of what ended jobs wrote, those that ended first in front, of each the earlier output; then of the job that
/// holds the most. Pure.
///
///   job_outputs held(4 << 20);
///   held.add("job1", job_stream::out, "ready\n");
///   auto p = held.from("job1", job_stream::out, 0, 1000);  // p.text == "ready\n", p.next == 6, !p.cut

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

namespace conclave {

enum class job_stream : std::size_t { out = 0, err = 1 };

class job_outputs {
public:
  static constexpr std::size_t recent_tail = 64 << 10; ///< bytes that a stream of an ended job keeps while older ones can give way
  static constexpr std::size_t old_tail = 4 << 10;     ///< that it keeps while jobs that run can

  explicit job_outputs(std::size_t most) : most_(most) {}

  /// Adds to what is held of a job, which is new, or not forgotten.
  void add(const std::string& job, job_stream s, std::string text);
  /// It has ended: from now on its output gives way first.
  void ended(const std::string& job);
  void forget(const std::string& job);
  void clear();

  struct piece {
    std::string text;
    std::uint64_t next = 0; ///< the offset behind it
    bool cut = false;       ///< something at the offset, or behind it, is no longer held
  };
  /// At most `most` bytes from `offset` of the stream on; the end of the stream if the offset lies beyond it.
  piece from(const std::string& job, job_stream s, std::uint64_t offset, std::size_t most) const;

  std::size_t size() const { return size_; } ///< bytes

private:
  struct stream {
    std::string text;
    std::uint64_t start = 0; ///< bytes before it that are not held any more
  };
  using streams = std::array<stream, 2>;

  void shorten(stream& s, std::size_t to);
  void shorten_ended(std::size_t tail);
  void make_room();

  std::size_t most_, size_ = 0;
  std::map<std::string, streams> jobs_;
  std::deque<std::string> ended_; ///< in that order
};

} // namespace conclave
