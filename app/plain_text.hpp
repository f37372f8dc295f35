// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Small pure helpers for text people read: widths, cutting, numbers, times. All of them take text of any bytes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace conclave {

/// Returns the terminal columns a text takes: wide characters and emoji 2, combining marks 0, broken bytes 1 each. No line breaks.
std::size_t columns(std::string_view text);

/// Returns the length in bytes of the longest prefix of whole characters within `width` columns (at least one character).
std::size_t prefix_within(std::string_view text, std::size_t width);

/// Returns `text` on one line, safe for a terminal, white space folded, cut to `width` columns with "..." (0 = uncut).
std::string one_line(const std::string& text, std::size_t width = 0);

/// Returns `text` on one line like `one_line`; what is longer than `width` columns is cut in the middle with " ... ": the end of an
/// error names the remedy.
std::string shortened(const std::string& text, std::size_t width);

/// Breaks a line at its blanks so that no line is wider than `width` columns; a word that is wider is broken. `used` columns of the
/// first line are taken already; further lines begin with `indent` blanks (half of the width at most). Width 0: as it is.
std::string wrapped(std::string_view text, std::size_t width, std::size_t used = 0, std::size_t indent = 0);

/// Breaks the lines of a whole text like `wrapped`. Items of lists hang; code blocks, indented code and tables stay as they are.
std::string wrapped_text(const std::string& text, std::size_t width);

/// Returns the number of characters (code points) of a text.
std::size_t characters(std::string_view text);

std::string with_commas(std::int64_t n);               ///< 1,234,567
std::string seconds(std::int64_t ms);                  ///< "12.3s", "4m05s", "2h03m"
std::string utc(std::int64_t ms);                      ///< "2026-11-24 08:16:38 UTC"
std::string iso8601(std::int64_t ms);                  ///< "2026-11-24T08:16:38.120Z"
std::string count_of(std::size_t n, const char* noun); ///< "1 vote", "2 votes"

} // namespace conclave
