// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The escapes that a secret may have in a text: those of JSON, URLs and HTML, and the line ends of base64. Pure.

#include <cstddef>
#include <string>
#include <string_view>

namespace conclave {

/// Returns where, from `i` on, the next byte is that may begin an escape, or the end.
std::size_t next_escape(std::string_view text, std::size_t i);

/// Decodes the escape at `i`, if there is one, into `out`. Returns its length in bytes, or 0.
std::size_t unescape(std::string_view text, std::size_t i, std::string& out);

/// Decodes the escape of quoted-printable (RFC 2045, 6.7) at `i`, which is a '=': a byte, or the end of a line that goes on.
/// Returns its length in bytes, or 0.
std::size_t unescape_printable(std::string_view text, std::size_t i, std::string& out);

/// Returns whether a text may be quoted-printable: something has such an escape that needs one, no letter or digit alone ("a=12").
bool has_printable_escapes(std::string_view text);

/// Returns whether a character is one of base64, of either alphabet.
bool is_base64_digit(char c);

/// Returns what digits of base64, of either alphabet, say: whole bytes.
std::string decoded_base64(std::string_view digits);

} // namespace conclave
