// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_text.hpp"

#include "protocols/invisible.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>

namespace conclave::path_policy {

namespace {

constexpr std::size_t max_bytes = 4096, max_components = 256;

/// Whether it turns the direction of writing, or ends a line without being a control character.
bool misleads(std::uint32_t c) {
  return c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// "~", "~name/...", "file:...", "scheme://...": never meant as a name in the workspace.
bool names_elsewhere(std::string_view path) {
  if (path.front() == '~' || lower(std::string(path.substr(0, 5))) == "file:")
    return true;
  auto colon = path.find("://");
  auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.'; };
  return colon != std::string_view::npos && colon > 0
         && std::all_of(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(colon), plain);
}

bool is_utf8(std::string_view text) {
  std::uint32_t c = 0;
  for (std::size_t i = 0; i < text.size();) {
    auto n = decode_utf8(text, i, c);
    if (n == 0)
      return false;
    i += n;
  }
  return true;
}

std::string escape(std::uint32_t c) {
  static const char* digits = "0123456789abcdef";
  std::string hex;
  for (; c != 0 || hex.empty(); c >>= 4)
    hex.insert(hex.begin(), digits[c & 15]);
  return "\\u{" + hex + "}";
}

std::string shown_character(std::string_view text, std::size_t& at) {
  std::uint32_t c = 0;
  auto n = decode_utf8(text, at, c);
  if (n == 0) {
    c = static_cast<unsigned char>(text[at++]);
    return std::string("\\x") + "0123456789abcdef"[c >> 4] + "0123456789abcdef"[c & 15];
  }
  at += n;
  if (c == '\n')
    return "\\n";
  if (c == '\t')
    return "\\t";
  if (c == '\\')
    return "\\\\";
  auto at_end = c == ' ' && at == text.size();
  if (at_end || c < 0x20 || (c >= 0x7F && c < 0xA0) || misleads(c) || is_invisible(c) || is_other_blank(c))
    return escape(c);
  return std::string(text.substr(at - n, n));
}

verdict bad(std::string rule, const std::string& why) {
  return {denial::args, SIZE_MAX, std::move(rule), why + " Give a path in your workspace, or one of the folders you were given."};
}

} // namespace

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0; at < path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    if (end > at)
      out.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

bool is_canonical(std::string_view path) {
  if (path == "/")
    return true;
  if (path.empty() || path.front() != '/' || path.back() == '/' || path.find("//") != std::string_view::npos)
    return false;
  auto all = components(path);
  return std::none_of(all.begin(), all.end(), [](std::string_view c) { return c == "." || c == ".."; });
}

bool is_within(std::string_view path, std::string_view folder) {
  return folder == "/" || path == folder || (path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/');
}

std::string_view below(std::string_view path, std::string_view folder) {
  path.remove_prefix(std::min(folder.size(), path.size()));
  if (path.starts_with('/'))
    path.remove_prefix(1);
  return path;
}

std::string_view parent_of(std::string_view path) {
  auto slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? std::string_view("/") : path.substr(0, slash);
}

verdict absolute(const std::string& workspace, std::string_view argument, std::string& out) {
  out.clear();
  if (argument.empty())
    return bad("empty path", "The path is empty.");
  if (argument.find('\0') != std::string_view::npos)
    return bad("NUL in a path", "The path holds a NUL character.");
  if (argument.size() > max_bytes)
    return bad("long path", "The path is longer than 4096 bytes.");
  if (!is_utf8(argument))
    return bad("not UTF-8", "The path is no valid UTF-8.");
  auto given = components(argument);
  if (given.size() > max_components)
    return bad("deep path", "The path has more than 256 components.");
  if (names_elsewhere(argument)) { // no canonical path: outside of every root
    out = argument;
    return {};
  }
  auto parts = argument.front() == '/' ? std::vector<std::string_view>() : components(workspace);
  for (auto c : given) {
    if (c == ".." && !parts.empty())
      parts.pop_back();
    else if (c != "." && c != "..")
      parts.push_back(c);
  }
  for (auto c : parts)
    (out += '/') += c;
  if (out.empty())
    out = "/";
  if (out.size() > max_bytes) {
    out.clear();
    return bad("long path", "The path is longer than 4096 bytes.");
  }
  return {};
}

std::string shown(std::string_view path, std::size_t most) {
  std::string out;
  std::size_t length = 0, room = 0; // characters; bytes of what fits with the mark behind it
  for (std::size_t at = 0; at < path.size();) {
    auto piece = shown_character(path, at);
    auto n = static_cast<std::size_t>(std::count_if(piece.begin(), piece.end(), [](char c) { return !continues_character(c); }));
    if (length + n > most)
      return out.substr(0, room) + "...";
    length += n;
    out += piece;
    if (length + 3 <= most)
      room = out.size();
  }
  return out;
}

} // namespace conclave::path_policy
