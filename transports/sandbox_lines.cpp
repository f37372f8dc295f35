// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_lines.hpp"

#include <charconv>

namespace conclave {

namespace {

void escape(std::string_view value, std::string& out) {
  for (auto c : value)
    switch (c) {
    case ' ':
      out += "\\s";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\0':
      out += "\\0";
      break;
    case '\\':
      out += "\\\\";
      break;
    default:
      out += c;
    }
}

bool unescape(std::string_view value, std::string& out) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < value.size(); ++i, ++size)
    i += value[i] == '\\' ? 1 : 0;
  out.reserve(size);
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\\') {
      out += value[i];
      continue;
    }
    if (++i == value.size())
      return false;
    switch (value[i]) {
    case 's':
      out += ' ';
      break;
    case 'n':
      out += '\n';
      break;
    case '0':
      out += '\0';
      break;
    case '\\':
      out += '\\';
      break;
    default:
      return false;
    }
  }
  return true;
}

} // namespace

const std::string& sandbox_line::get(std::string_view name) const {
  static const std::string none;
  for (const auto& [n, v] : fields)
    if (n == name)
      return v;
  return none;
}

std::string sandbox_line::take(std::string_view name) {
  for (auto& [n, v] : fields)
    if (n == name)
      return std::exchange(v, {});
  return {};
}

std::int64_t sandbox_line::number(std::string_view name, std::int64_t otherwise) const {
  const auto& v = get(name);
  std::int64_t n = 0;
  auto [end, e] = std::from_chars(v.data(), v.data() + v.size(), n);
  return e == std::errc{} && !v.empty() && end == v.data() + v.size() ? n : otherwise;
}

std::vector<std::string> sandbox_line::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [n, v] : fields)
    if (n == name)
      out.push_back(v);
  return out;
}

std::string sandbox_line::text() const {
  auto out = word;
  for (const auto& [n, v] : fields) {
    out += ' ';
    out += n;
    out += '=';
    escape(v, out);
  }
  out += '\n';
  return out;
}

bool sandbox_line::read(std::string_view text, sandbox_line& out) {
  out = {};
  auto blank = text.find(' ');
  out.word = text.substr(0, blank);
  while (blank != std::string_view::npos) {
    text.remove_prefix(blank + 1);
    blank = text.find(' ');
    auto field = text.substr(0, blank);
    auto eq = field.find('=');
    if (eq == std::string_view::npos || eq == 0)
      return false;
    std::string value;
    if (!unescape(field.substr(eq + 1), value))
      return false;
    out.add(std::string(field.substr(0, eq)), std::move(value));
  }
  return !out.word.empty();
}

} // namespace conclave
