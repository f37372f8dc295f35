// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/answer_reader.hpp"

#include "protocols/wire/surrogates.hpp"

#include <charconv>

namespace conclave::wire {

namespace {

constexpr std::size_t max_key = 16;
constexpr std::string_view replacement = "\xEF\xBF\xBD";

} // namespace

std::string answer_reader::feed(std::string_view fragment) {
  std::string out;
  for (auto c : fragment) {
    if (done_)
      break;
    if (!in_string_) {
      if (c == '"') {
        in_string_ = true;
        content_ = depth_ == 1 && value_ && key_ == "content";
        if (depth_ == 1 && !value_)
          key_.clear();
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if (c == '}' || c == ']') {
        --depth_;
      } else if (depth_ == 1 && (c == ':' || c == ',')) {
        value_ = c == ':';
      }
      continue;
    }
    if (!escape_.empty() || c == '\\') {
      escape_ += c;
      if (escape_.size() > 1 && escaped(c, out))
        escape_.clear();
      continue;
    }
    if (first_ != 0) { // half a character with nothing after it
      first_ = 0;
      out += content_ ? replacement : "";
    }
    if (c == '"') {
      in_string_ = false;
      done_ = content_;
    } else if (content_) {
      out += c;
    } else if (depth_ == 1 && !value_ && key_.size() < max_key) {
      key_ += c;
    }
  }
  return out;
}

/// Takes one more character of an escape; returns whether it is complete.
bool answer_reader::escaped(char c, std::string& out) {
  std::uint32_t code = 0;
  if (escape_[1] == 'u') {
    if (escape_.size() < 6)
      return false;
    auto end = escape_.data() + 6;
    if (std::from_chars(escape_.data() + 2, end, code, 16).ptr != end)
      code = 0xFFFD;
  } else {
    code = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : static_cast<unsigned char>(c);
  }
  if (!content_)
    return true;
  auto half = first_;
  first_ = 0;
  if (code >= 0xDC00 && code < 0xE000) {
    append_utf8(out, half != 0 ? 0x10000 + ((half - 0xD800) << 10) + (code - 0xDC00) : 0xFFFD);
    return true;
  }
  if (half != 0)
    out += replacement;
  if (code >= 0xD800 && code < 0xDC00)
    first_ = code;
  else
    append_utf8(out, code);
  return true;
}

} // namespace conclave::wire
