// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/surrogates.hpp"

#include <charconv>

namespace conclave::wire {

namespace {

/// The last 2048 code points, which nobody uses, stand for the 2048 halves.
constexpr std::uint32_t first_mark = 0x10F800;
constexpr std::string_view replacement = "\xEF\xBF\xBD";

bool is_high(std::uint32_t x) {
  return x >= 0xD800 && x < 0xDC00;
}

bool is_low(std::uint32_t x) {
  return x >= 0xDC00 && x < 0xE000;
}

/// The code unit of an escape at the beginning of `text`, or 0.
std::uint32_t unit_at(std::string_view text) {
  std::uint32_t code = 0;
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u')
    return 0;
  return std::from_chars(text.data() + 2, text.data() + 6, code, 16).ptr == text.data() + 6 ? code : 0;
}

std::string mark_of(std::uint32_t half) {
  static const char* digits = "0123456789abcdef";
  auto rest = half - 0xD800 + (first_mark - 0x10000);
  std::string out;
  for (auto unit : {0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF)}) {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4)
      out += digits[(unit >> shift) & 15];
  }
  return out;
}

} // namespace

void append_utf8(std::string& out, std::uint32_t c) {
  auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (is_high(c) || is_low(c) || c > 0x10FFFF) {
    out += replacement;
  } else if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string without_halves(std::string_view text, bool marked) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i++];
      continue;
    }
    auto unit = unit_at(text.substr(i));
    if (unit == 0) { // any other escape, its second character with it
      out.append(text, i, 2);
      i += 2;
    } else if (is_high(unit) && is_low(unit_at(text.substr(i + 6)))) {
      out.append(text, i, 12);
      i += 12;
    } else {
      if (is_high(unit) || is_low(unit))
        out += marked ? mark_of(unit) : "\\ufffd";
      else
        out.append(text, i, 6);
      i += 6;
    }
  }
  return out;
}

void surrogate_joiner::feed(std::string& piece) {
  std::string out;
  for (std::size_t i = 0; i < piece.size();) {
    auto byte = [&](std::size_t k) { return static_cast<std::uint32_t>(static_cast<unsigned char>(piece[i + k])); };
    std::uint32_t half = 0;
    if (byte(0) == 0xF4 && i + 4 <= piece.size() && byte(1) == 0x8F && byte(2) >= 0xA0)
      half = 0xD800 + (0x100000 | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F)) - first_mark;
    if (high_ != 0 && is_low(half)) {
      append_utf8(out, 0x10000 + ((high_ - 0xD800) << 10) + (half - 0xDC00));
      high_ = 0;
    } else {
      finish(out);
      if (is_high(half))
        high_ = half;
      else if (half != 0)
        out += replacement;
      else
        out += piece[i];
    }
    i += half != 0 ? 4 : 1;
  }
  piece = std::move(out);
}

void surrogate_joiner::finish(std::string& to) {
  if (high_ != 0)
    to += replacement;
  high_ = 0;
}

} // namespace conclave::wire
