// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Incremental Server-Sent-Events decoder. Any split of the bytes gives the same events.
/// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing an event stream". Lenient where servers break
/// off to say why: a JSON object, or a list of objects, that stands in the stream by itself, on one line or over several, and
/// `error: {...}` are events, too.

#include "protocols/wire/bounds.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace conclave::wire {

struct sse_event {
  std::string name; ///< the `event` field, empty = message
  std::string data; ///< data lines joined by LF, invalid UTF-8 kept as it is
  std::string id;

  void forget_data() { std::string{}.swap(data); } ///< and its memory, which no assignment gives back
};

class sse_decoder {
public:
  explicit sse_decoder(std::size_t max_line = max_line_bytes);

  /// Calls `on_event` for each event the bytes complete. Returns false once a line or the data of one event exceeded the bound;
  /// further bytes are ignored.
  bool feed(std::string_view bytes, const std::function<void(sse_event&)>& on_event);

  /// Dispatches a pending event that lacks its blank line, if its data is non-empty.
  void finish(const std::function<void(sse_event&)>& on_event);

  /// The beginning of what stood outside all fields and was no JSON, for a stream that brought nothing else: at most 2,000 bytes.
  const std::string& stray() const { return stray_; }

  /// Bytes that wait for the end of their event.
  std::size_t held() const { return buffer_.size() + event_.data.size() + bare_.size(); }

private:
  /// `owner`: the string that holds the line and nothing else, if there is one; it may be taken.
  void line(std::string_view text, const std::function<void(sse_event&)>& on_event, std::string* owner = nullptr);
  void add_data(std::string_view value, std::string* owner = nullptr);
  void bare(std::string_view text, const std::function<void(sse_event&)>& on_event);
  void give_up();
  void forget_event();

  std::size_t max_line_;
  std::string buffer_;
  sse_event event_;
  bool has_data_ = false;
  bool started_ = false;
  bool skip_lf_ = false;
  bool broken_ = false;
  std::string stray_;
  std::string bare_; ///< a JSON object outside all fields, as far as it came
  int depth_ = 0;
  bool in_string_ = false, escape_ = false; ///< at the end of bare_
};

} // namespace conclave::wire
