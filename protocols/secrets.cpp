// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secrets.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secret_words.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t least_key = 4, least_value = 8;

} // namespace

bool names_a_secret(const std::string& name) {
  std::string n = "_";
  for (auto c : name)
    n += (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ? lower(c) : '_';
  n += '_';
  // What only sounds like one.
  for (const std::string innocent : {"tokenizer", "author", "keyboard", "keyword", "keynote", "monkey", "desktop_session"})
    for (auto at = n.find(innocent); at != std::string::npos; at = n.find(innocent, at + 1))
      if (n.compare(at, 7, "authori") != 0) // authorization, authorisation
        n.replace(at, innocent.size(), innocent.size(), '.');
  for (const auto* part :
       {"key", "token", "secret", "passw", "passphrase", "pwd", "auth", "credential", "cookie", "signature", "bearer", "jwt",
        "creds", "passcode", "connection_string", "connectionstring",
        // whole words: Azure's shared access signatures, DB_PASS, GITHUB_PAT; not "design", "compass", "path"
        "_sig_", "_pass_", "_pat_", "_psk_", "_otp_", "_dsn_", "_cred_", "_pin_", "access_code", "session_id_", "sessionid_"})
    if (n.find(part) != std::string::npos)
      return true;
  return n.ends_with("_session_"); // not SESSION_TIMEOUT
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
  if (value.size() < least || std::find(values_.begin(), values_.end(), value) != values_.end())
    return;
  index_.add(value, values_.size());
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
  if (!secret_words::is_path(value))
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

void secrets::add_server_variable(const std::string& name, const std::string& value) {
  add_named(name, value);
  for (const auto& key : secret_words::keys_by_shape(value))
    add_key(key);
}

void secrets::add_query(const std::string& url) {
  auto i = url.find('?');
  while (i < url.size()) {
    auto end = std::min(url.find('&', ++i), url.size());
    auto equals = std::min(url.find('=', i), end);
    auto from = std::min(equals + 1, end);
    add_named(url.substr(i, equals - i), secret_words::percent_decoded(url.substr(from, end - from)));
    i = end;
  }
}

void secrets::add_for_results(const secrets& other) {
  for (auto& v : other.values_)
    if (!secret_words::is_path(v))
      add(v, least_value);
}

std::size_t secrets::longest() const {
  std::size_t most = 0;
  for (auto& v : values_)
    most = std::max(most, v.size() * secret_index::most_escaped);
  return most;
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
