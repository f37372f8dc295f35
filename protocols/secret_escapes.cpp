// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_escapes.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace conclave {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

/// Returns the value of the digits in [i, end), at most eight, or -1.
std::int64_t number_at(std::string_view t, std::size_t i, std::size_t end, int base) {
  if (end > t.size() || i >= end || end - i > 8)
    return -1;
  std::int64_t out = 0;
  for (; i < end; ++i) {
    auto digit = hex_digits.substr(0, static_cast<std::size_t>(base)).find(lower(t[i]));
    if (digit == std::string_view::npos)
      return -1;
    out = out * base + static_cast<std::int64_t>(digit);
  }
  return out;
}

/// As UTF-8. Halves of a pair stay apart: keys are ASCII.
bool put_character(std::int64_t code, std::string& out) {
  auto byte = [&](std::int64_t b) { out += static_cast<char>(b); };
  auto rest = [&](int shift) { byte(0x80 | (code >> shift & 0x3F)); };
  out.clear();
  if (code < 0 || code > 0x10FFFF)
    return false;
  if (code < 0x80)
    byte(code);
  else if (code < 0x800)
    byte(0xC0 | code >> 6);
  else if (code < 0x10000)
    byte(0xE0 | code >> 12);
  else
    byte(0xF0 | code >> 18);
  for (auto shift = code < 0x80 ? -6 : code < 0x800 ? 0 : code < 0x10000 ? 6 : 12; shift >= 0; shift -= 6)
    rest(shift);
  return true;
}

// Each decodes one escape at `i` into `out` and returns its length, 0 if there is none.

/// JSON's, and those of the languages beside it: Markdown, shells and regular expressions put a backslash before any punctuation.
std::size_t backslash_escape(std::string_view t, std::size_t i, std::string& out) {
  static constexpr std::string_view names = "bfnrt", meant = "\b\f\n\r\t", itself = R"(!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~)";
  if (i + 1 == t.size())
    return 0;
  if (auto at = names.find(t[i + 1]); at != std::string_view::npos) {
    out = meant[at];
    return 2;
  }
  if (itself.find(t[i + 1]) != std::string_view::npos) {
    out = t[i + 1];
    return 2;
  }
  if (auto byte = number_at(t, i + 1, i + 4, 8); byte >= 0 && byte < 256) { // C's
    out = static_cast<char>(byte);
    return 4;
  }
  auto digits = t[i + 1] == 'u' ? 4u : t[i + 1] == 'x' ? 2u : 0u;
  return put_character(number_at(t, i + 2, i + 2 + digits, 16), out) ? 2 + digits : 0;
}

std::size_t percent_escape(std::string_view t, std::size_t i, std::string& out) {
  auto code = number_at(t, i + 1, i + 3, 16);
  out = static_cast<char>(code);
  return code < 0 ? 0 : 3;
}

/// The names of https://html.spec.whatwg.org/multipage/named-characters.html (read 2026-11-26) for what is ASCII.
std::size_t html_escape(std::string_view t, std::size_t i, std::string& out) {
  static constexpr std::pair<std::string_view, char> names[] = {
      {"amp", '&'},      {"lt", '<'},     {"gt", '>'},    {"quot", '"'},   {"apos", '\''},  {"sol", '/'},    {"plus", '+'},
      {"equals", '='},   {"colon", ':'},  {"semi", ';'},  {"comma", ','},  {"period", '.'}, {"commat", '@'}, {"num", '#'},
      {"percnt", '%'},   {"dollar", '$'}, {"excl", '!'},  {"quest", '?'},  {"ast", '*'},    {"lpar", '('},   {"rpar", ')'},
      {"lowbar", '_'},   {"hat", '^'},    {"grave", '`'}, {"bsol", '\\'},  {"lsqb", '['},   {"rsqb", ']'},   {"lbrack", '['},
      {"rbrack", ']'},   {"lcub", '{'},   {"rcub", '}'},  {"lbrace", '{'}, {"rbrace", '}'}, {"verbar", '|'}, {"vert", '|'},
      {"newline", '\n'}, {"tab", '\t'}};
  constexpr std::size_t longest = 12;
  auto end = t.substr(0, std::min(t.size(), i + longest)).find(';', i);
  if (end == std::string_view::npos)
    return 0;
  auto name = t.substr(i + 1, end - i - 1);
  if (name.starts_with('#')) {
    auto hex = lower(name.substr(1, 1).empty() ? ' ' : name[1]) == 'x';
    return put_character(number_at(t, i + (hex ? 3 : 2), end, hex ? 16 : 10), out) ? end + 1 - i : 0;
  }
  for (auto& [known, meant] : names)
    if (std::equal(name.begin(), name.end(), known.begin(), known.end(), [](char a, char b) { return lower(a) == b; })) {
      out = meant;
      return end + 1 - i;
    }
  return 0;
}

/// Base64 comes in lines of 64 or 76 digits: such a line goes on with the next one, which may be indented.
std::size_t line_break(std::string_view t, std::size_t i, std::string& out) {
  constexpr std::size_t shortest = 60, deepest = 64;
  std::size_t length = t[i] == '\r' && i + 1 < t.size() && t[i + 1] == '\n' ? 2 : 1;
  if (i < shortest || !is_base64_digit(t[i - 1]))
    return 0;
  while (i + length < t.size() && length < deepest && (t[i + length] == ' ' || t[i + length] == '\t'))
    ++length;
  if (i + length >= t.size() || !is_base64_digit(t[i + length]))
    return 0;
  out.clear();
  auto line = t.substr(i - shortest, shortest);
  return std::all_of(line.rbegin(), line.rend(), is_base64_digit) ? length : 0;
}

} // namespace

bool is_base64_digit(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '+' || c == '/' || c == '-' || c == '_';
}

std::string decoded_base64(std::string_view digits) {
  std::string out;
  out.reserve(digits.size() * 3 / 4);
  std::uint32_t bits = 0;
  int known = 0;
  for (auto c : digits) {
    auto value = c >= 'a'               ? c - 'a' + 26
                 : c >= 'A' && c <= 'Z' ? c - 'A'
                 : c >= '0' && c <= '9' ? c - '0' + 52
                 : c == '+' || c == '-' ? 62
                                        : 63;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    known += 6;
    if (known >= 8)
      out += static_cast<char>(bits >> (known -= 8) & 0xFF);
  }
  return out;
}

std::size_t unescape(std::string_view t, std::size_t i, std::string& out) {
  switch (t[i]) {
  case '\\':
    return backslash_escape(t, i, out);
  case '%':
    return percent_escape(t, i, out);
  case '&':
    return html_escape(t, i, out);
  case '\n':
  case '\r':
    return line_break(t, i, out);
  default:
    return 0;
  }
}

std::size_t unescape_printable(std::string_view t, std::size_t i, std::string& out) {
  out.clear();
  auto end = i + 1;
  while (end < t.size() && (t[end] == ' ' || t[end] == '\t')) // which a mail server may have put there
    ++end;
  if (t.substr(end).starts_with("\r\n"))
    return end + 2 - i;
  if (end < t.size() && t[end] == '\n')
    return end + 1 - i;
  auto code = number_at(t, i + 1, i + 3, 16);
  out = static_cast<char>(code);
  return code < 0 ? 0 : 3;
}

bool has_printable_escapes(std::string_view t) {
  auto needs_one = [](char c) {
    auto u = static_cast<unsigned char>(c);
    return u >= 0x20 && u != 0x7F && !(is_base64_digit(c) && std::string_view{"+/-_"}.find(c) == std::string_view::npos);
  };
  std::string meant;
  for (auto i = t.find('='); i < t.size(); i = t.find('=', i + 1))
    if (auto length = unescape_printable(t, i, meant);
        length > 0 && (meant.empty() || needs_one(meant[0]) || t.substr(i + length).starts_with('=')))
      return true;
  return false;
}

std::size_t next_escape(std::string_view t, std::size_t i) {
  static constexpr auto begins = [] {
    std::array<bool, 256> out{};
    for (unsigned char c : {'\\', '%', '&', '\n', '\r'})
      out[c] = true;
    return out;
  }();
  while (i < t.size() && !begins[static_cast<unsigned char>(t[i])])
    ++i;
  return i;
}

} // namespace conclave
