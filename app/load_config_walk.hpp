// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Looks around in a text that may be no YAML: blanks, line ends, keys. Only app/load_config_explain.cpp includes this.

#include "app/load_config_parts.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace conclave::loader {

inline constexpr auto npos = syntax_fault::nowhere;

/// Spaces of other kinds, and U+FEFF. Source: the Unicode charts U0080, U2000, U3000 and UFE70 (https://www.unicode.org/charts/).
inline constexpr std::array<std::string_view, 8> odd_blanks = {"\xC2\xA0",     "\xE3\x80\x80", "\xE2\x80\x8B", "\xE2\x80\x83",
                                                               "\xE2\x80\x82", "\xE2\x80\xAF", "\xE2\x80\x89", "\xEF\xBB\xBF"};

inline constexpr std::array<std::string_view, 7> fine_quotes = {"\xE2\x80\x9C", "\xE2\x80\x9D", "\xE2\x80\x9E", "\xE2\x80\x98",
                                                                "\xE2\x80\x99", "\xC2\xAB",     "\xC2\xBB"};

/// A text and what stands where in it. Every place may be behind the end: nothing stands there.
class text_walk {
protected:
  explicit text_walk(const std::string& text) : t_(text) {}

  char at(std::size_t k) const { return k < t_.size() ? t_[k] : '\0'; }
  bool is(std::size_t k, std::string_view what) const { return t_.compare(k, what.size(), what) == 0; }
  bool starts_any(std::size_t k, const auto& words) const {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return is(k, word); });
  }
  bool ends_line(std::size_t k) const { return k >= t_.size() || t_[k] == '\n' || t_[k] == '\r'; }
  bool is_blank(std::size_t k) const { return at(k) == ' ' || at(k) == '\t'; }
  bool ends_word(std::size_t k) const { return ends_line(k) || is_blank(k); }
  std::size_t skip_blanks(std::size_t k) const {
    while (is_blank(k))
      ++k;
    return k;
  }
  std::size_t end_of_line(std::size_t k) const { return std::min(t_.find('\n', k), t_.size()); }
  std::size_t next_line(std::size_t k) const { return std::min(end_of_line(k) + 1, t_.size()); }
  std::size_t column(std::size_t k) const { return k - (k == 0 ? 0 : t_.rfind('\n', k - 1) + 1); }
  std::size_t indent_at(std::size_t k) const { return t_.find_first_not_of(' ', k) == npos ? 0 : t_.find_first_not_of(' ', k) - k; }
  bool is_comment(std::size_t k) const { return at(k) == '#' && (k == 0 || is_blank(k - 1) || at(k - 1) == '\n'); }

  /// Returns where the ':' of "key: ..." stands in this line, or npos. Quotes and comments are left out.
  std::size_t key_colon(std::size_t k) const;

  /// Returns whether [from, to) holds letters, digits and '_' alone.
  bool is_word(std::size_t from, std::size_t to) const;

  /// Returns whether a line in the middle of something else looks as if it began an entry of its own.
  bool looks_like_entry(std::size_t k) const;

  /// Judges what a backslash inside "..." begins; empty if it means something.
  std::string bad_escape(std::size_t k) const;

  /// Returns the number of the line that holds this place; the first is 1.
  int line_of(std::size_t k) const;

  const std::string& t_;
};

} // namespace conclave::loader
