// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// validate(), the part about one backend: type, connection, limits, secrets, scripts and tool servers.

#include "protocols/backend_hints.hpp"
#include "protocols/config.hpp"
#include "protocols/config_keys.hpp"
#include "protocols/key_route.hpp"
#include "protocols/secrets.hpp"

#include <algorithm>
#include <set>
#include <string_view>

namespace conclave {

void validate_backend(const backend_config& b, const std::string& path, bool remote, std::vector<problem>& out);

namespace {

void add(std::vector<problem>& out, std::string path, std::string text, severity s = severity::error) {
  out.push_back({s, "", 0, std::move(path), std::move(text)});
}

/// Whether a header begins with a scheme of authorization.
bool has_scheme(const std::string& value) {
  std::string scheme = value.substr(0, std::min<std::size_t>(value.find(' '), 10));
  for (auto& c : scheme)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return scheme.size() < value.size() && (scheme == "bearer" || scheme == "basic" || scheme == "token");
}

/// `Bearer ${TOKEN}` holds no literal secret.
bool is_literal_header(const std::string& value) {
  return is_literal_secret(has_scheme(value) ? value.substr(value.find(' ') + 1) : value);
}

/// Returns the name of a literal secret in the argument at `k` of a command, or empty: --api-key=VALUE, --api-key VALUE,
/// NAME=VALUE (as `docker run -e` takes it), "Header: VALUE", a URL with a password or a parameter that is a secret.
std::string secret_argument(const std::vector<std::string>& command, std::size_t k);

/// The members of a JSON object, also nested ones, whose value is a string. The loader wrote it, so it is well formed; escapes do
/// not matter to names.
std::map<std::string, std::string> text_members(const std::string& json) {
  std::map<std::string, std::string> out;
  std::string name, text;
  bool after_colon = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] != '"') {
      after_colon = json[i] == ':' || (after_colon && json[i] == ' ');
      continue;
    }
    text.clear();
    for (++i; i < json.size() && json[i] != '"'; ++i) {
      i += json[i] == '\\' && i + 1 < json.size() ? 1 : 0;
      text += json[i];
    }
    if (after_colon)
      out.emplace(name, text);
    else
      name = text;
    after_colon = false;
  }
  return out;
}

std::map<std::string, std::string> query_of(const std::string& url) {
  std::map<std::string, std::string> out;
  for (auto at = url.find('?'); at < url.size();) {
    auto end = std::min(url.find('&', ++at), url.size());
    auto equals = std::min(url.find('=', at), end);
    out.emplace(url.substr(at, equals - at), url.substr(std::min(equals + 1, end), end - std::min(equals + 1, end)));
    at = end;
  }
  return out;
}

std::string secret_argument(const std::vector<std::string>& command, std::size_t k) {
  const auto& a = command[k];
  for (const auto& [name, value] : query_of(a))
    if (may_be_secret(name, value) && is_literal_secret(value))
      return name;
  if (!url_password(a).empty())
    return "the password of a URL";
  auto colon = a.find(':');
  auto equals = a.find('=');
  auto option = a.starts_with('-');
  if (!option && colon < equals) {
    auto value = a.substr(std::min(a.find_first_not_of(' ', colon + 1), a.size()));
    auto name = a.substr(0, colon);
    return (has_scheme(value) || may_be_secret(name, value)) && is_literal_header(value) ? name : "";
  }
  auto name = a.substr(0, equals);
  auto value = equals != std::string::npos ? a.substr(equals + 1) : option && k + 1 < command.size() ? command[k + 1] : "";
  auto given = option ? !value.starts_with('-') : equals != std::string::npos;
  return given && may_be_secret(name, value) && is_literal_secret(value) ? name : "";
}

void check_secrets(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  const char* text = "a literal secret would have to travel to the node; write ${NAME} and set NAME there";
  if (is_literal_secret(b.api_key))
    add(out, path + ".api_key", text);
  auto check = [&](const std::map<std::string, std::string>& values, const std::string& at, auto is_literal, const char* what) {
    for (const auto& [name, value] : values)
      if (may_be_secret(name, value) && is_literal(value))
        add(out, at + "." + shown_text(name), what);
  };
  auto check_sent = [&](const std::map<std::string, std::string>& headers, const std::string& at) {
    for (const auto& [name, value] : headers)
      if ((has_scheme(value) || may_be_secret(name, value)) && is_literal_header(value))
        add(out, at + "." + shown_text(name), text);
  };
  // Variables in these were expanded before they travel.
  const char* early =
      "a secret here would travel to the node; put it into extra_headers or extra_query as ${NAME} and set NAME there";
  auto any = [](const std::string& value) { return !value.empty(); };
  check(query_of(b.base_url), path + ".base_url", any, early);
  check(text_members(b.extra_body), path + ".extra_body", any, early);
  check(text_members(b.params), path, any, early);
  check_sent(b.extra_headers, path + ".extra_headers");
  check(b.extra_query, path + ".extra_query", is_literal_secret, text);
  for (std::size_t i = 0; i < b.mcp_servers.size(); ++i) {
    auto server = path + ".mcp_servers[" + std::to_string(i) + "]";
    check(b.mcp_servers[i].env, server + ".env", is_literal_secret, text);
    check_sent(b.mcp_servers[i].headers, server + ".headers");
    check(query_of(b.mcp_servers[i].url), server + ".url", is_literal_secret, text);
    const auto& command = b.mcp_servers[i].command;
    for (std::size_t k = 1; k < command.size(); ++k)
      if (auto name = secret_argument(command, k); !name.empty())
        add(out, server + ".args", shown_text(name) + ": " + text);
  }
}

void check_headers(const std::map<std::string, std::string>& headers, const std::string& path, std::vector<problem>& out) {
  auto token = [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7F
           && std::string_view{"()<>@,;:\\\"/[]?={}"}.find(c) == std::string_view::npos;
  };
  for (const auto& [name, value] : headers) {
    auto bad_value = std::any_of(value.begin(), value.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
    if (name.empty() || name.size() > 100 || !std::all_of(name.begin(), name.end(), token))
      add(out, path, "'" + shown_text(name) + "' is no name of a header");
    else if (bad_value || value.size() > 8192)
      add(out, path + "." + name, "the value holds a line break or is longer than 8192 bytes");
  }
}

void check_type(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  const auto* kind = find_backend_kind(b.type);
  if (b.type.empty()) {
    add(out, path + ".type",
        "needs a type, or a model whose type is known; for a server that speaks the OpenAI chat API use 'chatcompletion'");
    return;
  }
  auto hint = type_hint(b.type);
  if (!kind) {
    std::string list;
    for (const auto& k : backend_kinds())
      if (is_available(k))
        list += (list.empty() ? "types: " : ", ") + std::string{k.type};
    list += "; any server that speaks the OpenAI chat API is 'chatcompletion' with its base_url";
    add(out, path + ".type", "unknown backend type '" + shown_text(b.type) + "'; " + (hint.empty() ? list : hint));
    return;
  }
  if (!is_available(*kind)) {
    add(out, path + ".type", "backend type '" + b.type + "' is not available yet" + (hint.empty() ? "" : "; " + hint),
        severity::unavailable);
    return;
  }
  if (b.model.empty() && !*kind->default_model)
    add(out, path + ".model", "backend type '" + b.type + "' needs a model");
  if (b.type == "scripted" && b.script.empty())
    add(out, path, "a scripted backend needs steps: 'script: <file>' or 'steps: [...]'");
}

void check_connection(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  if (!b.base_url.empty()) {
    auto host = url_host(b.base_url);
    if (host.empty() || b.base_url.find('#') != std::string::npos) // what follows it is never sent
      add(out, path + ".base_url",
          "'" + shown_text(b.base_url.substr(0, b.base_url.find('?')).find('@') == std::string::npos ? b.base_url : "...", 100)
              + "' is no address of an API: http:// or https://, a host, no user name, no '#'");
    else if (b.base_url[4] == ':' && !is_loopback_host(host) // http, in whatever case
             && (!b.api_key.empty() || !key_names(b).empty()))
      add(out, path + ".base_url", "http:// sends the key and every text unencrypted; use https:// if the server has it",
          severity::warning);
  }
  if (auto key = b.api_key; references_in(key).empty())
    if (auto fault = clean_key(key); !fault.empty())
      add(out, path + ".api_key", fault);
  // Never shown: it may be the key itself.
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto part = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  if (const auto& n = b.api_key_env; !n.empty() && (!letter(n.front()) || !std::all_of(n.begin(), n.end(), part)))
    add(out, path + ".api_key_env", "takes the name of a variable, such as MY_API_KEY: neither ${NAME} nor the key itself");
  check_headers(b.extra_headers, path + ".extra_headers", out);
}

void check_range(double value, const char* name, bool zero_ok, const std::string& path, std::vector<problem>& out) {
  const auto* key = find_key(key_scope::backend, name);
  if ((value == 0 && zero_ok) || (value >= key->low && value <= key->high))
    return;
  add(out, path + "." + name, "is outside the limits of this key");
}

void check_limits(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  auto s = [](std::int64_t ms) { return static_cast<double>(ms) / 1000; };
  check_range(static_cast<double>(b.max_tokens), "max_tokens", true, path, out);
  check_range(static_cast<double>(b.context_tokens), "context_tokens", true, path, out);
  check_range(static_cast<double>(b.max_tool_iterations), "max_tool_iterations", false, path, out);
  check_range(static_cast<double>(b.max_run_bytes), "max_run_bytes", false, path, out);
  check_range(s(b.timeout_ms), "timeout", false, path, out);
  check_range(s(b.first_token_timeout_ms), "first_token_timeout_seconds", false, path, out);
  check_range(s(b.idle_timeout_ms), "idle_timeout_seconds", false, path, out);
  check_range(s(b.tool_timeout_ms), "mcp_tool_timeout_seconds", false, path, out);
  auto choices = words(find_key(key_scope::backend, "decision")->choices);
  if (std::find(choices.begin(), choices.end(), b.decision) == choices.end())
    add(out, path + ".decision", "'" + shown_text(b.decision) + "' is none of auto, tools, schema, text");
}

void check_steps(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  constexpr std::int64_t hour = 3'600'000;
  for (std::size_t i = 0; i < b.script.size(); ++i) {
    const auto& s = b.script[i];
    auto in = [](std::int64_t v, std::int64_t low, std::int64_t high) { return v >= low && v <= high; };
    if (!in(s.first_delay_ms, 0, hour) || !in(s.chunk_delay_ms, 0, hour) || !in(s.chunk_bytes, 0, 1'048'576)
        || !in(s.retry_after_ms, -1, hour) || !in(s.repeat, 1, 1'000'000))
      add(out, path + ".steps[" + std::to_string(i) + "]", "a number is outside its limits");
  }
}

void check_servers(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < b.mcp_servers.size(); ++i) {
    const auto& s = b.mcp_servers[i];
    auto at = path + ".mcp_servers[" + std::to_string(i) + "]";
    auto who = "server '" + shown_text(s.name) + "'";
    auto good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    if (s.name.empty() || s.name.size() > 50 || !std::all_of(s.name.begin(), s.name.end(), good))
      add(out, at + ".name", who + ": a name has 1 to 50 letters, digits, '_' or '-'");
    if (!names.insert(s.name).second)
      add(out, at + ".name", who + ": two servers have this name");
    if (s.type == "stdio") {
      if (auto text = vet_command(s); !text.empty())
        add(out, at + ".command", text);
    } else if (s.type == "streamable-http" || s.type == "http") {
      if (url_host(s.url).empty())
        add(out, at + ".url", who + ": needs a url: http:// or https://, a host, no user name");
      add(out, at + ".type", who + ": tool servers of type '" + s.type + "' are not available yet", severity::unavailable);
    } else {
      add(out, at + ".type",
          who + ": '" + shown_text(s.type) + "' is none of stdio, streamable-http, http"
              + (s.type == "sse" ? "; sse was replaced by streamable-http" : ""));
    }
    if (s.env.size() > 200)
      add(out, at + ".env", who + ": more than 200 variables");
    for (const auto& [name, value] : s.env)
      if (auto text = vet_variable(name, value, s.security_level == "strict"); !text.empty())
        add(out, at + ".env", who + ": " + text);
    check_headers(s.headers, at + ".headers", out);
  }
}

} // namespace

void validate_backend(const backend_config& b, const std::string& path, bool remote, std::vector<problem>& out) {
  check_type(b, path, out);
  if (!b.cwd.empty())
    add(out, path + ".cwd", "a folder to work in is not available yet", severity::unavailable);
  check_connection(b, path, out);
  check_limits(b, path, out);
  check_steps(b, path, out);
  check_servers(b, path, out);
  if (remote)
    check_secrets(b, path, out);
}

} // namespace conclave
