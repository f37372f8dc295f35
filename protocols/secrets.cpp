// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secrets.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t least_key = 4, least_value = 8;

/// A text, maybe decoded, that knows where each of its bytes began in the original.
struct traced {
  std::string text;
  std::vector<std::size_t> at; ///< one more than `text` has bytes: the last is the end of the original
};

/// Returns the value of `digits` hexadecimal digits at `i`, or -1.
int hex_at(const std::string& t, std::size_t i, std::size_t digits) {
  if (i + digits > t.size())
    return -1;
  int out = 0;
  for (auto end = i + digits; i < end; ++i) {
    auto c = lower(t[i]);
    if (c >= '0' && c <= '9')
      out = out * 16 + (c - '0');
    else if (c >= 'a' && c <= 'f')
      out = out * 16 + (c - 'a' + 10);
    else
      return -1;
  }
  return out;
}

/// Decodes one escape at `i` into `out`; returns its length, 0 if there is none.
using unescape = std::size_t (*)(const std::string& t, std::size_t i, std::string& out);

std::size_t json_escape(const std::string& t, std::size_t i, std::string& out) {
  if (t[i] != '\\' || i + 1 == t.size())
    return 0;
  static constexpr std::pair<char, char> letters[] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                                                      {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
  for (auto [name, meant] : letters)
    if (t[i + 1] == name) {
      out = meant;
      return 2;
    }
  auto code = t[i + 1] == 'u' ? hex_at(t, i + 2, 4) : -1;
  if (code < 0)
    return 0;
  // As UTF-8. Halves of a pair stay apart: keys are ASCII.
  if (code < 0x80)
    out = {static_cast<char>(code)};
  else if (code < 0x800)
    out = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
  else
    out = {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
           static_cast<char>(0x80 | (code & 0x3F))};
  return 6;
}

std::size_t percent_escape(const std::string& t, std::size_t i, std::string& out) {
  auto code = t[i] == '%' ? hex_at(t, i + 1, 2) : -1;
  if (code < 0)
    return 0;
  out = {static_cast<char>(code)};
  return 3;
}

traced decode(const traced& from, unescape one) {
  traced to;
  to.text.reserve(from.text.size());
  to.at.reserve(from.at.size());
  std::string meant;
  for (std::size_t i = 0; i < from.text.size();) {
    auto length = one(from.text, i, meant);
    if (length == 0)
      meant = {from.text[i]};
    to.text += meant;
    to.at.insert(to.at.end(), meant.size(), from.at[i]);
    i += std::max<std::size_t>(length, 1);
  }
  to.at.push_back(from.at.back());
  return to;
}

void find(const traced& in, const std::vector<std::string>& values, std::vector<found_secret>& out) {
  for (std::size_t which = 0; which < values.size(); ++which) {
    auto& v = values[which];
    for (auto i = in.text.find(v); i != std::string::npos; i = in.text.find(v, i + 1)) {
      auto end = i + v.size();
      while (end < in.text.size() && in.at[end] == in.at[end - 1])
        ++end; // one escape may stand for several bytes
      out.push_back({in.at[i], in.at[end], which});
    }
  }
}

} // namespace

bool names_a_secret(const std::string& name) {
  std::string n = "_";
  for (auto c : name)
    n += (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ? lower(c) : '_';
  n += '_';
  // What only sounds like one.
  for (const std::string innocent : {"tokenizer", "author", "keyboard", "keyword", "keynote", "monkey"})
    for (auto at = n.find(innocent); at != std::string::npos; at = n.find(innocent, at + 1))
      if (n.compare(at, 7, "authori") != 0) // authorization, authorisation
        n.replace(at, innocent.size(), innocent.size(), '.');
  for (const auto* part : {"key", "token", "secret", "passw", "passphrase", "pwd", "auth", "credential", "cookie", "signature",
                           "bearer", "jwt", "creds", "passcode", "connection_string", "connectionstring",
                           // whole words: Azure's shared access signatures, DB_PASS, GITHUB_PAT; not "design", "compass", "path"
                           "_sig_", "_pass_", "_pat_", "_psk_", "_otp_", "_dsn_"})
    if (n.find(part) != std::string::npos)
      return true;
  return false;
}

bool find_url_password(const std::string& value, std::size_t& begin, std::size_t& end) {
  auto host = value.find("://");
  if (host == std::string::npos)
    return false;
  host += 3;
  end = value.substr(0, value.find_first_of("/?# ", host)).rfind('@');
  begin = value.find(':', host) + 1;
  return end != std::string::npos && begin != 0 && begin <= end;
}

std::string url_password(const std::string& value) {
  std::size_t begin = 0, end = 0;
  if (!find_url_password(value, begin, end))
    return "";
  auto out = value.substr(begin, end - begin);
  return out.starts_with("${") && out.ends_with('}') ? "" : out;
}

bool may_be_secret(const std::string& name, const std::string& value) {
  // TOKENIZERS_PARALLELISM=false, MAX_TOKENS=4096: settings that only sound like one.
  auto number = value.size() < least_value && value.find_first_not_of("0123456789.") == std::string::npos;
  return (names_a_secret(name) && !number && value != "true" && value != "false") || !url_password(value).empty();
}

void secrets::add(const std::string& value, std::size_t least) {
  if (value.size() >= least && std::find(values_.begin(), values_.end(), value) == values_.end())
    values_.push_back(value);
}

void secrets::add_key(const std::string& value) {
  auto same = [&](const char* word) {
    return std::equal(value.begin(), value.end(), word, word + std::char_traits<char>::length(word),
                      [](char a, char b) { return lower(a) == lower(b); });
  };
  if (same("none") || same("dummy")
      || std::any_of(backend_kinds().begin(), backend_kinds().end(), [&](auto& k) { return same(k.default_key); }))
    return;
  add(value, least_key);
}

void secrets::add_variable(const std::string& name, const std::string& value) {
  add_named(name, value);
  if (!value.starts_with('/'))
    add(value, least_value);
}

void secrets::add_named(const std::string& name, const std::string& value) {
  if (may_be_secret(name, value)) {
    add_key(value);
    if (auto space = value.find(' '); space != std::string::npos)
      add_key(value.substr(space + 1));
  }
  for (const auto& s : find_secrets({name}, value)) {
    auto text = value.substr(s.begin, s.end - s.begin);
    for (const auto& form : secret_forms(s.quoted ? json_value(text) : text))
      add_key(form);
  }
}

void secrets::add_query(const std::string& url) {
  auto i = url.find('?');
  while (i < url.size()) {
    auto end = std::min(url.find('&', ++i), url.size());
    auto equals = std::min(url.find('=', i), end);
    traced value{url.substr(std::min(equals + 1, end), end - std::min(equals + 1, end)), {}};
    value.at.resize(value.text.size() + 1);
    add_named(url.substr(i, equals - i), decode(value, percent_escape).text);
    i = end;
  }
}

void secrets::add_for_results(const secrets& other) {
  for (auto& v : other.values_)
    if (!v.starts_with('/') && !v.starts_with("~/"))
      add(v, least_value);
}

std::size_t secrets::longest() const {
  constexpr std::size_t escaped = 12; // "\\u0041" and longer
  std::size_t most = 0;
  for (auto& v : values_)
    most = std::max(most, v.size() * escaped);
  return most;
}

std::vector<found_secret> secrets::find_in(const std::string& text) const {
  std::vector<found_secret> found;
  if (values_.empty() || text.empty())
    return found;
  traced seen{text, std::vector<std::size_t>(text.size() + 1)};
  for (std::size_t i = 0; i < seen.at.size(); ++i)
    seen.at[i] = i;
  for (int depth = 0; depth < 3; ++depth) {
    find(seen, values_, found);
    if (seen.text.find('%') != std::string::npos)
      find(decode(seen, percent_escape), values_, found);
    if (seen.text.find('\\') == std::string::npos)
      break;
    seen = decode(seen, json_escape);
  }
  std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.begin != b.begin ? a.begin < b.begin : a.end > b.end; });
  std::size_t kept = 0;
  for (auto& f : found)
    if (kept > 0 && f.begin < found[kept - 1].end)
      found[kept - 1].end = std::max(found[kept - 1].end, f.end);
    else
      found[kept++] = f;
  found.resize(kept);
  return found;
}

void secrets::hide(std::string& text) const {
  auto found = find_in(text);
  if (found.empty())
    return;
  std::string out;
  std::size_t done = 0;
  for (auto& f : found) {
    out.append(text, done, f.begin - done).append("***");
    done = f.end;
  }
  text = out.append(text, done);
}

} // namespace conclave
