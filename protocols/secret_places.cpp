// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_places.hpp"

#include "protocols/config_expand.hpp"
#include "protocols/opening.hpp"
#include "protocols/secrets.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

using spans = std::vector<secret_span>;

/// How long the scheme of authorization is that a header begins with, with its space; 0 if there is none.
std::size_t scheme_length(std::string_view value) {
  std::string scheme{value.substr(0, std::min<std::size_t>(value.find(' '), 10))};
  for (auto& c : scheme)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  auto known = scheme == "bearer" || scheme == "basic" || scheme == "token";
  return known && scheme.size() < value.size() ? scheme.size() + 1 : 0;
}

/// A mark stands for a secret whatever its name says: it took the place of a URL with a password, say.
bool is_secret(const std::string& name, const std::string& value) {
  return value == secret_mark || may_be_secret(name, value);
}

void add(spans& out, const std::string& name, std::string_view text, std::size_t begin, std::size_t end) {
  if (begin < end)
    out.push_back({name, begin, end, is_literal_secret(std::string{text.substr(begin, end - begin)})});
}

/// `name: value` as it is sent. `Bearer ${TOKEN}` holds no literal secret. `begin`: of the value within `text`.
void add_header(spans& out, const std::string& name, std::string_view text, std::size_t begin) {
  auto value = text.substr(begin);
  auto scheme = scheme_length(value);
  if (scheme > 0 || is_secret(name, std::string{value}))
    add(out, name, text, begin + scheme, text.size());
}

/// A setting whose name says that it is a secret, or a URL with a password, which alone is one then.
void add_setting(spans& out, const std::string& name, std::string_view text, std::size_t begin, std::size_t end) {
  std::string value{text.substr(begin, end - begin)};
  if (value == secret_mark || (names_a_secret(name) && may_be_secret(name, value)))
    return add(out, name, text, begin, end);
  std::size_t from = 0, to = 0;
  if (find_url_password(value, from, to))
    add(out, name, text, begin + from, begin + to);
}

/// The parameters of a URL, and its password.
void add_url(spans& out, std::string_view url) {
  add_setting(out, "", url, 0, url.size());
  auto host = url.find("://");
  for (auto at = url.find('?', host == std::string_view::npos ? 0 : host); at < url.size();) {
    auto end = std::min(url.find_first_of("&#", ++at), url.size());
    auto equals = std::min(url.find('=', at), end);
    std::string name{url.substr(at, equals - at)};
    auto value = std::min(equals + 1, end);
    if (is_secret(name, std::string{url.substr(value, end - value)}))
      add(out, name, url, value, end);
    at = end;
  }
}

/// --api-key=VALUE, --api-key VALUE, NAME=VALUE (as `docker run -e` takes it), "Header: VALUE", a URL with a password or a
/// parameter that is a secret; also any of these behind an option (--header=...). `before`: the argument in front of it.
void add_argument(spans& out, const std::string& before, const std::string& a, bool inside = false) {
  auto option = a.starts_with('-');
  auto names = before.starts_with('-') && before.find('=') == std::string::npos && before.find("://") == std::string::npos;
  if (names && !option && is_secret(before, a))
    return add(out, before, a, 0, a.size());
  auto colon = a.find(':');
  auto equals = a.find('=');
  if (colon < equals && a.compare(colon, 3, "://") == 0)
    return add_url(out, a);
  if (!option && colon < equals)
    return add_header(out, a.substr(0, colon), a, std::min(a.find_first_not_of(' ', colon + 1), a.size()));
  if (equals == std::string::npos)
    return;
  auto name = a.substr(0, equals);
  auto value = a.substr(equals + 1);
  if (names_a_secret(name) && may_be_secret(name, value))
    return add(out, name, a, equals + 1, a.size());
  if (inside)
    return;
  spans found;
  add_argument(found, "", value, true);
  for (auto& s : found)
    out.push_back({s.name.empty() ? name : s.name, s.begin + equals + 1, s.end + equals + 1, s.literal});
}

/// What a string, or number, of a JSON text says.
std::string json_text(const std::string& raw) {
  std::string out;
  return raw.front() == '"' && raw.find('\\') == std::string::npos && raw.size() > 1 ? raw.substr(1, raw.size() - 2)
         : wire::get("{\"x\":" + raw + "}", "x", out)                                ? out
                                                                                     : raw;
}

/// Finds the values in a JSON text whose own name, or that of a member around them, is that of a secret. The text is an
/// object of at most 64 levels.
class json_scan {
public:
  json_scan(const std::string& text, spans& out) : text_(text), out_(out) {}

  void run() {
    for (std::size_t i = 0; i < text_.size(); ++i) {
      auto c = text_[i];
      if (c == '{' || c == '[') {
        around_.push_back(name_);
      } else if ((c == '}' || c == ']') && !around_.empty()) {
        around_.pop_back();
        name_ = around_.empty() ? "" : around_.back();
      } else if (c == ',') {
        name_ = around_.empty() ? "" : around_.back();
      } else if (c == '"') {
        auto end = string_end(i);
        auto next = text_.find_first_not_of(" \t\r\n", end);
        if (next != std::string::npos && text_[next] == ':')
          take_name(i, end);
        else
          value(i, end);
        i = end - 1;
      } else if (c == '-' || (c >= '0' && c <= '9')) {
        auto end = std::min(text_.find_first_not_of("0123456789+-.eE", i), text_.size());
        value(i, end);
        i = end - 1;
      }
    }
  }

private:
  std::size_t string_end(std::size_t i) const {
    for (++i; i < text_.size() && text_[i] != '"'; ++i)
      i += text_[i] == '\\' ? 1 : 0;
    return std::min(i + 1, text_.size());
  }

  std::string meant(std::size_t begin, std::size_t end) const { return json_text(text_.substr(begin, end - begin)); }

  // A name inside of a secret's object stays the secret's: {"api_key": {"value": "..."}}.
  void take_name(std::size_t begin, std::size_t end) {
    auto inside = !around_.empty() && names_a_secret(around_.back());
    name_ = inside ? around_.back() : meant(begin, end);
  }

  void value(std::size_t begin, std::size_t end) {
    if (auto x = meant(begin, end); !x.empty() && is_secret(name_, x))
      out_.push_back({name_, begin, end, is_literal_secret(x)});
  }

  const std::string& text_;
  spans& out_;
  std::vector<std::string> around_;
  std::string name_;
};

using visitor = std::function<void(secret_text, const std::string&)>;

void visit_all(const backend_config& b, const visitor& visit) {
  auto tell = [&](std::string path, std::string place, const std::string& text, spans found, bool expanded, bool json) {
    if (!found.empty())
      visit({std::move(path), std::move(place), std::move(found), expanded, json}, text);
  };
  auto json = [&](const char* name, const std::string& text) {
    spans found;
    if (wire::is_object(text))
      json_scan{text, found}.run();
    else if (!text.empty())
      found.push_back({"", 0, text.size(), true}); // not to be judged, nor to be sent
    tell(name, name, text, std::move(found), true, true);
  };
  auto url = [&](const std::string& path, const std::string& place, const std::string& text, bool expanded) {
    spans found;
    add_url(found, text);
    tell(path, place, text, std::move(found), expanded, false);
  };
  auto named = [&](const std::string& path, const std::string& place, const std::map<std::string, std::string>& values, bool sent) {
    for (const auto& [name, value] : values) {
      spans found;
      if (sent && scheme_length(value) > 0)
        add_header(found, name, value, 0);
      else
        add_setting(found, name, value, 0, value.size());
      tell(path + "." + name, place + "." + name, value, std::move(found), false, false);
    }
  };
  spans key;
  add(key, "", b.api_key, 0, b.api_key.size());
  tell("api_key", "api_key", b.api_key, std::move(key), false, false);
  url("base_url", "base_url", b.base_url, true);
  json("extra_body", b.extra_body);
  json("params", b.params);
  named("extra_headers", "extra_headers", b.extra_headers, true);
  named("extra_query", "extra_query", b.extra_query, false);
  for (std::size_t i = 0; i < b.mcp_servers.size(); ++i) {
    const auto& s = b.mcp_servers[i];
    auto path = "mcp_servers[" + std::to_string(i) + "]";
    auto place = "mcp_servers." + s.name;
    named(path + ".env", place + ".env", s.env, false);
    named(path + ".headers", place + ".headers", s.headers, true);
    url(path + ".url", place + ".url", s.url, false);
    for (std::size_t k = 1; k < s.command.size(); ++k) {
      spans found;
      add_argument(found, k > 1 ? s.command[k - 1] : "", s.command[k]);
      tell(path + ".args", place + ".args", s.command[k], std::move(found), false, false);
    }
  }
}

} // namespace

void each_secret(const backend_config& b, const std::function<void(const secret_text&, const std::string&)>& visit) {
  visit_all(b, visit);
}

void each_secret(backend_config& b, const std::function<void(const secret_text&, std::string&)>& visit) {
  // Found first, changed later: an argument is judged by the one in front of it.
  std::vector<std::pair<secret_text, std::string*>> found;
  visit_all(b, [&](secret_text x, const std::string& text) {
    found.emplace_back(std::move(x), const_cast<std::string*>(&text)); // of `b`, which is not const here
  });
  for (auto& [x, text] : found)
    visit(x, *text);
}

void add_secrets(const backend_config& b, secrets& to) {
  visit_all(b, [&to](const secret_text& x, const std::string& text) {
    for (const auto& s : x.spans) {
      auto value = text.substr(s.begin, s.end - s.begin);
      if (x.json && value.size() > 1 && value.front() == '"')
        value = json_text(value);
      to.add_key(value);
    }
  });
}

} // namespace conclave
