// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Words that look like secrets, and the forms in which a secret gives itself away.

#include "protocols/secret_words.hpp"

#include "protocols/secret_escapes.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secrets.hpp"
#include "protocols/text.hpp"
#include "protocols/tool_result.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

namespace conclave {

namespace secret_words {

namespace {

constexpr std::string_view between = " \t\n\v\f\r\"'`\\,;&(){}[]";

/// Calls `visit` with each word of `text` until that returns true; returns whether it did.
template <class F>
bool each_word(std::string_view text, F visit) {
  for (std::size_t i = 0; i < text.size();) {
    auto end = std::min(text.find_first_of(between, i), text.size());
    if (end > i && visit(text.substr(i, end - i)))
      return true;
    i = end + 1;
  }
  return false;
}

/// What tells base64 that begins with a slash from a path: names have words, whose letters are alike.
struct digit_mix {
  enum kind : int { none, small, large, digit, other };
  bool base64 = true;
  int seen[5] = {}; ///< by kind
  std::size_t size = 0, pairs = 0, changes = 0, humps = 0;
  kind last = none;

  void add(char c) {
    auto now = c >= 'a' && c <= 'z' ? small : c >= 'A' && c <= 'Z' ? large : c >= '0' && c <= '9' ? digit : other;
    base64 = base64 && (now != other || c == '+' || c == '=');
    pairs += last != none ? 1 : 0;
    changes += last != none && last != now && !(last == large && now == small) ? 1 : 0; // a word begins so
    humps += last == small && now == large ? 1 : 0;
    ++seen[now];
    ++size;
    last = now;
  }

  void add(const digit_mix& part) {
    base64 = base64 && part.base64;
    for (auto k : {small, large, digit, other})
      seen[k] += part.seen[k];
    size += part.size;
    pairs += part.pairs;
    changes += part.changes;
    humps += part.humps;
  }

  /// `often`: of so many neighbours two differ at least, as 43 of 100 do in base64. 0 = that is not asked.
  bool is_random(std::size_t often) const {
    constexpr std::size_t least = 16;
    return size >= least && base64 && seen[small] > 0 && seen[large] > 0 && seen[digit] > 0
           && (often == 0 || (humps > 0 && often * changes >= pairs));
  }
};

int hex(char c) {
  c = lower(c);
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void add_forms(const std::string& value, std::vector<std::string>& out, int depth) {
  constexpr std::size_t most = 64;
  constexpr int deepest = 3;
  if (value.empty() || out.size() >= most || depth > deepest || std::find(out.begin(), out.end(), value) != out.end())
    return;
  out.push_back(value);
  if (auto meant = percent_decoded(value); meant != value)
    add_forms(meant, out, depth + 1);
  if (auto scheme = scheme_length(value); scheme > 0)
    add_forms(value.substr(scheme), out, depth + 1);
  if (value.size() <= 4096 && is_base64(value)) { // what `Basic` sends, and the "auth" of registries
    auto meant = decode_base64(value);
    auto colon = meant.find(':');
    auto text = std::all_of(meant.begin(), meant.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
    if (text && colon != std::string::npos && depth < deepest) {
      out.push_back(meant);
      out.push_back(meant.substr(colon + 1));
      if (colon + 1 == meant.size() || is_key_like(meant.substr(0, colon))) // `KEY:` as well as `user:KEY`
        out.push_back(meant.substr(0, colon));
    }
  }
  for (const auto& s : find_secrets({}, value)) {
    auto text = value.substr(s.begin, s.end - s.begin);
    add_forms(s.quoted ? json_value(text) : text, out, depth + 1);
  }
  if (value.find("://") == std::string::npos && value.find_first_of("{[") != 0)
    each_word(value, [&](std::string_view word) {
      auto equals = std::min(word.find('=') + 1, word.size());
      for (auto from : {std::size_t{0}, word.substr(equals).find_first_not_of('=') == std::string_view::npos ? 0 : equals})
        if (is_key_like(word.substr(from)) && std::find(out.begin(), out.end(), word.substr(from)) == out.end())
          out.emplace_back(word.substr(from));
      return out.size() >= most;
    });
}

} // namespace

bool one_word(std::string_view text) {
  return !text.empty() && text.find_first_of(white_space) == std::string_view::npos;
}

bool is_key_like(std::string_view word) {
  auto any = [&](auto test) { return std::any_of(word.begin(), word.end(), test); };
  auto digit = any([](char c) { return c >= '0' && c <= '9'; });
  auto small = any([](char c) { return c >= 'a' && c <= 'z'; });
  auto large = any([](char c) { return c >= 'A' && c <= 'Z'; });
  return one_word(word) && ((word.size() >= 8 && digit && (small || large)) || (word.size() >= 16 && small && large));
}

bool is_path(std::string_view value) {
  if (!value.starts_with('/') && !value.starts_with("~/"))
    return false;
  digit_mix whole;
  for (std::size_t i = 0; i < value.size();) {
    auto text = value.substr(i, value.find('/', i) - i);
    digit_mix part;
    for (auto c : text)
      part.add(c);
    if (part.is_random(0)) // as the name of a folder seldom is
      return false;
    whole.add(part);
    i += text.size() + 1;
  }
  return !whole.is_random(3);
}

namespace {

bool has_key_shape(std::string_view word) {
  constexpr std::size_t least = 16, least_hex = 32;
  auto of_keys = [](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9')
           || std::string_view{"-_.~+/"}.find(c) != std::string_view::npos;
  };
  if (word.size() < least || is_path(word) || !std::all_of(word.begin(), word.end(), of_keys))
    return false;
  std::string digits;
  std::copy_if(word.begin(), word.end(), std::back_inserter(digits), [](char c) { return c != '-'; });
  auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  auto mixed = std::any_of(digits.begin(), digits.end(), is_digit) && !std::all_of(digits.begin(), digits.end(), is_digit);
  if (mixed && digits.size() >= least_hex && std::all_of(digits.begin(), digits.end(), [](char c) { return hex(c) >= 0; }))
    return true;
  for (std::size_t i = 0; i < word.size();) {
    auto end = std::min(word.find_first_of("-_.~", i), word.size());
    digit_mix part;
    for (auto c : word.substr(i, end - i))
      part.add(c);
    if (part.size >= least && part.seen[digit_mix::digit] > 0 && part.seen[digit_mix::small] + part.seen[digit_mix::large] > 0
        && 5 * part.changes >= part.pairs)
      return true;
    i = end + 1;
  }
  return false;
}

} // namespace

std::vector<std::string> keys_by_shape(std::string_view text) {
  std::vector<std::string> out;
  constexpr std::string_view ends = " \t\n\v\f\r\"'`\\,;&(){}[]<>|:=?#@%";
  for (std::size_t i = 0; i < text.size();) {
    auto end = std::min(text.find_first_of(ends, i), text.size());
    if (has_key_shape(text.substr(i, end - i)))
      out.emplace_back(text.substr(i, end - i));
    i = end + 1;
  }
  return out;
}

bool any_key_like(std::string_view text) {
  return each_word(text, is_key_like);
}

bool is_named(const std::string& name, std::string_view value) {
  return names_a_secret(name) && may_be_secret(name, std::string{value});
}

bool is_header_place(const std::string& name) {
  return lower(name).find("header") != std::string::npos;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  return out;
}

} // namespace secret_words

std::string_view key_start(std::string_view word) {
  constexpr std::size_t least = 8;
  static constexpr std::string_view starts[] = {"sk-",  "sk_",  "gsk_",        "xai-",     "AIza",  "hf_",   "ghp_",
                                                "gho_", "ghs_", "github_pat_", "glpat-",   "xoxb-", "xoxp-", "eyJ",
                                                "AKIA", "ntn_", "pplx-",       "lin_api_", "npm_",  "r8_"};
  for (auto start : starts)
    if (word.size() >= least && word.starts_with(start))
      return start;
  return {};
}

std::vector<std::string> secret_forms(const std::string& value) {
  std::vector<std::string> out;
  secret_words::add_forms(value, out, 0);
  return out;
}

} // namespace conclave
