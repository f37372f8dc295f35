// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/config.hpp"

#include <algorithm>
#include <numeric>

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

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Edit distance with swaps of neighbours, letters compared without case.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  std::iota(d[0].begin(), d[0].end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    d[i][0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto same = lower(a[i - 1]) == lower(b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

/// Returns whether one text is in the other as whole words ("timeout" in "idle_timeout_seconds"), or is how the other begins. At
/// least four characters of a word must match: less is chance.
bool is_part(const std::string& a, const std::string& b) {
  auto fold = [](const std::string& text) {
    auto from = std::min(text.find_first_not_of('-'), text.size()); // --option
    std::string out;
    for (auto c : text.substr(from))
      out += c == '-' || c == '.' || c == ' ' ? '_' : lower(c);
    return out;
  };
  auto part = fold(a), whole = fold(b);
  if (part.size() > whole.size())
    std::swap(part, whole);
  if (part.size() < 4 || part.find_first_not_of('_') == std::string::npos)
    return false;
  return whole.starts_with(part) || ("_" + whole + "_").find("_" + part + "_") != std::string::npos;
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

std::string nearest(const std::string& name, const std::vector<std::string>& candidates) {
  if (name.size() > 64)
    return "";
  std::string best;
  auto limit = std::max<std::size_t>(1, std::min<std::size_t>(4, name.size() / 3)) + 1;
  for (const auto& candidate : candidates) {
    auto apart = std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size());
    auto d = apart >= limit ? limit : distance(name, candidate);
    if (d < limit) {
      limit = d;
      best = candidate;
    }
  }
  if (!best.empty())
    return best;
  // No typing error: then a name that was cut short or said too much; the one that differs least.
  auto least = std::string::npos;
  for (const auto& candidate : candidates) {
    auto apart = std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size());
    if (apart < least && is_part(name, candidate)) {
      least = apart;
      best = candidate;
    }
  }
  return best;
}

std::string shown_text(const std::string& text, std::size_t limit) {
  std::string result;
  for (auto c : text) {
    if (result.size() >= limit) {
      // Do not cut a UTF-8 sequence in two.
      while (!result.empty() && (static_cast<unsigned char>(result.back()) & 0xC0) == 0x80)
        result.pop_back();
      if (!result.empty() && static_cast<unsigned char>(result.back()) >= 0xC0)
        result.pop_back();
      return result + "...";
    }
    auto u = static_cast<unsigned char>(c);
    result += u < 0x20 || u == 0x7F ? '?' : c;
  }
  return result;
}

std::string to_string(const problem& p) {
  std::string result;
  if (!p.file.empty())
    result += shown_text(p.file, 1000) + (p.line > 0 ? ":" + std::to_string(p.line) : "") + ": ";
  if (!p.path.empty())
    result += shown_text(p.path, 200) + ": ";
  return result + p.text;
}

} // namespace conclave
