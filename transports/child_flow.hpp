// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The lines of a child's stdout on their way to whoever deals with them: cut, bounded in length, and held back while too many of
/// them wait. Internal to transports/; one thread.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

class child_flow {
public:
  /// A line may have `max_line` bytes. While lines of more than `max_waiting` weight wait, no more should be read; 0 = no bound.
  child_flow(std::size_t max_line, std::size_t max_waiting) : max_line_(max_line), max_waiting_(max_waiting) {}

  /// What a line weighs while it waits: its bytes, and what it costs to hold them.
  static std::size_t weight(std::string_view line) { return line.size() + 128; }

  /// Cuts what has been read: adds whole lines, without their LF, to `lines`; they wait from now on. Returns false if one is too
  /// long; its bytes are dropped.
  bool cut(std::string_view bytes, std::vector<std::string>& lines);

  /// Takes what came behind the last LF.
  std::string take_rest();

  /// Whether to read no further until give_back() says so.
  bool hold();

  /// So much has been dealt with. Returns true if that ends a hold: half of what may wait is free again.
  bool give_back(std::size_t weight);

  /// Nobody deals with lines any more, so nothing is held from now on. Returns true if something was.
  bool let_run();

private:
  std::size_t max_line_, max_waiting_;
  std::string partial_;     ///< no LF inside
  std::size_t waiting_ = 0; ///< weight of the lines handed on and not given back
  bool held_ = false;
};

} // namespace conclave
