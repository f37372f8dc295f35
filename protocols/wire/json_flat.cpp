// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/json_flat.hpp"

#include "protocols/invisible.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json_util.hpp"

#include <array>
#include <utility>

namespace conclave::wire {

namespace {

/// Bytes of a string that mean themselves, whatever stands beside them.
constexpr auto plain = [] {
  std::array<bool, 256> out{};
  for (int c = 0x20; c < 0x80; ++c)
    out[static_cast<std::size_t>(c)] = c != '"' && c != '\\';
  return out;
}();

constexpr std::size_t max_digits = 18; ///< no such number overflows

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The escapes that `dump` writes, but for those with a number. 0 = another one.
char escaped(char c) {
  switch (c) {
  case '"':
  case '\\':
    return c;
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  default:
    return 0;
  }
}

} // namespace

flat_reader::flat_reader(std::string_view text) : text_(text) {
  if (text.size() > long_text) // the number of its values is bounded, and not counted here
    fail();
  open();
}

bool flat_reader::take(char c) {
  if (!ok_ || at_ >= text_.size() || text_[at_] != c)
    return false;
  ++at_;
  return true;
}

bool flat_reader::take(std::string_view word) {
  if (!ok_ || text_.substr(at_, word.size()) != word)
    return false;
  at_ += word.size();
  return true;
}

void flat_reader::open() {
  first_ = true;
  if (!take('{'))
    fail();
}

bool flat_reader::next(std::string_view& key) {
  if (!ok_)
    return false;
  if (take('}')) {
    first_ = false; // of the object around it
    return false;
  }
  if (!std::exchange(first_, false) && !take(','))
    return fail();
  return plain_key(key);
}

bool flat_reader::element(std::size_t n) {
  if (n == 0 && !take('['))
    return fail();
  if (take(']'))
    return false;
  return ok_ && (n == 0 || take(',') || fail());
}

bool flat_reader::plain_key(std::string_view& key) {
  if (!take('"'))
    return fail();
  auto from = at_;
  while (at_ < text_.size() && plain[static_cast<unsigned char>(text_[at_])])
    ++at_;
  key = text_.substr(from, at_ - from);
  return (take('"') && take(':')) || fail();
}

bool flat_reader::string(std::string* to) {
  if (!take('"'))
    return fail();
  while (at_ < text_.size()) {
    auto from = at_;
    while (at_ < text_.size() && plain[static_cast<unsigned char>(text_[at_])])
      ++at_;
    std::uint32_t code = 0;
    while (at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80) {
      auto length = decode_utf8(text_, at_, code);
      if (length == 0)
        return fail();
      at_ += length;
    }
    if (to != nullptr)
      to->append(text_, from, at_ - from);
    if (take('"'))
      return true;
    if (at_ + 1 >= text_.size() || (text_[at_] != '\\' && !plain[static_cast<unsigned char>(text_[at_])]))
      return fail();
    if (text_[at_] != '\\')
      continue;
    auto c = escaped(text_[at_ + 1]);
    if (c == 0)
      return fail();
    if (to != nullptr)
      to->push_back(c);
    at_ += 2;
  }
  return fail();
}

std::string flat_reader::text() {
  std::string out;
  string(&out);
  return out;
}

std::vector<std::string> flat_reader::texts() {
  std::vector<std::string> out;
  if (!take('['))
    fail();
  while (ok_ && !take(']')) {
    if (!out.empty() && !take(','))
      fail();
    string(&out.emplace_back());
  }
  return out;
}

std::int64_t flat_reader::whole() {
  auto negative = take('-');
  auto from = at_;
  std::int64_t n = 0;
  while (ok_ && at_ < text_.size() && is_digit(text_[at_]) && at_ - from < max_digits)
    n = 10 * n + (text_[at_++] - '0');
  auto digits = at_ - from;
  auto more = at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E');
  if (digits == 0 || more || (text_[from] == '0' && (digits > 1 || negative)))
    fail();
  return negative ? -n : n;
}

bool flat_reader::flag() {
  if (take("true"))
    return true;
  if (!take("false"))
    fail();
  return false;
}

std::string flat_reader::object() {
  auto from = at_;
  skip_object(1);
  return ok_ ? std::string(text_.substr(from, at_ - from)) : std::string{};
}

void flat_reader::skip(int depth) {
  auto c = at_ < text_.size() ? text_[at_] : '\0';
  if (c == '"') {
    string(nullptr);
  } else if (c == '{') {
    skip_object(depth);
  } else if (c == '[') {
    ++at_;
    if (depth >= max_depth)
      fail();
    for (auto first = true; ok_ && !take(']'); first = false) {
      if (!first && !take(','))
        fail();
      skip(depth + 1);
    }
  } else if (c == '-' || is_digit(c)) {
    whole();
  } else if (!take("true") && !take("false") && !take("null")) {
    fail();
  }
}

/// `depth`: of the value around it, 1 = the whole text.
void flat_reader::skip_object(int depth) {
  if (depth >= max_depth || !take('{')) {
    fail();
    return;
  }
  std::string_view before, key;
  for (auto first = true; ok_ && !take('}'); first = false) {
    if ((!first && !take(',')) || !plain_key(key) || (!first && key <= before)) {
      fail();
      return;
    }
    before = key;
    skip(depth + 1);
  }
}

} // namespace conclave::wire
