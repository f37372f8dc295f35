// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// One backend: what is ours goes to members, as their rows say, what is the provider's to `params`. Here are the rules between
// keys, and the keys that stand for several.

#include "app/load_config_parts.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <string_view>
#include <utility>

namespace conclave::loader {

namespace {

/// Writes the keys that go to the provider as one JSON object.
void read_parameters(const section& s, backend_config& out) {
  std::string json;
  auto append = [&](const std::string& key, const std::string& value) {
    json += (json.empty() ? "" : ",") + wire::quote(key) + ':' + value;
  };
  bool has_template = false;
  for (const auto* e : s.parameters()) {
    std::string error;
    auto node = *e->value;
    const auto* key = config_keys().find(key_scope::backend, e->key);
    if (key && (key->type == key_type::flag || key->type == key_type::integer || key->type == key_type::number))
      node.expanded = false; // `temperature: ${T}` is a number
    auto value = to_json(node, error);
    if (!error.empty())
      s.to().error(e->at, s.path(e->key), error);
    if (e->key == "separate_reasoning" && out.type != "sglang")
      continue; // warned about; vLLM refuses it
    if (e->key == "provider" && provider_of(out) != "openrouter")
      s.to().warning(e->at, s.path(e->key), "a map goes to the server as it is, as OpenRouter takes it; a text is a display name");
    has_template = has_template || e->key == "chat_template_kwargs";
    append(e->key, value);
  }
  bool thinking = false;
  auto own_server = out.type == "vllm" || out.type == "sglang" || out.type == "lmstudio" || out.type == "ollama";
  if (own_server && s.read("enable_thinking", thinking)) {
    if (has_template)
      s.error("enable_thinking", "not together with chat_template_kwargs; put it in there");
    else
      append("chat_template_kwargs", std::string{"{\"enable_thinking\":"} + (thinking ? "true" : "false") + "}");
  }
  if (!json.empty())
    out.params = "{" + json + "}";
}

/// What we set may be taken away from a request, for servers that refuse it; a request without messages is none.
void check_extra_body(const section& s) {
  const auto* body = s.map("extra_body");
  if (!body)
    return;
  for (const auto& e : body->items) {
    const auto* key = config_keys().find(key_scope::backend, e.key);
    auto taken_away = e.value->kind == tree::null && e.key != "messages";
    if (key && key->status == key_status::reserved && !taken_away)
      s.to().error(e.at, s.path("extra_body") + "." + shown_text(e.key), std::string{"cannot be set: "} + key->help);
  }
}

/// Replies beside the first would be paid for and not read. Gemini's name for them also stands in a mapping of its own.
void check_candidates(const section& s) {
  auto check = [&](const tree* in, const std::string& at, bool own) {
    if (in == nullptr || in->kind != tree::map)
      return;
    for (const auto& e : in->items)
      if ((e.key == "candidateCount" || (own && e.key == "candidate_count")) && e.value->kind != tree::null)
        s.to().error(e.at, at + "." + e.key, "cannot be set: one reply is read");
  };
  const auto* body = s.map("extra_body");
  check(body, s.path("extra_body"), false);
  for (const auto* name : {"generationConfig", "generation_config"}) {
    check(s.map(name), s.path(name), true);
    if (body != nullptr)
      check(body->find(name), s.path("extra_body") + "." + name, true);
  }
}

/// The provider refuses a smaller budget: told before the first call. Source: https://docs.anthropic.com/en/api/messages,
/// `thinking`.
void check_thinking(const section& s, const backend_config& out) {
  const auto* kind = find_backend_kind(out.type);
  const auto* thinking = s.get("thinking");
  if (!kind || std::string_view{kind->dialect} != "anthropic" || !thinking || thinking->value->kind != tree::map)
    return;
  const auto* budget = thinking->value->find("budget_tokens");
  std::int64_t tokens = 0;
  if (budget && to_integer(*budget, tokens) && tokens < 1024)
    s.to().error(budget->at, s.path("thinking") + ".budget_tokens", "must be at least 1024");
}

void read_azure(const section& s, backend_config& out) {
  if (out.type != "azure_openai")
    return;
  s.read("azure_endpoint", out.base_url);
  s.read("deployment_name", out.model);
}

/// Of two spellings of one thing one counts: a person is told which where they say different things, and faults of the value are
/// told by it.
void place_spellings(const section& s) {
  struct row {
    const char *ours, *other;
    bool other_counts;
  };
  for (const auto& [ours, other, other_counts] :
       {row{"base_url", "azure_endpoint", true}, row{"model", "deployment_name", true},
        row{"api_version", "anthropic_version", false}, row{"provider", "provider_name", false}}) {
    const auto *a = s.get(ours), *b = s.get(other);
    if (b != nullptr && (other_counts || a == nullptr))
      s.to().place(s.canonical(ours), s.path(other), s.at(other));
    if (a != nullptr && b != nullptr && a->value->text != b->value->text)
      s.warning(other_counts ? ours : other,
                std::string{"has no effect: `"} + (other_counts ? other : ours) + "` beside it says something else, and counts");
  }
}

void read_connection(const section& s, backend_config& out) {
  read_azure(s, out);
  for (const auto* name : {"base_url", "azure_endpoint"})
    if (const auto* url = s.get(name); url && (name != std::string_view{"azure_endpoint"} || out.type == "azure_openai"))
      out.base_url_source = url->value->source;
  std::int32_t port = 0;
  const auto* kind = find_backend_kind(out.type);
  if (s.read("port", port) && kind && *kind->default_key) {
    if (!out.base_url.empty())
      s.error("port", "not together with base_url; put the port in there");
    else
      out.base_url = "http://localhost:" + std::to_string(port) + "/v1";
  }
  if (out.type == "grok" && !out.base_url.empty() && url_host(out.base_url) != "api.x.ai" && out.api_key.empty()
      && out.api_key_env.empty())
    s.warning("base_url", "no key is bound to this host; name one by api_key or api_key_env");
}

/// A tool that the provider runs: true, false, or its options.
void read_hosted(const section& s, const char* key, const char* name, backend_config& out) {
  const auto* e = s.get(key);
  if (!e)
    return;
  s.to().place(s.canonical("enable_" + std::string{name}), s.path(key), e->at); // also of another spelling
  bool on = true;
  std::string options = "{}", error;
  if (e->value->kind == tree::map)
    options = to_json(*e->value, error);
  else if (!to_flag(*e->value, on))
    error = "expected true, false, or a map of options";
  if (!error.empty())
    s.error(key, error);
  else if (on)
    out.hosted_tools[name] = options;
  else
    out.hosted_tools.erase(name);
}

void read_script(const section& s, backend_config& out, const load_options& options) {
  const auto* script = s.get("script");
  const auto* steps = s.get("steps");
  if (script && steps)
    s.error("steps", "either script or steps, not both");
  else if (steps)
    out.script = read_steps(*steps->value, s.path("steps"), s.canonical("steps"), s.to());
  else if (s.read("script", out.script_path))
    out.script = read_script_file(out.script_path, s, options);
}

} // namespace

void read_backend(const section& s, backend_config& out, const load_options& options) {
  if (out.type == "local")
    out.max_tokens = 512;
  s.read_rows(out);
  s.below("rate_limits", key_scope::rate_limits).read_rows(out);
  read_workspace(s, out.workspace);
  out.has_allowed_tools = s.get("allowed_tools") != nullptr;
  read_connection(s, out);
  place_spellings(s);
  read_parameters(s, out);
  read_hosted(s, "enable_web_search", "web_search", out);
  read_hosted(s, "enable_code_interpreter", "code_execution", out);
  read_hosted(s, "enable_code_execution", "code_execution", out);
  read_hosted(s, "enable_url_context", "url_context", out);
  check_extra_body(s);
  check_candidates(s);
  check_thinking(s, out);
  if (out.type == "scripted")
    read_script(s, out, options);
  read_servers(s, out);
  read_file_tools(s, out);
  const auto* kind = find_backend_kind(out.type);
  if (out.model.empty() && kind)
    out.model = kind->default_model;
}

} // namespace conclave::loader
