// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Tool servers: the three shapes of `mcp_servers` (docs/protocol.md 11.6), and the rules that the data alone decides (11.4, 11.5).

#include "app/load_config_parts.hpp"
#include "protocols/config_url.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace conclave::loader {

namespace {

/// Splits a command line at blanks, with quotes and backslashes as POSIX shells read them, but without a shell: what would mean
/// more to one is refused. Returns false with `error` set.
bool split_command(const std::string& text, std::vector<std::string>& out, std::string& error) {
  std::string part;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = text[i];
    if (std::string_view{"&|;`$()<>\n\r"}.find(c) != std::string_view::npos) {
      error = "holds a character with a meaning to shells; no shell reads this. Write the command as a list, or use args";
      return false;
    }
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      part += text[++i];
      inside = true;
    } else if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        part += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      inside = true;
    } else if (c == ' ' || c == '\t') {
      if (inside)
        out.push_back(std::move(part));
      part.clear();
      inside = false;
    } else {
      part += c;
      inside = true;
    }
  }
  if (quote != 0) {
    error = "a quote is not closed";
    return false;
  }
  if (inside)
    out.push_back(std::move(part));
  return true;
}

void read_command(const section& s, mcp_server_config& out) {
  const auto* command = s.get("command");
  if (command && command->value->kind == tree::list) {
    for (const auto& e : command->value->items) {
      if (e.value->kind == tree::scalar)
        out.command.push_back(e.value->text);
      else
        s.to().error(e.at, s.path("command"), "server '" + shown_text(out.name) + "': a command is text, or a list of texts");
    }
  } else if (command && command->value->kind == tree::scalar) {
    std::string error;
    if (!split_command(command->value->text, out.command, error))
      s.error("command", "server '" + shown_text(out.name) + "': " + error);
  } else if (command) {
    s.error("command", "server '" + shown_text(out.name) + "': a command is text, or a list of texts");
  }
  std::vector<std::string> args;
  s.read("args", args);
  if (out.command.empty() && !args.empty()) {
    // The first of `args` is never the program: nobody would have vetted it.
    s.to().error(s.at("args"), s.path("command"), "server '" + shown_text(out.name) + "': args without a command");
    return;
  }
  out.command.insert(out.command.end(), args.begin(), args.end());
}

void read_security_env(const section& security, const mcp_server_config& server) {
  auto env = security.below("env", key_scope::security_env);
  std::string mode = "denylist";
  env.read("mode", mode);
  std::vector<std::string> allowed, denied;
  env.read("allowed_vars", allowed);
  env.read("denied_vars", denied);
  for (const auto& [name, value] : server.env) {
    bool bad = mode == "allowlist" ? std::find(allowed.begin(), allowed.end(), name) == allowed.end()
                                   : std::find(denied.begin(), denied.end(), name) != denied.end();
    if (bad)
      security.error("env", "server '" + shown_text(server.name) + "': the variable '" + shown_text(name)
                                + "' is not allowed by this list");
  }
}

void read_policies(const section& s, mcp_server_config& out) {
  const auto* all = s.map("tool_policies");
  for (std::size_t i = 0; all && i < all->items.size(); ++i) {
    const auto& e = all->items[i];
    auto at = "tool_policies." + shown_text(e.key);
    section one{e.value.get(), key_scope::tool_policy, s.path(at), s.canonical(at), s.to()};
    tool_policy p;
    p.tool = e.key;
    one.read_rows(p);
    for (const auto& [name, what] : p.paths)
      if (what != "read" && what != "create" && what != "modify" && what != "delete" && what != "none")
        one.error("paths", "server '" + shown_text(out.name) + "': '" + shown_text(what) + "' of the argument '" + shown_text(name)
                               + "' is none of read, create, modify, delete, none");
    out.tool_policies.push_back(std::move(p));
  }
}

/// Only what the text shows (docs/protocol.md 11.5): where a name leads is known when a connection is made.
void check_url(const section& s, const section& security, const mcp_server_config& server) {
  auto host = url_host(server.url);
  bool localhost = false, any_private = false;
  std::vector<std::string> known; ///< hosts whose addresses are not checked
  security.read("allowed_hostnames", known);
  security.read("allow_localhost", localhost);
  security.read("allow_private_ips", any_private);
  auto who = "server '" + shown_text(server.name) + "': ";
  auto is_known = std::any_of(known.begin(), known.end(), [&](const std::string& name) { return lower(name) == host; });
  if (!host.empty() && is_loopback_host(host) && !localhost && !any_private && !is_known)
    s.error("url", who + "a loopback address needs security.allow_localhost: true, or its host in security.allowed_hostnames");
}

mcp_server_config read_server(const tree& node, const std::string& name, const std::string& path, const std::string& canonical,
                              const section& backend, std::int64_t timeout_ms) {
  section s{&node, key_scope::mcp_server, path, canonical, backend.to()};
  mcp_server_config out;
  out.name = name;
  out.timeout_ms = timeout_ms;
  s.read_rows(out);
  auto security = s.below("security", key_scope::security);
  security.read_rows(out);
  out.has_allowed_tools = s.get("allowed_tools") != nullptr;
  auto who = "server '" + shown_text(out.name) + "': ";
  if (!s.get("type")) {
    if (s.get("command") || s.get("args"))
      out.type = "stdio";
    else if (s.get("url"))
      out.type = "streamable-http";
    else if (node.kind == tree::map)
      s.to().error(node.at, path, who + "needs a command (a program) or a url");
  }
  for (auto& c : out.type)
    c = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  read_command(s, out);
  if (out.security_level == "high") {
    security.warning("level", "'high' is read as 'strict'");
    out.security_level = "strict";
  }
  if (security.get("allowed_executables") && out.allowed_executables.empty())
    security.error("allowed_executables", who + "an empty list allows nothing");
  read_security_env(security, out);
  read_policies(s, out);
  if (out.type != "stdio")
    check_url(s, security, out);
  return out;
}

/// As text of a configuration, in which `${` would be a variable.
std::string as_written(std::string path) {
  for (auto at = path.find("${"); at != std::string::npos; at = path.find("${", at + 3))
    path.insert(at, "$");
  return path;
}

/// Makes a word absolute that names what is there in the folder: a path with a slash, or a file as `notes.py`.
void settle_word(std::string& word, const std::string& folder) {
  auto from = path_in_word(word);
  auto path = word.substr(from);
  std::error_code e;
  if (path.empty() || std::string_view{"/~$-"}.find(path.front()) != std::string_view::npos || path.find('\0') != std::string::npos)
    return;
  auto found = std::filesystem::path(folder) / path;
  auto meant = path.find('/') != std::string::npos ? std::filesystem::exists(found, e)
                                                   : found.has_extension() && std::filesystem::is_regular_file(found, e);
  auto real = meant ? std::filesystem::canonical(found, e) : found; // what is readable is shown where it really lies
  if (meant && !e)
    word = word.substr(0, from) + as_written(real.string());
}

/// A server in the sandbox starts in the workspace, which no relative path of a file can mean: it counts from where conclave is
/// started, as it does for a server without a sandbox.
void settle_paths(backend_config& out) {
  std::error_code unknown;
  auto here = std::filesystem::current_path(unknown).string();
  for (auto& s : out.mcp_servers) {
    if (unknown || !runs_confined(s, out.workspace))
      continue;
    std::error_code e;
    if (!s.cwd.empty() && std::string_view{"/~$"}.find(s.cwd.front()) == std::string_view::npos)
      if (auto found = std::filesystem::canonical(std::filesystem::path(here) / s.cwd, e); !e)
        s.cwd = as_written(found.string());
    auto in_workspace = s.cwd.empty() || s.cwd.starts_with("${cwd}");
    if (!in_workspace && s.cwd.front() != '/')
      continue;
    for (std::size_t i = 0; i < s.command.size(); ++i)
      if (i > 0 || s.command[i].find('/') != std::string::npos) // else looked for on the PATH
        settle_word(s.command[i], in_workspace ? here : s.cwd);
  }
}

} // namespace

std::size_t path_in_word(const std::string& word) {
  auto sign = word.find('=');
  if (sign == std::string::npos || sign == 0)
    return 0;
  auto value = std::string_view{word}.substr(sign + 1);
  auto is_path = value.starts_with("./") || value.starts_with("../") || value.starts_with("/");
  auto is_name = word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == sign;
  return word.starts_with('-') || (is_path && is_name) ? sign + 1 : 0;
}

void read_servers(const section& backend, backend_config& out) {
  const auto* all = backend.get("mcp_servers");
  if (!all)
    return;
  auto path = backend.path("mcp_servers");
  auto canonical = backend.canonical("mcp_servers");
  auto add = [&](const tree& node, const std::string& name, const std::string& at, mark where) {
    auto index = std::to_string(out.mcp_servers.size());
    auto standard = canonical + "[" + index + "]";
    backend.to().place(standard, at, where);
    out.mcp_servers.push_back(read_server(node, name, at, standard, backend, out.tool_timeout_ms));
  };
  const auto& v = *all->value;
  if (v.kind == tree::list) {
    for (std::size_t i = 0; i < v.items.size(); ++i)
      add(*v.items[i].value, "server_" + std::to_string(i), path + "[" + std::to_string(i) + "]", v.items[i].at);
    return settle_paths(out);
  }
  if (v.kind != tree::map) {
    backend.to().error(all->at, path, "expected a list of servers, a map of servers by name, or one server");
    return;
  }
  // A map that has a scalar `type`, `command` or `url` (or a list as command) is one server; else its keys are names.
  auto is_value = [&](const char* key) {
    const auto* value = v.find(key);
    return value && (value->kind == tree::scalar || (value->kind == tree::list && std::string_view{key} == "command"));
  };
  if (is_value("type") || is_value("command") || is_value("url")) {
    add(v, "server_0", path, all->at);
    return settle_paths(out);
  }
  for (const auto& e : v.items)
    add(*e.value, e.key, path + "." + shown_text(e.key), e.at);
  settle_paths(out);
}

} // namespace conclave::loader
