// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/long_string.hpp"

#include "protocols/wire/surrogates.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>

namespace conclave::wire {

namespace {

constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";

/// The code point of the `\u` escape at the beginning of `text`, a pair's second half included, and its length; 0 = it is none.
std::size_t read_code(std::string_view text, std::uint32_t& code) {
  auto unit = [&](std::size_t at, std::uint32_t& to) {
    auto* from = text.data() + at + 2;
    return text.size() >= at + 6 && text[at] == '\\' && text[at + 1] == 'u'
           && std::from_chars(from, from + 4, to, 16).ptr == from + 4;
  };
  std::uint32_t low = 0;
  if (!unit(0, code) || (code >= 0xDC00 && code < 0xE000))
    return 0;
  if (code < 0xD800 || code >= 0xE000)
    return 6;
  if (!unit(6, low) || low < 0xDC00 || low >= 0xE000)
    return 0;
  code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  return 12;
}

} // namespace

std::string_view find_long_string(std::string_view text, std::size_t most) {
  for (auto from = text.find('"'); from < text.size() && from <= most; from = text.find('"', from)) {
    auto end = ++from;
    for (; end < text.size() && text[end] != '"'; ++end)
      end += text[end] == '\\' ? 1 : 0;
    if (end >= text.size())
      break;
    if (text.size() - (end - from) <= most)
      return text.substr(from, end - from);
    from = end + 1;
  }
  return {};
}

bool is_sound_string(std::string_view between) {
  auto control = std::any_of(between.begin(), between.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (control)
    return false;
  std::uint32_t code = 0;
  for (auto at = between.find('\\'); at != std::string_view::npos; at = between.find('\\', at)) {
    auto rest = between.substr(at);
    auto plain = rest.size() > 1 && letters.find(rest[1]) != std::string_view::npos;
    auto length = plain ? std::size_t{2} : read_code(rest, code);
    if (length == 0)
      return false;
    at += length;
  }
  return true;
}

void unescape(std::string& text) {
  auto to = text.find('\\');
  std::string character;
  for (auto from = to; from < text.size();) {
    if (text[from] != '\\') {
      auto end = std::min(text.find('\\', from), text.size());
      std::memmove(text.data() + to, text.data() + from, end - from);
      to += end - from;
      from = end;
    } else if (std::uint32_t code = 0; text[from + 1] != 'u') {
      text[to++] = meanings[letters.find(text[from + 1])];
      from += 2;
    } else {
      from += read_code(std::string_view(text).substr(from), code);
      character.clear();
      append_utf8(character, code);
      to += character.copy(text.data() + to, character.size());
    }
  }
  text.resize(std::min(to, text.size()));
}

} // namespace conclave::wire
