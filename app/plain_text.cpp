// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/plain_text.hpp"

#include "protocols/prompts.hpp"

#include <cstdio>
#include <ctime>

namespace conclave {

namespace {

struct glyph {
  std::size_t bytes = 1;
  std::size_t width = 1;
};

/// Wide ranges: Unicode 15 East Asian Width W and F, joined to the blocks they fill. Source: Unicode Standard Annex #11.
bool is_wide(std::uint32_t c) {
  return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0x303e) || (c >= 0x3041 && c <= 0xa4cf)
         || (c >= 0xa960 && c <= 0xa97c) || (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff)
         || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) || (c >= 0xffe0 && c <= 0xffe6)
         || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}

bool is_zero(std::uint32_t c) {
  return (c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe00 && c <= 0xfe0f)
         || c == 0xfeff;
}

glyph next(std::string_view s) {
  auto at = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  auto lead = at(0);
  std::size_t n = lead < 0x80                   ? 1
                  : lead >= 0xf0 && lead < 0xf8 ? 4
                  : lead >= 0xe0 && lead < 0xf0 ? 3
                  : lead >= 0xc2 && lead < 0xe0 ? 2
                                                : 0;
  if (n <= 1 || n > s.size())
    return {1, 1};
  auto c = static_cast<std::uint32_t>(lead & (0xff >> (n + 1)));
  for (std::size_t i = 1; i < n; ++i) {
    if ((at(i) & 0xc0) != 0x80)
      return {1, 1};
    c = (c << 6) | (at(i) & 0x3fu);
  }
  return {n, is_zero(c) ? 0u : is_wide(c) ? 2u : 1u};
}

} // namespace

std::size_t columns(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    auto g = next(text);
    width += g.width;
    text.remove_prefix(g.bytes);
  }
  return width;
}

std::size_t prefix_within(std::string_view text, std::size_t width) {
  std::size_t used = 0, bytes = 0;
  while (bytes < text.size()) {
    auto g = next(text.substr(bytes));
    if (bytes > 0 && used + g.width > width)
      break;
    used += g.width;
    bytes += g.bytes;
  }
  return bytes;
}

std::size_t whole_characters(std::string_view text, std::size_t limit) {
  if (text.size() <= limit)
    return text.size();
  auto n = limit;
  for (int back = 0; back < 4 && n > 0; ++back, --n)
    if ((static_cast<unsigned char>(text[n]) & 0xc0) != 0x80)
      return n;
  return limit;
}

std::string one_line(const std::string& text, std::size_t width) {
  // Text beyond four bytes a column cannot be shown; do not clean megabytes for one line.
  bool cut = width > 0 && text.size() > 8 * width;
  auto safe = prompts::for_terminal(cut ? text.substr(0, whole_characters(text, 8 * width)) : text);
  std::string out;
  for (char c : safe) {
    bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  if (width > 0 && (cut || columns(out) > width)) {
    if (columns(out) + 3 > width)
      out.resize(prefix_within(out, width > 3 ? width - 3 : 1));
    out += "...";
  }
  return out;
}

std::size_t characters(std::string_view text) {
  std::size_t n = 0;
  for (; !text.empty(); ++n)
    text.remove_prefix(next(text).bytes);
  return n;
}

std::string with_commas(std::int64_t n) {
  auto digits = std::to_string(n);
  auto first = digits.front() == '-' ? 1u : 0u;
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > static_cast<std::ptrdiff_t>(first); i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

std::string seconds(std::int64_t ms) {
  ms = ms < 0 ? 0 : ms;
  char text[64];
  auto s = static_cast<long long>(ms / 1000);
  if (s < 100)
    std::snprintf(text, sizeof text, "%lld.%llds", s, static_cast<long long>(ms % 1000 / 100));
  else if (s < 3600)
    std::snprintf(text, sizeof text, "%lldm%02llds", s / 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%lldh%02lldm", s / 3600, s % 3600 / 60);
  return text;
}

namespace {

std::string format_utc(std::int64_t ms, const char* format) {
  auto t = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  char text[64];
  if (ms < 0 || !gmtime_r(&t, &parts) || std::strftime(text, sizeof text, format, &parts) == 0)
    return "-";
  return text;
}

} // namespace

std::string utc(std::int64_t ms) {
  return format_utc(ms, "%Y-%m-%d %H:%M:%S UTC");
}

std::string iso8601(std::int64_t ms) {
  auto text = format_utc(ms, "%Y-%m-%dT%H:%M:%S");
  if (text == "-")
    return text;
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(ms % 1000));
  return text + fraction;
}

std::string count_of(std::size_t n, const char* noun) {
  return with_commas(static_cast<std::int64_t>(n)) + " " + noun + (n == 1 ? "" : "s");
}

} // namespace conclave
