// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/hosted_tools.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_url.hpp"

#include <algorithm>
#include <array>

// Sources, read 2026-11-26: types Tool of npm openai 7.57.0 and ToolUnion of @anthropic-ai/sdk 1.12.0, Tool of @google/genai 3.1.0.
// The rows of OpenRouter, Groq, xAI, Qwen and Z.ai are as other clients send them; their makers' pages (guides on server tools,
// built-in tools and web search) were not at hand, and no server of theirs has been asked.

namespace conclave::wire {

namespace {

constexpr std::int64_t max_uses = 1'000'000; ///< more are not counted on

constexpr const char* charged_later = "what its provider charges for each use is counted against `usd` once it is reported, not "
                                      "before: a call may cost more than the budget has left";

enum class tool : std::uint8_t { search, code, fetch };

struct tool_key {
  tool which;
  const char* key;
  std::string hosted_tools::*options;
  const char* name; ///< in backend_config::hosted_tools
};
constexpr tool_key keys[] = {{tool::search, "enable_web_search", &hosted_tools::search, "web_search"},
                             {tool::code, "enable_code_execution", &hosted_tools::code, "code_execution"},
                             {tool::fetch, "enable_url_context", &hosted_tools::fetch, "url_context"}};

bool any(std::string_view) {
  return true;
}

/// Claude models that came before the tools of 2026.
bool is_newer_claude(std::string_view model) {
  for (std::string_view old :
       {"claude-1", "claude-2", "claude-3", "claude-instant", "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2",
        "claude-opus-4-5", "claude-sonnet-4-0", "claude-sonnet-4-2", "claude-sonnet-4-5", "claude-haiku-4-5"})
    if (model.starts_with(old))
      return false;
  return model.starts_with("claude-");
}

bool is_search_model(std::string_view model) {
  return model.find("search") != std::string_view::npos;
}

struct form {
  const char* dialect;
  const char* host; ///< whole labels at its end; "" = any
  bool (*fits)(std::string_view model);
  tool which;
  const char* body;    ///< merged into the request: lists are joined, ours in front
  const char* options; ///< where those of the configuration go, as a JSON pointer
};

/// The first that fits counts.
constexpr std::array<form, 21> forms = {{
    {"openai_responses", "", any, tool::search, R"({"tools":[{"type":"web_search"}]})", "/tools/0"},
    {"openai_responses", "x.ai", any, tool::code, R"({"tools":[{"type":"code_interpreter"}]})", "/tools/0"},
    {"openai_responses", "", any, tool::code, R"({"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]})", "/tools/0"},
    {"anthropic", "", is_newer_claude, tool::search, R"({"tools":[{"type":"web_search_20260318","name":"web_search"}]})",
     "/tools/0"},
    {"anthropic", "", any, tool::search, R"({"tools":[{"type":"web_search_20250305","name":"web_search"}]})", "/tools/0"},
    {"anthropic", "", is_newer_claude, tool::code, R"({"tools":[{"type":"code_execution_20260521","name":"code_execution"}]})",
     "/tools/0"},
    {"anthropic", "", any, tool::code,
     R"({"tools":[{"type":"code_execution_20250825","name":"code_execution"}],"betas":["code-execution-2025-08-25"]})", "/tools/0"},
    {"anthropic", "", is_newer_claude, tool::fetch, R"({"tools":[{"type":"web_fetch_20260318","name":"web_fetch"}]})", "/tools/0"},
    {"anthropic", "", any, tool::fetch,
     R"({"tools":[{"type":"web_fetch_20250910","name":"web_fetch"}],"betas":["web-fetch-2025-09-10"]})", "/tools/0"},
    {"gemini", "", any, tool::search, R"({"tools":[{"googleSearch":{}}]})", "/tools/0/googleSearch"},
    {"gemini", "", any, tool::code, R"({"tools":[{"codeExecution":{}}]})", "/tools/0/codeExecution"},
    {"gemini", "", any, tool::fetch, R"({"tools":[{"urlContext":{}}]})", "/tools/0/urlContext"},
    {"openai_chat", "openrouter.ai", any, tool::search, R"({"tools":[{"type":"openrouter:web_search"}]})", "/tools/0/parameters"},
    {"openai_chat", "openrouter.ai", any, tool::fetch, R"({"tools":[{"type":"openrouter:web_fetch"}]})", "/tools/0/parameters"},
    {"openai_chat", "groq.com", any, tool::search, R"({"tools":[{"type":"browser_search"}]})", "/tools/0"},
    {"openai_chat", "groq.com", any, tool::code, R"({"tools":[{"type":"code_interpreter"}]})", "/tools/0"},
    {"openai_chat", "aliyuncs.com", any, tool::search, R"({"enable_search":true})", "/search_options"},
    {"openai_chat", "aliyuncs.com", any, tool::code, R"({"enable_code_interpreter":true})", ""},
    {"openai_chat", "z.ai", any, tool::search, R"({"tools":[{"type":"web_search","web_search":{"enable":true}}]})",
     "/tools/0/web_search"},
    {"openai_chat", "bigmodel.cn", any, tool::search, R"({"tools":[{"type":"web_search","web_search":{"enable":true}}]})",
     "/tools/0/web_search"},
    {"openai_chat", "openai.com", is_search_model, tool::search, R"({"web_search_options":{}})", "/web_search_options"},
}};

bool is_at(const std::string& host, std::string_view suffix) {
  return suffix.empty() || host == suffix || host.ends_with("." + std::string(suffix));
}

const form* find_form(tool which, std::string_view dialect, const std::string& base_url, const std::string& model) {
  auto host = url_host(base_url);
  for (auto& f : forms)
    if (f.which == which && f.dialect == dialect && is_at(host, f.host) && f.fits(model))
      return &f;
  return nullptr;
}

/// Joins lists, ours in front; of anything else what the user wrote stays.
void join_in_front(json& body, json part) {
  for (auto& [key, value] : part.items()) {
    auto& held = body[key];
    if (value.is_array() && held.is_array())
      held.insert(held.begin(), value.begin(), value.end());
    else if (held.is_null())
      held = std::move(value);
  }
}

/// OpenRouter's older form: a plugin, which always searches.
bool is_plugin(const form& f, const json& options) {
  return is_at("openrouter.ai", f.host) && *f.host != '\0' && options.contains("id");
}

bool is_of_xai(const backend_config& b, const std::string& base_url) {
  return b.type == "grok" || is_at(url_host(base_url), "x.ai");
}

} // namespace

hosted_tools hosted_of(const backend_config& b) {
  hosted_tools out;
  for (auto& key : keys)
    if (auto found = b.hosted_tools.find(key.name); found != b.hosted_tools.end())
      out.*(key.options) = found->second;
  return out;
}

bool is_gemini_before_3(const std::string& model) {
  auto name = std::string_view(model).substr(model.rfind('/') + 1);
  for (std::string_view old : {"gemini-1", "gemini-2", "gemini-exp", "gemma-", "learnlm-"})
    if (name.starts_with(old))
      return true;
  return false;
}

void add_hosted_tools(json& body, std::string_view dialect, const endpoint& to, const std::string& model) {
  for (auto key = std::rbegin(keys); key != std::rend(keys); ++key) { // each in front of the last
    auto& given = to.hosted.*(key->options);
    auto* f = given.empty() ? nullptr : find_form(key->which, dialect, home_of(to), model);
    if (f == nullptr)
      continue;
    auto part = parse(f->body).value_or(json::object());
    auto options = parse(given).value_or(json::object());
    if (is_plugin(*f, options))
      part = {{"plugins", json::array({std::move(options)})}};
    else if (options.is_object() && !options.empty())
      if (auto& at = part[json::json_pointer(f->options)]; at.is_null() || at.is_object())
        at.update(options);
    join_in_front(body, std::move(part));
  }
}

std::string dialect_of(const backend_config& b, const std::string& base_url) {
  const auto* kind = find_backend_kind(b.type);
  std::string own = kind == nullptr ? "" : kind->dialect;
  // Its chat API answers `search_parameters` with 410, as its users tell.
  if (own == "openai_chat" && is_of_xai(b, base_url)
      && (b.hosted_tools.contains("web_search") || b.hosted_tools.contains("code_execution")))
    return "openai_responses";
  return own;
}

namespace {

/// Whether every request to this model is searched for, at a fee. Source: https://openrouter.ai/docs/features/web-search, read
/// 2026-11-27 (`:online`, also behind `:free`; models with a search of their own).
bool always_searches(const std::string& host, std::string_view model) {
  auto routed = is_at(host, "openrouter.ai");
  return (routed && (model.ends_with(":online") || model.starts_with("perplexity/"))) || is_at(host, "perplexity.ai")
         || ((routed || is_at(host, "openai.com")) && model.find("-search-") != std::string_view::npos);
}

/// What a request asks for in the provider's own words, without a key of ours.
std::vector<std::string> asked_in_own_words(const backend_config& b, const std::string& base_url) {
  std::vector<std::string> out;
  if (always_searches(url_host(base_url), b.model))
    out.push_back("model");
  auto asks = [](const json& v) {
    if (v.is_array())
      return std::any_of(v.begin(), v.end(),
                         [](auto& x) { return !x.is_object() || x.value("enabled", json(true)) != json(false); });
    return v.is_object() || v == json(true);
  };
  for (const auto& [text, at] : {std::pair{&b.params, ""}, std::pair{&b.extra_body, "extra_body."}}) {
    auto body = parse(*text).value_or(json::object());
    for (const auto* key : {"web_search_options", "plugins", "enable_search", "enable_code_interpreter", "search_options", "tools"})
      if (auto* v = body.is_object() ? member(body, key) : nullptr; v != nullptr && asks(*v))
        out.push_back(at + std::string(key));
  }
  return out;
}

} // namespace

hosted_bound hosted_uses(const backend_config& b) {
  hosted_bound out;
  auto base_url = base_url_of(b);
  auto dialect = dialect_of(b, base_url);
  auto bound_in = [](const std::string& object, const char* name) {
    auto v = parse(object).value_or(json());
    auto* n = v.is_object() ? member(v, name) : nullptr;
    return n != nullptr && n->is_number_integer() ? n->get<std::int64_t>() : -1;
  };
  // Of all such tools together: https://developers.openai.com/api/docs/api-reference/responses, read 2026-11-26.
  auto in_all =
      dialect == "openai_responses" ? std::max(bound_in(b.params, "max_tool_calls"), bound_in(b.extra_body, "max_tool_calls")) : -1;
  for (auto& key : keys) {
    auto given = b.hosted_tools.find(key.name);
    if (given == b.hosted_tools.end() || find_form(key.which, dialect, base_url, b.model) == nullptr)
      continue;
    auto counts = dialect == "anthropic" && key.which != tool::code;
    if (auto most = counts ? bound_in(given->second, "max_uses") : in_all; most >= 0) {
      out.most = counts ? out.most + std::min<std::int64_t>(most, max_uses) : most;
      continue;
    }
    out.unbounded.push_back({key.key, std::string(charged_later)
                                          + (counts                          ? "; `max_uses` bounds it"
                                             : dialect == "openai_responses" ? "; `max_tool_calls` bounds it"
                                                                             : "")});
  }
  for (auto& key : asked_in_own_words(b, base_url))
    out.unbounded.push_back({key, charged_later});
  return out;
}

std::vector<hosted_fault> hosted_faults(const backend_config& b) {
  std::vector<hosted_fault> out;
  const auto* kind = find_backend_kind(b.type);
  if (kind == nullptr || !is_available(*kind))
    return out; // said
  auto base_url = base_url_of(b);
  auto dialect = dialect_of(b, base_url);
  auto asks = [&](const std::string& object, const char* name) { return parse(object).value_or(json()).contains(name); };
  if (is_of_xai(b, base_url) && (asks(b.params, "search_parameters") || asks(b.extra_body, "search_parameters")))
    out.push_back({asks(b.params, "search_parameters") ? "search_parameters" : "extra_body",
                   "xAI answers 410 to `search_parameters`; write `enable_web_search: true` instead"});
  for (auto& key : keys) {
    if (!b.hosted_tools.contains(key.name))
      continue;
    auto form = find_form(key.which, dialect, base_url, b.model);
    if (form == nullptr) {
      auto openai = dialect == "openai_chat" && is_at(url_host(base_url), "openai.com");
      out.push_back({key.key, std::string("nothing is known that asks this provider for it, so it is not asked for; ")
                                  + (openai ? "type 'openai' can" : "what its own API calls it can be written in extra_body")});
    } else if (dialect == "gemini" && is_gemini_before_3(b.model)) {
      out.push_back({key.key, "models before Gemini 3 take either this or functions: it is left out of every request that offers "
                              "functions (`new_answer`, `vote`, tools of servers) or wants JSON; with decision: text and no "
                              "servers, or a newer model, it is not"});
    }
  }
  return out;
}

} // namespace conclave::wire
