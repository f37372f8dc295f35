// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// validate(), the part about one backend: type, connection, limits, secrets, scripts and tool servers.

#include "protocols/catalogue.hpp"
#include "protocols/command_filter.hpp"
#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_tables.hpp"
#include "protocols/config_url.hpp"
#include "protocols/config_vetting.hpp"
#include "protocols/glob.hpp"
#include "protocols/key_route.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/anthropic_version.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_tools.hpp"

#include <algorithm>
#include <set>
#include <string_view>

namespace conclave {

void validate_backend(const backend_config& b, const std::string& path, bool remote, std::vector<problem>& out);

namespace {

constexpr std::size_t max_context_paths = 64;

void add(std::vector<problem>& out, std::string path, std::string text, severity s = severity::error) {
  out.push_back({s, "", 0, std::move(path), std::move(text)});
}

void check_secrets(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  const char* travels = "a literal secret would have to travel to the node; write ${NAME} and set NAME there";
  // Variables in these were expanded before they travel.
  const char* early =
      "a secret here would travel to the node; put it into extra_headers or extra_query as ${NAME} and set NAME there";
  each_secret(b, [&](const secret_text& text, const std::string&) {
    for (const auto& s : text.spans) {
      auto in_args = text.path.ends_with(".args");
      auto at = path + "." + (in_args ? shown_text(text.path, 200) : path_of(text, s));
      if (text.expanded)
        add(out, at, early);
      else if (s.literal)
        add(out, at, (in_args && !s.name.empty() ? shown_text(s.name) + ": " : "") + travels);
    }
  });
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

/// Of an address what holds no key: no user, no query, nothing behind '#'.
std::string shown_url(const std::string& url) {
  auto end = std::min(url.find_first_of("?#"), url.size());
  if (url.find('@') < end)
    return "...";
  return shown_text(url.substr(0, end), 100) + (end < url.size() ? std::string{url[end]} + "..." : "");
}

void check_connection(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  if (!b.base_url.empty()) {
    auto host = url_host(b.base_url);
    if (host.empty() || b.base_url.find('#') != std::string::npos) // what follows it is never sent
      add(out, path + ".base_url",
          "'" + shown_url(b.base_url) + "' is no address of an API: http:// or https://, a host, no user name, no '#'");
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
  if (auto fault = version_fault(b.type, b.api_version); !fault.empty())
    add(out, path + ".api_version", fault);
}

/// What would go to the provider and does not, or not always.
void check_parameters(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  for (const auto& fault : wire::hosted_faults(b))
    add(out, path + "." + fault.key, fault.text, severity::warning);
  const auto* kind = find_backend_kind(b.type);
  if (kind == nullptr || std::string_view{kind->dialect} != "anthropic")
    return;
  auto version = b.api_version.empty() ? std::string{wire::default_anthropic_version} : b.api_version;
  std::string value;
  for (const auto* key : wire::sampling_keys)
    if (!wire::takes(wire::rules_of_version(version), key) && wire::get(b.params, key, value))
      add(out, path + "." + key,
          "version " + shown_text(version)
              + " of the API does not take it, so it is not sent; for models that do, write "
                "anthropic_version: 2023-06-01",
          severity::warning);
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
    config_rows::check(s, at, out);
    auto names_cwd = [](const std::string& text) { return text.find("${cwd}") != std::string::npos; };
    if (b.workspace.cwd.empty()
        && (std::any_of(s.command.begin(), s.command.end(), names_cwd) || names_cwd(s.cwd)
            || std::any_of(s.env.begin(), s.env.end(), [&](auto& x) { return names_cwd(x.second); })))
      add(out, at, who + ": `${cwd}` is the workspace of an agent with `cwd`, which this one has not: it stays as it is",
          severity::warning);
    if (s.type == "stdio" && b.workspace.cwd.empty() && !s.tool_policies.empty())
      add(out, at + ".tool_policies",
          who + ": without `cwd` the agent has no workspace by whose grants paths are judged: no effect", severity::warning);
    if (s.env.size() > 200)
      add(out, at + ".env", who + ": more than 200 variables");
    for (const auto& [name, value] : s.env)
      if (auto text = vet_variable(name, value, s.security_level == "strict"); !text.empty())
        add(out, at + ".env", who + ": " + text);
    check_headers(s.headers, at + ".headers", out);
  }
}

/// Places that the sandbox makes itself, of which the machine's own cannot be shown.
std::string fault_of_readable(const std::string& path) {
  auto is_in = [&](const char* folder) { return path == folder || path.starts_with(std::string{folder} + "/"); };
  if (path == "/")
    return "is the whole file system; name the folders that programs need";
  if (path == "/tmp")
    return "is each command's own in the sandbox; name a folder below it";
  if (is_in("/proc"))
    return "is the sandbox's own: commands see their own processes there; leave it out";
  if (is_in("/dev"))
    return "is the sandbox's own: commands have null, zero, full, random, urandom and shm there; leave it out";
  return {};
}

void check_workspace(const workspace_config& w, const std::string& path, bool remote, std::vector<problem>& out) {
  config_rows::check(w, path, out);
  if (w.command_mode == "docker")
    add(out, path + ".command_line_execution_mode",
        "'docker' is not available yet; without the key commands run in the sandbox of this machine", severity::unavailable);
  if (w.cwd.empty()) {
    if (w.commands)
      add(out, path + ".enable_mcp_command_line", "needs `cwd`: commands run in the agent's workspace");
    return;
  }
  if (w.write_mode == "legacy") {
    std::string text =
        "'legacy': who presents the final answer writes into folders with `permission: write` itself, nobody is asked "
        "before, and it cannot be taken back; without the key agents change a copy, and conclave apply writes the "
        "changes";
    if (std::none_of(out.begin(), out.end(), [&](auto& p) { return p.text == text; })) // of a team with it, once
      add(out, path + ".write_mode", text, severity::warning);
    if (w.write_from_start)
      add(out, path + ".context_write_access_enabled",
          "has no effect with `write_mode: legacy`: before the presentation nobody writes", severity::warning);
  }
  if (w.cwd.find('\0') != std::string::npos || w.cwd.size() > 4'096)
    add(out, path + ".cwd", "is no path");
  if (remote)
    add(out, path + ".cwd", "a workspace on another node is not available yet; leave out `node`", severity::unavailable);
  for (std::size_t i = 0; i < w.context.size(); ++i)
    if (auto& c = w.context[i]; c.path.find('\0') != std::string::npos)
      add(out, path + ".context_paths[" + std::to_string(i) + "].path", "holds a NUL character, which no path can");
    else if (c.path.empty() || c.path.front() != '/')
      add(out, path + ".context_paths[" + std::to_string(i) + "].path", "is no absolute path");
    else if (c.path == "/")
      add(out, path + ".context_paths[" + std::to_string(i) + "].path", "is the whole file system; name a folder below it");
    else
      for (auto& entry : c.protected_paths)
        if (auto bad = glob::unknown_class(entry); !bad.empty())
          add(out, path + ".context_paths[" + std::to_string(i) + "].protected_paths",
              "'" + shown_text(entry, 100) + "': " + shown_text(bad, 100)
                  + " is no class of characters (alpha, digit, alnum, ...); write '\\[' for a bracket that is part of a name");
  if (w.context.size() > max_context_paths)
    add(out, path + ".context_paths", "more than " + std::to_string(max_context_paths) + " files and folders");
  for (auto& [key, patterns] : {std::pair{".command_line_allowed_commands", &w.allowed_commands},
                                std::pair{".command_line_blocked_commands", &w.blocked_commands}}) {
    if (patterns->size() > command_filter::max_patterns)
      add(out, path + key, "more than " + std::to_string(command_filter::max_patterns) + " patterns");
    for (auto& x : *patterns)
      if (auto fault = command_filter::check(x); !fault.empty())
        add(out, path + key, "'" + shown_text(x, 100) + "': " + fault);
  }
  for (auto& folder : w.readable)
    if (folder.empty() || folder.front() != '/')
      add(out, path + ".sandbox.readable", "'" + shown_text(folder, 100) + "' is no absolute path");
    else if (auto why = fault_of_readable(folder); !why.empty())
      add(out, path + ".sandbox.readable", "'" + shown_text(folder, 100) + "' " + why);
  for (auto& [name, value] : w.command_env)
    if (auto text = vet_variable(name, value, false); !text.empty())
      add(out, path + ".command_env", text);
}

/// Names in the lists of tools that were meant for a built-in one of a workspace, or for none there is.
void check_tool_names(const backend_config& b, const std::string& path, std::vector<problem>& out) {
  const auto* kind = find_backend_kind(b.type);
  if (kind == nullptr || !is_available(*kind)) // those of Claude Code are its own
    return;
  std::vector<std::string> known;
  std::set<std::string> servers;
  for (const auto& row : workspace_tools::table())
    if (std::none_of(b.mcp_servers.begin(), b.mcp_servers.end(), [&](auto& s) { return s.name == row.server; })) {
      known.emplace_back(row.name);
      known.push_back(workspace_tools::public_name(row));
      servers.insert("mcp__" + std::string{row.server} + "__");
    }
  auto others = !b.mcp_servers.empty() || !b.native_tools.empty();
  auto has_workspace = !b.workspace.cwd.empty();
  for (const auto& [key, list] : {std::pair{".allowed_tools", &b.allowed_tools}, {".exclude_tools", &b.exclude_tools}})
    for (const auto& name : *list) {
      auto is_known = std::find(known.begin(), known.end(), name) != known.end();
      if (!has_workspace && is_known && (!others || name.starts_with("mcp__")))
        add(out, path + key,
            "'" + shown_text(name, 100)
                + "' is a tool of workspaces, and without `cwd` the agent has none: give it one (`cwd: work`), or leave the name "
                  "out",
            severity::warning);
      if (!has_workspace)
        continue;
      auto ours = std::any_of(servers.begin(), servers.end(), [&](auto& s) { return name.starts_with(s); });
      if ((others && !ours) || is_known)
        continue;
      auto near = nearest(name, known);
      add(out, path + key,
          "'" + shown_text(name, 100) + "' names no tool of this agent, so it has no effect"
              + (near.empty() ? "; docs/workspaces.md lists the tools" : "; did you mean '" + near + "'?"),
          severity::warning);
    }
}

} // namespace

void validate_backend(const backend_config& b, const std::string& path, bool remote, std::vector<problem>& out) {
  check_type(b, path, out);
  check_workspace(b.workspace, path, remote, out);
  check_connection(b, path, out);
  check_parameters(b, path, out);
  config_rows::check(b, path, out);
  for (std::size_t i = 0; i < b.script.size(); ++i)
    config_rows::check(b.script[i], path + ".steps[" + std::to_string(i) + "]", out);
  check_servers(b, path, out);
  check_tool_names(b, path, out);
  if (remote)
    check_secrets(b, path, out);
}

} // namespace conclave
