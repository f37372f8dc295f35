// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/prompts.hpp"

namespace conclave::prompts {

namespace {

/// Decodes one UTF-8 character at `i`. Returns its length, 0 if the bytes are not valid UTF-8 (overlong and surrogates included).
std::size_t decode(const std::string& t, std::size_t i, std::uint32_t& out) {
  auto byte = [&](std::size_t k) -> std::uint32_t { return i + k < t.size() ? static_cast<unsigned char>(t[i + k]) : 0; };
  auto tail = [&](std::size_t k) { return (byte(k) & 0xC0) == 0x80; };
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

bool harmless(std::uint32_t c) {
  if (c == '\n' || c == '\t')
    return true;
  if (c < 0x20 || (c >= 0x7F && c < 0xA0))
    return false; // C0 with ESC, DEL, C1
  // Bidirectional controls. Source: https://www.unicode.org/reports/tr9/, table 1 and 2.
  return c != 0x061C && c != 0x200E && c != 0x200F && !(c >= 0x202A && c <= 0x202E) && !(c >= 0x2066 && c <= 0x2069);
}

} // namespace

std::string for_terminal(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t c = 0;
    auto n = decode(text, i, c);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
      continue;
    }
    if (harmless(c))
      out.append(text, i, n);
    i += n;
  }
  return out;
}

} // namespace conclave::prompts
