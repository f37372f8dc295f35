// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Feeds the bytes of one reply to a dialect's decoder in any pieces. For tests and fuzzers; no test framework here.

#include "protocols/wire/dialect.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave::test {

struct decoded {
  std::vector<chunk> chunks;
  conclave::completion completion;
  bool done = false; ///< before finish
  bool operator==(const decoded&) const = default;
};

/// All chunk texts of one kind, joined.
inline std::string joined(const std::vector<chunk>& chunks, chunk_kind kind) {
  std::string out;
  for (auto& c : chunks)
    if (c.kind == kind)
      out += c.text;
  return out;
}

inline http_head head_of(int status, std::string content_type, key_values more = {}) {
  http_head h{status, std::move(more)};
  if (!content_type.empty())
    h.headers.emplace_back("content-type", std::move(content_type));
  return h;
}

/// The same stream with a line feed behind the data of each event, which the quick readers (protocols/wire/delta_reader.hpp) leave
/// to the general parser.
inline std::string slowed(std::string_view stream) {
  std::string out;
  while (!stream.empty()) {
    auto end = stream.find_first_of("\r\n");
    auto line = stream.substr(0, end);
    out.append(line);
    if (line.starts_with("data:") && line.ends_with('}'))
      out.append("\ndata:");
    auto next = end == std::string_view::npos ? end : stream.find_first_not_of("\r\n", end);
    if (end != std::string_view::npos)
      out.append(stream.substr(end, next - end));
    stream.remove_prefix(next == std::string_view::npos ? stream.size() : next);
  }
  return out;
}

/// `sizes` of the pieces, used in turn and over again; empty = whole.
inline decoded decode(const char* dialect, const http_head& head, std::string_view bytes,
                      const std::vector<std::size_t>& sizes = {}, const http_end& end = {}) {
  decoded out;
  wire::endpoint to;
  auto d = wire::find_dialect(dialect)->make_decoder(to);
  d->head(head);
  std::size_t turn = 0;
  while (!bytes.empty()) {
    auto n = sizes.empty() ? bytes.size() : sizes[turn++ % sizes.size()];
    n = n == 0 ? 1 : n > bytes.size() ? bytes.size() : n;
    d->feed(bytes.substr(0, n), out.chunks);
    bytes.remove_prefix(n);
  }
  out.done = d->done();
  out.completion = d->finish(end);
  return out;
}

/// Whether two replies are the same but for the words of an error, which quote the text as it stood.
inline bool same_but_words(decoded a, decoded b) {
  for (auto text : {&completion::error, &completion::said})
    if ((a.completion.*text).empty() == (b.completion.*text).empty())
      a.completion.*text = b.completion.*text;
  return a == b;
}

} // namespace conclave::test
