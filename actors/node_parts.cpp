// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node_parts.hpp"

#include "actors/backend.hpp"
#include "actors/circuit_breaker.hpp"
#include "actors/mcp_server.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace conclave {

namespace {

struct named_host {
  std::string_view suffix; ///< whole labels at the end of the host name
  const char* provider;
};

/// Whose API an address is, whatever dialect it is spoken to in.
/// Source: config-and-cli.md 5.1, and the hosts of protocols/backend_kinds.cpp.
constexpr std::array<named_host, 24> named_hosts = {{
    {"openai.azure.com", "Azure OpenAI"},
    {"cognitiveservices.azure.com", "Azure OpenAI"},
    {"openai.com", "OpenAI"},
    {"anthropic.com", "Claude"},
    {"x.ai", "Grok"},
    {"generativelanguage.googleapis.com", "Gemini"},
    {"cerebras.ai", "Cerebras AI"},
    {"together.xyz", "Together AI"},
    {"together.ai", "Together AI"},
    {"fireworks.ai", "Fireworks AI"},
    {"groq.com", "Groq"},
    {"nebius.com", "Nebius AI Studio"},
    {"nebius.ai", "Nebius AI Studio"},
    {"openrouter.ai", "OpenRouter"},
    {"z.ai", "ZAI"},
    {"bigmodel.cn", "ZAI"},
    {"moonshot.ai", "Kimi"},
    {"moonshot.cn", "Kimi"},
    {"poe.com", "POE"},
    {"aliyuncs.com", "Qwen"},
    {"mistral.ai", "Mistral"},
    {"deepseek.com", "DeepSeek"},
    {"huggingface.co", "Hugging Face"},
    {"ollama.com", "Ollama"},
}};

/// Returns the display name: the user's, else by host, else by type. A user's own server goes by its type wherever it runs.
std::string provider_name(const backend_config& b, const backend_kind& kind, const std::string& base_url) {
  if (!b.provider.empty())
    return b.provider;
  auto host = "." + url_host(base_url);
  if (*kind.default_key == '\0')
    for (const auto& row : named_hosts)
      if (host.ends_with("." + std::string{row.suffix}))
        return row.provider;
  return kind.provider;
}

/// As expand() judges it: a blank variable is one that is not set.
bool is_blank(const std::string& value) {
  return value.find_first_not_of(" \t\r\n") == std::string::npos;
}

constexpr const char* places_of_keys = " in the environment, in ./.env or in ~/.config/conclave/.env";

connection failure(ec code, std::string error) {
  connection c;
  c.code = code;
  c.error = std::move(error);
  return c;
}

/// Expands every string of a map; returns the name of the first variable that is missing, or empty.
std::string expand_all(std::map<std::string, std::string>& values, const lookup& env) {
  std::string missing;
  for (auto& [key, value] : values)
    if (!expand(value, env, missing))
      return missing;
  return {};
}

/// Finds the key for a connection. Returns false and sets `error` if one is needed and not there.
bool find_key(const backend_config& b, const backend_kind& kind, const std::string& base_url, const lookup& env, std::string& key,
              std::string& name, std::string& error) {
  if (!b.api_key.empty()) {
    key = b.api_key;
    name = "api_key:" + wire::hash(b.api_key); // unexpanded: tells connections apart, says nothing
    std::string missing;
    if (expand(key, env, missing))
      return true;
    error = "no key: set " + missing + places_of_keys;
    return false;
  }
  auto names = key_names(b);
  std::string list;
  for (auto& n : names) {
    if (auto* value = env(n); value != nullptr && !is_blank(*value)) {
      key = *value;
      name = n;
      return true;
    }
    list += (list.empty() ? "" : " or ") + n;
  }
  if (*kind.default_key != '\0') {
    key = kind.default_key;
    return true;
  }
  if (names.empty() || (is_loopback_host(url_host(base_url)) && b.api_key_env.empty()))
    return true; // a host of nobody's binding gets no key; loopback needs none
  error = "no key: set " + list + places_of_keys;
  return false;
}

} // namespace

connection resolve_backend(const backend_config& config, const node_resources& with) {
  auto b = config;
  auto* kind = find_backend_kind(b.type);
  if (kind == nullptr || !is_available(*kind))
    return failure(ec::bad_config, "backend type '" + b.type + "' is not available");
  connection c;
  std::string missing;
  for (auto* text : {&b.model_path, &b.server})
    if (!expand(*text, with.env, missing))
      return failure(ec::bad_config, "variable " + missing + " is not set");
  secrets hidden;
  auto noting = [&](const std::string& name) {
    auto* value = with.env ? with.env(name) : nullptr;
    if (value != nullptr)
      hidden.add_variable(name, *value);
    return value;
  };
  for (auto* values : {&b.extra_headers, &b.extra_query})
    if (missing = expand_all(*values, noting); !missing.empty())
      return failure(ec::bad_config, "variable " + missing + " is not set");
  c.kind = b.type == "scripted" ? "scripted" : b.type == "local" ? "local" : "http";
  auto& p = c.parts;
  p.http = with.http;
  p.ladder_fixed = !b.decision.empty() && b.decision != "auto";
  p.decision = p.ladder_fixed ? b.decision : c.kind == "local" ? "schema" : "tools";
  p.context_tokens = b.context_tokens > 0 ? b.context_tokens : c.kind == "local" ? 8192 : 0;
  if (c.kind == "scripted")
    return c;
  p.dialect = wire::find_dialect(c.kind == "local" ? "openai_chat" : kind->dialect);
  if (p.dialect == nullptr)
    return failure(ec::bad_config, "backend type '" + b.type + "' has no dialect");
  const std::string base_url = b.base_url.empty() ? kind->base_url : b.base_url;
  p.endpoint.provider = provider_name(b, *kind, base_url);
  p.endpoint.version = b.anthropic_version;
  p.endpoint.extra_body = b.extra_body;
  p.endpoint.headers = b.extra_headers;
  p.endpoint.query = b.extra_query;
  p.endpoint.hidden = std::move(hidden);
  p.endpoint.http2 = b.http2;
  if (c.kind == "local") {
    c.model_path = b.model_path;
    c.server = b.server;
    c.share = "local " + b.model_path + " " + b.server + " " + std::to_string(p.context_tokens) + " " + p.decision;
    return c;
  }
  p.endpoint.base_url = base_url;
  std::string key_name, error;
  if (!find_key(b, *kind, p.endpoint.base_url, with.env, p.endpoint.api_key, key_name, error))
    return failure(ec::unauthorized, p.endpoint.provider + ": " + error);
  c.share = b.type + " " + p.endpoint.base_url + " " + key_name + " " + p.decision + " " + p.endpoint.version + " " + b.extra_body;
  for (auto& [name, value] : config.extra_headers) // unexpanded: no secret in a name
    c.share += " " + name + "=" + value;
  for (auto& [name, value] : config.extra_query)
    c.share += " " + name + "=" + value;
  return c;
}

backend_actor spawn_connection(caf::actor_system& sys, const connection& c, const spawn_agent& order, const node_resources& with) {
  auto& b = order.agent.backend;
  if (c.kind == "scripted")
    return spawn_scripted_backend(sys, b.script, b.decision);
  if (c.kind == "local") {
    local_model_options o;
    o.model_path = c.model_path;
    o.server = c.server;
    o.context_tokens = c.parts.context_tokens;
    if (!with.log_dir.empty())
      o.log_path = with.log_dir + "/" + order.task + "/local_model.log";
    o.slots = static_cast<std::int32_t>(std::clamp<std::uint32_t>(order.team, 1, 8));
    return spawn_guarded_backend(sys, spawn_local_backend(sys, c.parts, std::move(o)));
  }
  return spawn_guarded_backend(sys, spawn_backend(sys, c.parts));
}

std::vector<tool_source> spawn_tools(caf::actor_system& sys, const spawn_agent& order, const node_resources& with,
                                     const chunk_sink_actor& status) {
  auto& b = order.agent.backend;
  std::vector<tool_source> out;
  for (auto& server : b.mcp_servers) {
    auto log = with.log_dir.empty() ? std::string{}
                                    : with.log_dir + "/" + order.task + "/mcp_agent" + std::to_string(order.number) + "_"
                                          + server.name + "_stderr.log";
    auto tell = [status, task = order.task, agent = order.agent.id](std::string text) {
      caf::anon_send(status, chunk_batch{task, 0, agent, {{chunk_kind::status, std::move(text)}}});
    };
    auto source =
        spawn_mcp_server(sys, server, with.env, std::move(log), b.has_allowed_tools, b.allowed_tools, b.exclude_tools, tell);
    auto name = "MCP server '" + server.name + "'";
    auto limit = tool_waits::start(server);
    out.push_back({spawn_guarded_tools(sys, std::move(source), name, limit), name, limit});
  }
  for (auto& [name, make] : with.tools) {
    auto& wanted = b.native_tools;
    if (with.tools_for_all || std::find(wanted.begin(), wanted.end(), name) != wanted.end())
      out.push_back({make(sys), "tool '" + name + "'", tool_waits::native_start});
  }
  return out;
}

} // namespace conclave
