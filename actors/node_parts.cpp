// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node_parts.hpp"

#include "actors/backend.hpp"
#include "actors/circuit_breaker.hpp"
#include "actors/mcp_server.hpp"
#include "actors/policy_gate.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/config_tables.hpp"
#include "protocols/config_url.hpp"
#include "protocols/key_route.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/home.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace conclave {

namespace {

/// Returns the display name: the user's, else by host, else by type. A user's own server goes by its type wherever it runs.
std::string provider_name(const backend_config& b, const backend_kind& kind, const std::string& base_url) {
  if (!b.provider.empty())
    return b.provider;
  auto known = *kind.default_key == '\0' ? provider_of_host(url_host(base_url)) : std::string{};
  return known.empty() ? kind.provider : known;
}

connection failure(ec code, std::string error) {
  connection c;
  c.code = code;
  c.error = std::move(error);
  return c;
}

/// Everything about an HTTP connection that the variables of this node decide.
void resolve_route(const backend_config& b, const node_resources& with, connection& c) {
  auto route = route_key(b, with.env, with.sources, &with.known);
  auto& p = c.parts;
  if (route.code == ec::none) {
    p.trust = with.outside->load_trust(route.ca, route.error);
    route.code = route.error.empty() ? ec::none : ec::bad_config;
  }
  if (route.code != ec::none) {
    c = failure(route.code, p.endpoint.provider + ": " + route.error);
    return;
  }
  if (b.base_url.empty())
    p.endpoint.provider = provider_name(b, *find_backend_kind(b.type),
                                        route.home.empty() ? route.base_url : route.home); // a gateway is not the vendor
  p.endpoint.base_url = route.base_url;
  p.endpoint.home = route.home;
  p.endpoint.api_key = std::move(route.api_key);
  p.endpoint.headers = std::move(route.headers);
  p.endpoint.query = std::move(route.query);
  if (!route.api_version.empty())
    p.endpoint.version = std::move(route.api_version);
  p.endpoint.hidden = std::move(route.hidden);
  auto sent = b;
  sent.mcp_servers.clear();
  sent.base_url = p.endpoint.base_url;
  sent.api_key = p.endpoint.api_key;
  sent.extra_headers = p.endpoint.headers;
  sent.extra_query = p.endpoint.query;
  add_secrets(sent, p.endpoint.hidden);
  c.notices = std::move(route.notices);
}

/// What of a URL tells whom it reaches: scheme, host and port, in one spelling.
std::string place_of_url(const std::string& url) {
  auto host = url.find("://");
  host = host == std::string::npos ? 0 : host + 3;
  auto place = lower(url.substr(0, url.find_first_of("/?#", host)));
  for (auto [scheme, port] : {std::pair{"https://", ":443"}, {"http://", ":80"}})
    if (place.starts_with(scheme) && place.ends_with(port))
      place.erase(place.size() - std::string_view{port}.size());
  return place;
}

/// Whose limits and outages these are: those of a host and a key, which may stand in a header of the user's.
gate_parts gate_of(const backend_config& b, const wire::endpoint& to, bool shared) {
  gate_parts out;
  out.limits = {b.rpm, b.tpm, b.rpd};
  out.policy.enabled = b.breaker_enabled;
  out.policy.max_failures = static_cast<std::uint32_t>(std::max(b.breaker_max_failures, 1));
  out.policy.reset_ms = b.breaker_reset_ms;
  out.policy.multiplier = b.breaker_multiplier / 1000.0;
  out.policy.max_reset_ms = b.breaker_max_backoff_ms;
  out.policy.retry_after_cap_ms = b.retry_after_threshold_ms;
  if (!shared)
    return out;
  out.place = place_of_url(to.base_url);
  if (!to.home.empty()) // one host stands for several providers, and is sent one placeholder for all their keys
    out.place += " for " + place_of_url(to.home);
  out.name = url_host(to.base_url);
  out.key = to.api_key;
  for (auto* values : {&to.headers, &to.query})
    for (auto& [name, value] : *values)
      if (names_a_secret(name))
        out.key += '\n' + lower(name) + '=' + value;
  return out;
}

/// Expands a path of this machine. Returns what is wrong with it, or empty.
std::string local_path(std::string& path, const lookup& env) {
  std::string missing;
  if (!expand(path, env, missing))
    return "variable " + missing + " is not set";
  return expand_home(path);
}

} // namespace

connection resolve_backend(const backend_config& config, const node_resources& with) {
  auto b = config;
  auto* kind = find_backend_kind(b.type);
  if (kind == nullptr || !is_available(*kind))
    return failure(ec::bad_config, "backend type '" + b.type + "' is not available");
  connection c;
  for (auto* path : {&b.model_path, &b.server})
    if (auto fault = local_path(*path, with.env); !fault.empty())
      return failure(ec::bad_config, fault);
  c.said = config_rows::connection_part(b);
  c.kind = b.type == "scripted" ? "scripted" : b.type == "local" ? "local" : "http";
  auto& p = c.parts;
  p.http = with.http;
  p.ladder_fixed = !b.decision.empty() && b.decision != "auto";
  p.decision = p.ladder_fixed ? b.decision : c.kind == "local" ? "schema" : "tools";
  p.context_tokens = b.context_tokens > 0 ? b.context_tokens : c.kind == "local" ? 8192 : 0;
  if (c.kind == "scripted")
    return c;
  p.dialect = wire::find_dialect(c.kind == "local" ? "openai_chat" : wire::dialect_of(b, b.base_url));
  if (p.dialect == nullptr)
    return failure(ec::bad_config, "backend type '" + b.type + "' has no dialect");
  p.endpoint.provider = provider_name(b, *kind, b.base_url.empty() ? kind->base_url : b.base_url);
  p.endpoint.version = b.api_version;
  p.endpoint.extra_body = b.extra_body;
  p.endpoint.http2 = b.http2;
  p.endpoint.hosted = wire::hosted_of(b);
  if (c.kind == "local") {
    c.model_path = b.model_path;
    c.server = b.server;
  } else {
    resolve_route(b, with, c);
  }
  c.gate = gate_of(b, c.parts.endpoint, c.kind == "http");
  return c;
}

backend_actor spawn_connection(caf::actor_system& sys, const connection& c, const spawn_agent& order, const node_resources& with,
                               const std::shared_ptr<const secrets_of_tasks>& hidden, const provider_gate_actor& gate) {
  auto& b = order.agent.backend;
  if (c.kind == "scripted" && with.scripted)
    return with.scripted(sys, order);
  if (c.kind == "scripted")
    return spawn_scripted_backend(sys, b.script, b.decision, order.played);
  auto random = with.outside->random("breaker of " + order.agent.id + " in " + order.task);
  if (c.kind == "local") {
    local_model_options o;
    o.model_path = c.model_path;
    o.server = c.server;
    o.context_tokens = c.parts.context_tokens;
    if (!with.log_dir.empty())
      o.log_path = with.log_dir + "/" + order.task + "/local_model.log";
    o.slots = static_cast<std::int32_t>(std::clamp<std::uint32_t>(order.team, 1, 8));
    return spawn_guarded_backend(sys, spawn_local_backend(sys, c.parts, std::move(o), with.outside), random, c.gate.policy, hidden);
  }
  if (!gate)
    return spawn_guarded_backend(sys, spawn_backend(sys, c.parts), random, c.gate.policy, hidden);
  return spawn_guarded_backend(sys, spawn_backend(sys, c.parts, gate), random, gate, c.gate.policy, hidden);
}

secrets secrets_of(const backend_config& of, const connection& c, const node_resources& with) {
  auto endpoint = c.parts.endpoint;
  endpoint.hidden = {}; // values of any variable: to be kept out of errors, but a tool may need them
  auto out = wire::secrets_of(endpoint);
  out.add_key(url_password(endpoint.base_url));
  auto b = of;         // as it is expanded; what cannot be is none of anything that runs
  std::string missing; // whoever needs it says so
  auto put_in = [&](std::string& value) {
    if (!expand(value, with.env, missing))
      value.clear();
  };
  put_in(b.api_key);
  put_in(b.base_url);
  for (auto* values : {&b.extra_headers, &b.extra_query})
    for (auto& [name, value] : *values)
      put_in(value);
  for (auto& server : b.mcp_servers) {
    for (auto& [name, value] : server.env)
      if (expand(value, with.env, missing))
        out.add_server_variable(name, value);
      else
        value.clear();
    for (auto& [name, value] : server.headers)
      if (expand(value, with.env, missing))
        out.add_named(name, value);
      else
        value.clear();
    for (auto& word : server.command)
      put_in(word);
    put_in(server.url);
  }
  add_secrets(b, out); // also of a connection that needs no key
  return out;
}

namespace {

std::string place_of(const spawn_agent& order, const node_resources& with) {
  return with.home + "/work/" + order.task + "/" + order.place;
}

} // namespace

workspace_parts workspace_of(const spawn_agent& order, const node_resources& with, std::string& error) {
  auto& b = order.agent.backend;
  workspace_parts out;
  auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  auto name = [](const std::string& x) {
    return !x.empty() && x.find_first_of("/\0", 0, 2) == std::string::npos && x != "." && x != "..";
  };
  if (with.home.empty())
    error = "this process keeps no workspaces";
  else if (order.place.size() != 8 || !std::all_of(order.place.begin(), order.place.end(), hex) || !name(order.task))
    error = "the order names no place for its workspace";
  if (!error.empty())
    return out;
  out.outside = with.outside;
  out.lanes = with.disk;
  out.home = with.home;
  out.place = place_of(order, with);
  out.task = order.task;
  out.number = order.number;
  out.config = b.workspace;
  for (auto& [key, value] : out.config.command_env)
    if (std::string missing; !expand(value, with.env, missing)) {
      error = "command_env." + key + ": variable " + missing + " is not set";
      return out;
    }
  for (auto* key : {"PATH", "LANG", "TERM", "USER", "LC_ALL", "TZ"})
    if (auto value = with.env(key))
      out.env[key] = *value;
  for (auto& [key, value] : out.config.command_env)
    out.env[key] = value;
  for (auto& server : b.mcp_servers)
    if (server.name == "filesystem" || server.name == "workspace_tools" || server.name == "command_line")
      out.replaced.push_back(server.name);
  out.confines = needs_sandbox(b);
  if (out.confines && with.sandbox)
    if (auto found = with.sandbox->known(sandbox_mode_of(out.config.sandbox))) {
      out.launcher = with.sandbox->launcher();
      if (found->usable)
        out.tier = found->tier;
      out.announce = found->error;
    }
  out.has_allowed_tools = b.has_allowed_tools;
  out.allowed_tools = b.allowed_tools;
  out.exclude_tools = b.exclude_tools;
  return out;
}

std::vector<tool_source> spawn_tools(caf::actor_system& sys, const spawn_agent& order, const node_resources& with,
                                     const chunk_sink_actor& status, const std::shared_ptr<const known_secrets>& hidden,
                                     const std::function<void(const std::string&)>& lost, const workspace_actor& workspace) {
  auto& b = order.agent.backend;
  std::vector<tool_source> out;
  for (auto& server : b.mcp_servers) {
    auto log = with.log_dir.empty() ? std::string{}
                                    : with.log_dir + "/" + order.task + "/mcp_agent" + std::to_string(order.number) + "_"
                                          + server.name + "_stderr.log";
    auto tell = [status, lost, task = order.task, agent = order.agent.id](std::string text, bool for_good) {
      if (for_good && lost)
        lost(text);
      if (!for_good)
        caf::anon_send(status, chunk_batch{task, 0, agent, {{chunk_kind::status, std::move(text)}}});
    };
    auto version = std::make_shared<std::atomic<std::uint64_t>>(0);
    auto started = server;
    if (workspace) {
      auto work = workspace_paths::work(place_of(order, with));
      for (auto& word : started.command)
        word = with_cwd(word, work);
      for (auto& [key, value] : started.env)
        value = with_cwd(value, work);
      started.cwd = with_cwd(started.cwd, work);
    }
    auto judged = started; // with where it starts, if that is not the workspace: relative paths in its calls begin there
    if (std::string missing; server.sandbox == "off" && expand(judged.cwd, with.env, missing)) {
      std::error_code e;
      auto here = std::filesystem::current_path(e);
      judged.cwd = judged.cwd.empty() ? here.string() : (here / judged.cwd).lexically_normal().string();
    }
    auto source = spawn_mcp_server(sys, with.outside, std::move(started), with.env, std::move(log), b.has_allowed_tools,
                                   b.allowed_tools, b.exclude_tools, tell, version, hidden,
                                   workspace && runs_confined(server, b.workspace) ? walls_of(workspace) : wall_actor{});
    if (workspace && server.type == "stdio")
      source = spawn_policy_gate(sys, std::move(source), judged, walls_of(workspace));
    auto name = "MCP server '" + server.name + "'";
    auto limit = tool_waits::start(server);
    out.push_back({spawn_guarded_tools(sys, std::move(source), name, limit, hidden), name, limit, version});
  }
  for (auto& [name, make] : with.tools) {
    auto& wanted = b.native_tools;
    if (with.tools_for_all || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) {
      auto shown = "tool '" + name + "'";
      out.push_back({spawn_guarded_tools(sys, make(sys, workspace), shown, tool_waits::native_start, hidden), shown,
                     tool_waits::native_start});
    }
  }
  return out;
}

} // namespace conclave
