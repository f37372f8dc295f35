// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/invisible.hpp"
#include "protocols/prompts.hpp"

namespace conclave::prompts {

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

} // namespace conclave::prompts
