// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"

#include "protocols/invisible.hpp"

#include <algorithm>

namespace conclave {

namespace {

bool harmless(std::uint32_t c) {
  if (c == '\n' || c == '\t')
    return true;
  if (c < 0x20 || (c >= 0x7F && c < 0xA0))
    return false; // C0 with ESC, DEL, C1
  // Bidirectional controls. Source: https://www.unicode.org/reports/tr9/, table 1 and 2.
  return c != 0x061C && c != 0x200E && c != 0x200F && !(c >= 0x202A && c <= 0x202E) && !(c >= 0x2066 && c <= 0x2069);
}

} // namespace

std::size_t decode_utf8(std::string_view t, std::size_t i, std::uint32_t& out) {
  auto byte = [&](std::size_t k) -> std::uint32_t { return i + k < t.size() ? static_cast<unsigned char>(t[i + k]) : 0; };
  auto tail = [&](std::size_t k) { return (byte(k) & 0xC0) == 0x80; };
  if (i >= t.size())
    return 0;
  auto b = byte(0);
  if (b < 0x80) {
    out = b;
    return 1;
  }
  if (b >= 0xC2 && b < 0xE0 && tail(1)) {
    out = (b & 0x1F) << 6 | (byte(1) & 0x3F);
    return 2;
  }
  if (b >= 0xE0 && b < 0xF0 && tail(1) && tail(2)) {
    out = (b & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return out >= 0x800 && (out < 0xD800 || out > 0xDFFF) ? 3 : 0;
  }
  if (b >= 0xF0 && b < 0xF5 && tail(1) && tail(2) && tail(3)) {
    out = (b & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    return out >= 0x10000 && out <= 0x10FFFF ? 4 : 0;
  }
  return 0;
}

std::size_t whole_characters(std::string_view text, std::size_t limit) {
  if (text.size() <= limit)
    return text.size();
  auto n = limit;
  for (int back = 0; back < 4 && n > 0; ++back, --n)
    if (!continues_character(text[n]))
      return n;
  return n == 0 ? 0 : limit;
}

std::size_t next_character(std::string_view text, std::size_t at) {
  at = std::min(at, text.size());
  while (at < text.size() && continues_character(text[at]))
    ++at;
  return at;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(white_space) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text, std::string_view blanks) {
  auto a = text.find_first_not_of(blanks);
  return a == std::string_view::npos ? std::string_view{} : text.substr(a, text.find_last_not_of(blanks) - a + 1);
}

std::string_view trimmed_start_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF"))
    text.remove_prefix(3);
  return trimmed(text);
}

std::string lower(std::string text) {
  for (auto& c : text)
    c = lower(c);
  return text;
}

std::string for_terminal(const std::string& text) {
  constexpr const char* mark = "\xEF\xBF\xBD"; // U+FFFD
  std::string out;
  out.reserve(text.size());
  std::uint32_t before = 0;
  auto stray = false;
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t c = 0;
    auto n = decode_utf8(text, i, c);
    if (n == 0) {
      out += mark;
      ++i;
      before = 0;
      stray = false;
    } else if (!is_invisible(c)) {
      if (harmless(c)) {
        out.append(text, i, n);
        before = c;
        stray = false;
      }
      i += n;
    } else if (auto needed = needed_invisible(text, i, before); needed > 0) {
      out.append(text, i, needed);
      i += needed;
      before = needed == n ? c : 0xE007F;
    } else {
      if (!stray) // one for all that stand together: they may be thousands
        out += mark;
      stray = true;
      before = 0;
      i += n;
    }
  }
  return out;
}

std::string shown_text(const std::string& text, std::size_t limit) {
  auto out = text.size() <= limit ? text : text.substr(0, whole_characters(text, limit)) + "...";
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return out;
}

} // namespace conclave
