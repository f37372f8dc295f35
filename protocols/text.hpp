// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What is done to text everywhere: characters and where to cut between them, blanks, case, and a form for terminals, messages and
/// JSON. Lengths and places are bytes of UTF-8. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace conclave {

/// The blanks of ASCII.
inline constexpr std::string_view white_space = " \t\n\v\f\r";
/// Those within a line.
inline constexpr std::string_view line_space = " \t\r";

/// Decodes one UTF-8 character at `i`. Returns its length, 0 if the bytes are not valid UTF-8 (overlong and surrogates included).
std::size_t decode_utf8(std::string_view text, std::size_t i, std::uint32_t& out);

/// Returns whether a byte is within a character, not its first.
constexpr bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// Returns how many of the first `limit` bytes can be kept without cutting a character in two. Where there is no character (four
/// such bytes in a row are none) all of them.
std::size_t whole_characters(std::string_view text, std::size_t limit);

/// Returns where the first character at or behind `at` begins, the length of the text if there is none.
std::size_t next_character(std::string_view text, std::size_t at);

/// Returns whether there is nothing but white space.
bool is_blank(std::string_view text);

/// Returns the text without blanks at its ends.
std::string_view trimmed(std::string_view text, std::string_view blanks = white_space);

/// As above, and without a byte order mark in front.
std::string_view trimmed_start_mark(std::string_view text);

/// Letters of ASCII alone: names, hosts, words of servers. Whatever the locale is.
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower(std::string text);

/// Removes from text what must not reach a terminal: ESC, C0 (but LF, TAB), DEL, C1, bidirectional controls. Invalid UTF-8, and
/// invisible characters where nothing needs them (protocols/invisible.hpp), become U+FFFD.
std::string for_terminal(const std::string& text);

/// Returns `text` for a message: control characters as `?`, cut to `limit` bytes with a mark.
std::string shown_text(const std::string& text, std::size_t limit = 60);

} // namespace conclave
