// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/config_expand.hpp"

#include "protocols/text.hpp"

#include <algorithm>

namespace conclave {

namespace {

/// Returns the length of a reference `${NAME}` or `${NAME:-default}` at `at`, or 0. NAME = upper-case letters, digits, `_`: other
/// texts in braces are none of ours and stay as they are. `last` is the last '}' of the text: nothing behind it is searched.
std::size_t reference_at(const std::string& text, std::size_t at, std::size_t last, std::string& name, bool& has_default,
                         std::string& fallback) {
  if (last == std::string::npos || at >= last || text.compare(at, 2, "${") != 0)
    return 0;
  auto good = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  auto end = at + 2;
  while (good(text[end]))
    ++end;
  name = text.substr(at + 2, end - at - 2);
  if (name.empty() || (name[0] >= '0' && name[0] <= '9'))
    return 0;
  has_default = text.compare(end, 2, ":-") == 0 && end + 2 <= last;
  fallback.clear();
  if (has_default) {
    auto from = end + 2;
    end = text.find('}', from);
    fallback = text.substr(from, end - from);
  }
  return text[end] == '}' ? end + 1 - at : 0;
}

} // namespace

bool expand(std::string& text, const lookup& env, std::string& missing) {
  std::string result;
  auto last = text.rfind('}');
  for (std::size_t i = 0; i < text.size();) {
    std::string name, fallback;
    bool has_default = false;
    if (text.compare(i, 3, "$${") == 0) {
      result += "${";
      i += 3;
      continue;
    }
    auto length = reference_at(text, i, last, name, has_default, fallback);
    if (length == 0) {
      result += text[i++];
      continue;
    }
    const auto* value = env ? env(name) : nullptr;
    if (value && !is_blank(*value)) {
      result += *value;
    } else if (has_default) {
      result += fallback;
    } else {
      missing = name;
      return false;
    }
    i += length;
  }
  text = std::move(result);
  return true;
}

std::string with_cwd(const std::string& text, const std::string& path) {
  static constexpr std::string_view reference = "${cwd}";
  std::string literal;
  for (std::size_t i = 0; i < path.size(); ++i)
    literal += path.compare(i, 2, "${") == 0 ? "$$" : std::string(1, path[i]);
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text.compare(i, 3, "$${") == 0) {
      out += "$${";
      i += 3;
    } else if (text.compare(i, reference.size(), reference) == 0) {
      out += literal;
      i += reference.size();
    } else {
      out += text[i++];
    }
  }
  return out;
}

std::vector<std::string> references_in(const std::string& text) {
  std::vector<std::string> out;
  auto last = text.rfind('}');
  for (std::size_t i = 0; i < text.size();) {
    std::string name, fallback;
    bool has_default = false;
    auto escaped = text.compare(i, 3, "$${") == 0;
    auto length = escaped ? 3 : reference_at(text, i, last, name, has_default, fallback);
    if (length > 0 && !escaped)
      out.push_back(name);
    i += std::max<std::size_t>(length, 1);
  }
  return out;
}

bool is_literal_secret(const std::string& text) {
  auto last = text.rfind('}');
  for (std::size_t i = 0; i < text.size();) {
    std::string name, fallback;
    bool has_default = false;
    auto length = reference_at(text, i, last, name, has_default, fallback);
    if (length == 0 || !is_blank(fallback))
      return true; // also a default is a literal that stands in the file
    i += length;
  }
  return false;
}

} // namespace conclave
