// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Scalars by the core schema of YAML 1.2, and trees as JSON. Source: https://yaml.org/spec/1.2.2/ (2021-10-01), section 10.3.2.

#include "app/load_config_parts.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace conclave::loader {

namespace {

bool all_digits(const std::string& text, std::size_t from) {
  return from < text.size()
         && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::size_t after_sign(const std::string& text) {
  return !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
}

bool is_integer(const std::string& text) {
  return all_digits(text, after_sign(text));
}

/// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_float(const std::string& text) {
  auto i = after_sign(text);
  auto digits = [&] {
    auto start = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9')
      ++i;
    return i - start;
  };
  auto whole = digits();
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0 && whole == 0)
      return false;
  } else if (whole == 0) {
    return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+'))
      ++i;
    if (digits() == 0)
      return false;
  }
  return i == text.size();
}

/// 0x1F and 0o17, which JSON does not have.
bool to_based(const std::string& text, std::uint64_t& out) {
  auto base = text.starts_with("0x") ? 16 : text.starts_with("0o") ? 8 : 0;
  if (base == 0 || text.size() < 3)
    return false;
  auto [end, code] = std::from_chars(text.data() + 2, text.data() + text.size(), out, base);
  return code == std::errc{} && end == text.data() + text.size();
}

bool is_nonfinite(const std::string& text) {
  auto rest = text.substr(after_sign(text));
  return rest == ".inf" || rest == ".Inf" || rest == ".INF" || text == ".nan" || text == ".NaN" || text == ".NAN";
}

/// Drops a plus sign and leading zeros, which JSON refuses.
std::string json_integer(const std::string& text) {
  auto start = after_sign(text);
  auto digits = text.find_first_not_of('0', start);
  auto rest = digits == std::string::npos ? "0" : text.substr(digits);
  return (text[0] == '-' && rest != "0" ? "-" : "") + rest;
}

std::string plain_json(const std::string& text, std::string& error) {
  if (text == "true" || text == "True" || text == "TRUE")
    return "true";
  if (text == "false" || text == "False" || text == "FALSE")
    return "false";
  if (text.empty() || text == "null" || text == "Null" || text == "NULL" || text == "~")
    return "null";
  if (text.size() <= 40 && is_integer(text))
    return json_integer(text);
  std::uint64_t based = 0;
  if (to_based(text, based))
    return std::to_string(based);
  if (is_nonfinite(text)) {
    error = "'" + text + "' has no JSON form";
    return "null";
  }
  if (text.size() <= 400 && is_float(text)) {
    double value = 0;
    auto from = text.data() + (text[0] == '+' ? 1 : 0);
    auto [end, code] = std::from_chars(from, text.data() + text.size(), value);
    if (code != std::errc{} || !std::isfinite(value)) {
      error = "'" + shown_text(text) + "' is beyond the numbers JSON readers take";
      return "null";
    }
    char buffer[64];
    auto written = std::to_chars(buffer, buffer + sizeof(buffer), value);
    std::string result(buffer, written.ptr);
    // 5.0 stays a floating-point number.
    return result.find_first_of(".e") == std::string::npos ? result + ".0" : result;
  }
  return wire::quote(text);
}

void write(const tree& node, std::string& out, std::string& error) {
  switch (node.kind) {
  case tree::null:
    out += "null";
    break;
  case tree::scalar:
    out += node.quoted || node.expanded ? wire::quote(node.text) : plain_json(node.text, error);
    break;
  case tree::list:
  case tree::map: {
    bool is_map = node.kind == tree::map;
    out += is_map ? '{' : '[';
    bool first = true;
    for (const auto& e : node.items) {
      if (!first)
        out += ',';
      first = false;
      if (is_map)
        out += wire::quote(e.key) + ':';
      write(*e.value, out, error);
    }
    out += is_map ? '}' : ']';
    break;
  }
  }
}

} // namespace

std::string to_json(const tree& node, std::string& error) {
  std::string out;
  write(node, out, error);
  return out;
}

bool to_flag(const tree& node, bool& out) {
  if (node.kind != tree::scalar || node.quoted)
    return false;
  std::string t = node.text;
  for (auto& c : t)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  // yes, no, on, off: not YAML 1.2, but what files of other programs hold.
  if (t == "true" || t == "yes" || t == "on")
    out = true;
  else if (t == "false" || t == "no" || t == "off")
    out = false;
  else
    return false;
  return true;
}

bool to_integer(const tree& node, std::int64_t& out) {
  if (node.kind != tree::scalar || node.quoted)
    return false;
  std::uint64_t based = 0;
  if (to_based(node.text, based)) {
    out = static_cast<std::int64_t>(based);
    return out >= 0;
  }
  if (!is_integer(node.text))
    return false;
  auto from = node.text.data() + (node.text[0] == '+' ? 1 : 0);
  auto end = node.text.data() + node.text.size();
  auto [at, code] = std::from_chars(from, end, out);
  return code == std::errc{} && at == end;
}

bool to_number(const tree& node, double& out) {
  std::int64_t whole = 0;
  if (to_integer(node, whole)) {
    out = static_cast<double>(whole);
    return true;
  }
  if (node.kind != tree::scalar || node.quoted || node.text.size() > 400 || !is_float(node.text))
    return false;
  auto from = node.text.data() + (node.text[0] == '+' ? 1 : 0);
  auto end = node.text.data() + node.text.size();
  auto [at, code] = std::from_chars(from, end, out);
  return code == std::errc{} && at == end && std::isfinite(out);
}

} // namespace conclave::loader
