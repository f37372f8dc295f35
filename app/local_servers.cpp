// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/local_servers.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/key_route.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/local_models.hpp"
#include "transports/http_transfers.hpp"
#include "transports/outside.hpp"

#include <algorithm>
#include <array>
#include <future>
#include <map>
#include <memory>

namespace conclave {

namespace {

constexpr std::int64_t connect_ms = 500, total_ms = 2'000, max_bytes = 4 << 20;

struct server_kind {
  const char* type;
  const char* name;
  const char* start;  ///< how it is started
  const char* fetch;  ///< how it gets a model; "" = it serves the one it was started with
  const char* health; ///< path beside the API; "" = its list of models tells
};

/// Sources, read 2026-11-26: https://lmstudio.ai/docs/cli, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
/// https://docs.sglang.ai/basic_usage/send_request.html, https://github.com/ollama/ollama/blob/main/docs/api.md ("Version", "List
/// Local Models").
constexpr std::array<server_kind, 4> kinds = {{{"lmstudio", "LM Studio", "lms server start", "lms get", ""},
                                               {"vllm", "vLLM", "vllm serve MODEL", "", ""},
                                               {"sglang", "SGLang", "python -m sglang.launch_server --model-path MODEL", "", ""},
                                               {"ollama", "Ollama", "ollama serve", "ollama pull", "/api/version"}}};

const server_kind* kind_of(const backend_config& b) {
  for (const auto& k : kinds)
    if (b.type == k.type || (is_ollama(b) && std::string_view{k.type} == "ollama"))
      return &k;
  return nullptr;
}

/// The answer to one request; status 0 = none came.
struct reply {
  int status = 0;
  std::string body, error;
};

std::future<reply> get(http_transfers& http, const std::string& url, const key_route& route) {
  struct state {
    std::promise<reply> done;
    reply got;
  };
  auto s = std::make_shared<state>();
  auto future = s->done.get_future();
  http_request r;
  r.method = "GET";
  r.url = url;
  if (!route.api_key.empty())
    r.headers.emplace_back("Authorization", "Bearer " + route.api_key);
  for (const auto& header : route.headers)
    r.headers.push_back(header);
  r.connect_timeout_ms = connect_ms;
  r.total_timeout_ms = total_ms;
  r.idle_timeout_ms = total_ms;
  r.max_bytes = max_bytes;
  r.stream = false;
  http.start(std::move(r), {[s](http_head h) { s->got.status = h.status; }, [s](std::string bytes) { s->got.body += bytes; },
                            [s](http_end e) {
                              s->got.error = e.code == ec::none ? "" : e.error;
                              s->done.set_value(std::move(s->got));
                            }});
  return future;
}

struct probe {
  const server_kind* kind;
  key_route route;
  std::future<reply> health, models;
};

probe ask(http_transfers& http, const server_kind& kind, key_route route) {
  auto base = route.base_url;
  while (base.ends_with('/'))
    base.pop_back();
  auto health = *kind.health ? get(http, url_place(base) + kind.health, route) : std::future<reply>{};
  auto models = get(http, *kind.health ? url_place(base) + "/api/tags" : base + "/models", route);
  return {&kind, std::move(route), std::move(health), std::move(models)};
}

local_server answer(probe& q) {
  local_server out{q.kind->type, url_place(q.route.base_url), false, "", {}};
  auto models = q.models.get();
  auto health = q.health.valid() ? q.health.get() : models;
  // Whoever answers at all is there: what a refusal says, a call will say better.
  out.running = health.error.empty() && health.status > 0;
  if (models.status == 200)
    out.models = wire::model_names(models.body);
  if (!out.running)
    out.trouble = std::string{"no "} + q.kind->name + " answers at " + out.place + ": start it (" + q.kind->start
                  + "), or name another place by base_url" + (out.type == "ollama" ? " or OLLAMA_HOST" : "");
  return out;
}

} // namespace

std::vector<local_server> ask_local_servers(const std::string& type, const lookup& env, const source_lookup& sources,
                                            outside& world) {
  auto http = world.open_http({});
  std::vector<probe> asked;
  std::vector<local_server> out;
  for (const auto& k : kinds)
    if (type.empty() || type == k.type) {
      backend_config b;
      b.type = k.type;
      if (auto route = route_key(b, env, sources); route.code == ec::none)
        asked.push_back(ask(*http, k, std::move(route)));
      else
        out.push_back({k.type, "", false, route.error, {}});
    }
  for (auto& q : asked)
    out.push_back(answer(q));
  return out;
}

std::vector<problem> missing_servers(const run_config& c, const lookup& env, const source_lookup& sources, outside& world) {
  std::map<std::string, std::pair<probe, std::vector<std::size_t>>> asked; // by address
  std::shared_ptr<http_transfers> http;
  for (std::size_t i = 0; i < c.agents.size(); ++i) {
    const auto& b = c.agents[i].backend;
    const auto* kind = kind_of(b);
    if (kind == nullptr || !c.agents[i].node.empty())
      continue;
    auto route = route_key(b, env, sources);
    if (route.code != ec::none || !is_loopback_host(url_host(route.base_url)) || !route.home.empty())
      continue; // said elsewhere; another machine; a stand-in
    auto address = route.base_url;
    if (http == nullptr)
      http = world.open_http({});
    if (!asked.contains(address))
      asked.emplace(address, std::pair{ask(*http, *kind, std::move(route)), std::vector<std::size_t>{}});
    asked.at(address).second.push_back(i);
  }
  std::vector<problem> out;
  for (auto& [address, one] : asked) {
    auto server = answer(one.first);
    for (auto i : one.second) {
      const auto& model = c.agents[i].backend.model;
      auto text = server.trouble;
      auto has = std::any_of(server.models.begin(), server.models.end(),
                             [&](const std::string& name) { return name == model || name == model + ":latest"; });
      if (server.running && !server.models.empty() && !has)
        text = std::string{one.first.kind->name} + " at " + server.place + " does not have the model '" + shown_text(model, 100)
               + "'"
               + (*one.first.kind->fetch ? std::string{"; get it: "} + one.first.kind->fetch + " " + shown_text(model, 100) : "")
               + "; it has " + shown_text(server.models.front(), 100)
               + (server.models.size() > 1 ? " and " + std::to_string(server.models.size() - 1) + " more" : "");
      if (text.empty())
        continue;
      auto at = place_of(c.places, "agents[" + std::to_string(i) + "].backend");
      out.push_back({severity::warning, c.source, at.line, at.path, text, !server.running, at.column});
    }
  }
  return out;
}

} // namespace conclave
