// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which strings and numbers of a stream of JSON texts make up one text, whoever wrote the stream: the deltas of an answer, say.
/// Pure.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave::wire {

/// Where something stands in a text: begin and end.
using text_span = std::pair<std::size_t, std::size_t>;

/// Where strings stand in `bytes`, without their quotes, as they are escaped there.
using string_run = std::vector<text_span>;

/// A string, without its quotes and as it is escaped, or a number of one byte: a byte of a text that is told as numbers. Also the
/// name of a member, where it is the first of that name at its place.
struct json_leaf {
  static constexpr std::uint8_t of_name = 1;
  std::size_t begin = 0, end = 0;
  std::uint32_t name = 0;     ///< of the member, or of that which its array is; 0 = none
  std::uint32_t position = 0; ///< what "index" and members that end in "_index" say around it
  std::uint32_t place = 0;    ///< the names on the way to it, with `position`; numbers and names have places of their own
  std::uint8_t base = 0;      ///< of a number: 10, or 16 within a string; 0 = a string, 1 = the name of a member

  bool is_string() const { return base == 0; }
  bool is_number() const { return base > of_name; }
};

struct json_leaves {
  std::vector<json_leaf> all;    ///< in their order; numbers within a string stand behind it
  std::vector<text_span> asides; ///< what is said beside the text of a model: how likely its tokens were, padding
  std::vector<text_span> unread; ///< those of `asides` that no decoder of ours keeps: not within an item that goes back
};

/// Returns the leaves of all JSON texts in `bytes` (lines of SSE, lines, or one), and what other lines of SSE say. `by_index`: with
/// their positions. Numbers within a string are leaves where there are at least eight in a row, or it is one. Takes anything, a
/// string that does not end on its line is none. O(bytes).
json_leaves leaves_of(std::string_view bytes, bool by_index);

/// Returns whether a text is a number of one byte and nothing else: in decimal, or of two hexadecimal digits.
bool is_byte(std::string_view text, int base);

/// Returns the strings among them, those of the same member name as a run, in their order. With positions a run is also of one, so
/// that what is sent side by side stays apart.
std::vector<string_run> string_runs(const json_leaves& leaves);

} // namespace conclave::wire
