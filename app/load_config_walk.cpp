// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/load_config_walk.hpp"

#include <cctype>

namespace conclave::loader {

std::size_t text_walk::key_colon(std::size_t k) const {
  if (at(k) == '"' || at(k) == '\'') {
    auto close = t_.find(at(k), k + 1);
    auto after = close == npos || close > end_of_line(k) ? npos : skip_blanks(close + 1);
    return after != npos && at(after) == ':' && ends_word(after + 1) ? after : npos;
  }
  for (; !ends_line(k) && !is_comment(k); ++k)
    if (at(k) == ':' && ends_word(k + 1))
      return k;
  return npos;
}

bool text_walk::is_word(std::size_t from, std::size_t to) const {
  return std::all_of(t_.begin() + static_cast<std::ptrdiff_t>(from), t_.begin() + static_cast<std::ptrdiff_t>(to),
                     [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

bool text_walk::looks_like_entry(std::size_t k) const {
  k = skip_blanks(k);
  if (at(k) == '-' && at(k + 1) == ' ')
    return true;
  auto colon = key_colon(k);
  return colon != npos
         && std::all_of(t_.begin() + static_cast<std::ptrdiff_t>(k), t_.begin() + static_cast<std::ptrdiff_t>(colon),
                        [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '"' || c == '\''; });
}

std::string text_walk::bad_escape(std::size_t k) const {
  auto c = at(k + 1);
  auto digits = c == 'x' ? 2u : c == 'u' ? 4u : c == 'U' ? 8u : 0u;
  bool good = std::string_view{"0abtnvfre \"/\\N_LP\t\n\r"}.find(c) != npos || digits > 0;
  for (std::size_t d = 0; good && d < digits; ++d)
    good = std::isxdigit(static_cast<unsigned char>(at(k + 2 + d))) != 0;
  return good ? "" : std::string{"'\\"} + c + "' means nothing inside \"...\": write '...' instead, or \\\\ for each backslash";
}

int text_walk::line_of(std::size_t k) const {
  return 1 + static_cast<int>(std::count(t_.begin(), t_.begin() + static_cast<std::ptrdiff_t>(k), '\n'));
}

bool holds_odd_blank(std::string_view text) {
  return std::any_of(odd_blanks.begin(), odd_blanks.end(), [&](std::string_view blank) { return text.find(blank) != npos; });
}

bool has_typographic_quotes(std::string_view text) {
  auto any = [&](auto test) { return std::any_of(fine_quotes.begin(), fine_quotes.end(), test); };
  return any([&](std::string_view q) { return text.starts_with(q); }) && any([&](std::string_view q) { return text.ends_with(q); });
}

} // namespace conclave::loader
