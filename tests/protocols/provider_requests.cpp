// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What one provider is sent and another is not: addresses of Azure, tools of the provider's own, marks for its cache.

#define CAF_SUITE protocols.provider_requests

#include "caf/test/unit_test.hpp"
#include "support/requests.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

/// Where the list that begins behind `at` ends.
std::size_t end_of_list(const std::string& text, std::size_t at) {
  int depth = 0;
  bool quoted = false;
  for (at = text.find('[', at); at < text.size(); ++at) {
    if (quoted && text[at] == '\\')
      ++at;
    else if (text[at] == '"')
      quoted = !quoted;
    else if (!quoted && text[at] == '[')
      ++depth;
    else if (!quoted && text[at] == ']' && --depth == 0)
      return at;
  }
  return std::string::npos;
}

} // namespace

CAF_TEST(the addresses of a deployment of Azure) {
  struct {
    const char *base, *version, *url;
  } table[] = {
      {"https://x.openai.azure.com", "2024-10-21",
       "https://x.openai.azure.com/openai/deployments/my%20own%2Fgpt/chat/completions?api-version=2024-10-21"},
      {"https://x.openai.azure.com/", "",
       "https://x.openai.azure.com/openai/deployments/my%20own%2Fgpt/chat/completions?api-version=2024-12-01-preview"},
      {"https://x.openai.azure.com/openai/", "2024-10-21",
       "https://x.openai.azure.com/openai/deployments/my%20own%2Fgpt/chat/completions?api-version=2024-10-21"},
      {"https://x.openai.azure.com/openai/v1/", "", "https://x.openai.azure.com/openai/v1/chat/completions"},
      {"https://x.openai.azure.com/openai/v1", "2024-10-21", "https://x.openai.azure.com/openai/v1/chat/completions"},
      {"https://x.openai.azure.com/openai/v1/chat/completions", "", "https://x.openai.azure.com/openai/v1/chat/completions"},
      {"https://x.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview", "",
       "https://x.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"},
      {"https://x.services.ai.azure.com/models", "2024-05-01-preview",
       "https://x.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"},
      {"https://gateway.example/chat/completions", "2024-10-21", "https://gateway.example/chat/completions?api-version=2024-10-21"},
      {"https://x.openai.azure.com/openai/v1/responses", "v1", "https://x.openai.azure.com/openai/v1/chat/completions"},
      {"https://x.openai.azure.com", "v1", "https://x.openai.azure.com/openai/v1/chat/completions"},
      {"https://x.openai.azure.com", "preview", "https://x.openai.azure.com/openai/v1/chat/completions?api-version=preview"},
      {"https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2023-05-15", "2024-10-21",
       "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2023-05-15"},
      {"https://gateway.example/team?a=1", "2024-10-21",
       "https://gateway.example/team/openai/deployments/my%20own%2Fgpt/chat/completions?a=1&api-version=2024-10-21"}};
  auto r = plain();
  r.model = "my own/gpt";
  for (auto& t : table) {
    wire::endpoint to{t.base, "k", "", t.version, "", {}, {}, false, false};
    auto http = encode("azure_openai", r, to);
    CAF_CHECK_EQUAL(http.url, t.url);
    CAF_CHECK_EQUAL(header(http, "api-key") + header(http, "Authorization"), "k");
    CAF_CHECK_EQUAL(json::parse(http.body).value("model", ""), "my own/gpt");
  }
  wire::endpoint to{"https://x.openai.azure.com", "k",   "",   "", "", {{"Authorization", "Bearer entra"}},
                    {{"api-version", "x"}},       false, false};
  auto http = encode("azure_openai", r, to);
  CAF_CHECK_EQUAL(header(http, "api-key") + header(http, "Authorization"), "Bearer entra");
  CAF_CHECK(http.url.ends_with("?api-version=x"));
}

CAF_TEST(every API is asked for its own tools in its own form) {
  auto asked = [](const char* dialect, const std::string& url, const std::string& model, wire::hosted_tools hosted,
                  bool functions) {
    auto r = plain();
    r.model = model;
    if (functions)
      r.tools = {{"f", "x", "{}"}};
    wire::endpoint to{url, "", "", "", "", {}, {}, false, false};
    to.hosted = std::move(hosted);
    auto http = encode(dialect, r, to);
    to.home = std::exchange(to.base_url, "http://127.0.0.1:1/v1");
    CAF_CHECK_EQUAL(encode(dialect, r, to).body, http.body); // wherever the bytes go
    auto body = json::parse(http.body);
    auto out = json::object();
    for (auto* key : {"tools", "plugins", "enable_search", "search_options", "web_search_options", "toolConfig"})
      if (body.contains(key))
        out[key] = body[key];
    if (out.contains("tools"))
      for (auto& t : out["tools"])
        if (t.contains("functionDeclarations") || t.contains("function") || t.value("name", "") == "f")
          t = "f";
    if (!header(http, "anthropic-beta").empty())
      out["beta"] = header(http, "anthropic-beta");
    return out.dump();
  };
  const std::string any = "https://h/v1";
  const wire::hosted_tools search{"{}", "", ""}, both{"{}", "{}", ""}, all{"{}", "{}", "{}"};
  CAF_CHECK_EQUAL(asked("openai_responses", any, "m", both, true),
                  R"({"tools":[{"type":"web_search"},{"container":{"type":"auto"},"type":"code_interpreter"},"f"]})");
  CAF_CHECK_EQUAL(asked("openai_responses", "https://api.x.ai/v1", "grok-4", both, false),
                  R"({"tools":[{"type":"web_search"},{"type":"code_interpreter"}]})");
  CAF_CHECK_EQUAL(asked("openai_responses", any, "m", {R"({"type":"x_search","a":1})", R"({"container":"c"})", ""}, false),
                  R"({"tools":[{"a":1,"type":"x_search"},{"container":"c","type":"code_interpreter"}]})");
  CAF_CHECK_EQUAL(asked("anthropic", any, "claude-opus-5-5", {R"({"max_uses":3})", "", "{}"}, true),
                  R"({"tools":[{"max_uses":3,"name":"web_search","type":"web_search_20260318"},)"
                  R"({"name":"web_fetch","type":"web_fetch_20260318"},"f"]})");
  CAF_CHECK_EQUAL(asked("anthropic", any, "claude-sonnet-4-5-20250929", both, true),
                  R"({"beta":"code-execution-2025-08-25","tools":[{"name":"web_search","type":"web_search_20250305"},)"
                  R"({"name":"code_execution","type":"code_execution_20250825"},"f"]})");
  CAF_CHECK_EQUAL(asked("gemini", any, "gemini-3.1-pro", all, true),
                  R"({"toolConfig":{"includeServerSideToolInvocations":true},"tools":[{"googleSearch":{}},{"codeExecution":{}},)"
                  R"({"urlContext":{}},"f"]})");
  CAF_CHECK_EQUAL(asked("gemini", any, "gemini-2.5-flash", search, true), R"({"tools":["f"]})");
  CAF_CHECK_EQUAL(asked("gemini", any, "gemini-2.5-flash", search, false), R"({"tools":[{"googleSearch":{}}]})");
  CAF_CHECK_EQUAL(asked("openai_chat", "https://openrouter.ai/api/v1", "m", {R"({"max_results":2})", "", ""}, true),
                  R"({"tools":[{"parameters":{"max_results":2},"type":"openrouter:web_search"},"f"]})");
  CAF_CHECK_EQUAL(asked("openai_chat", "https://openrouter.ai/api/v1", "m", {R"({"id":"web","max_results":2})", "", ""}, false),
                  R"({"plugins":[{"id":"web","max_results":2}]})");
  CAF_CHECK_EQUAL(asked("openai_chat", "https://api.groq.com/openai/v1", "openai/gpt-oss-20b", both, false),
                  R"({"tools":[{"type":"browser_search"},{"type":"code_interpreter"}]})");
  CAF_CHECK_EQUAL(asked("openai_chat", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "m",
                        {R"({"forced_search":true})", "", ""}, false),
                  R"({"enable_search":true,"search_options":{"forced_search":true}})");
  CAF_CHECK_EQUAL(asked("openai_chat", "https://api.z.ai/api/paas/v4", "m", {R"({"count":5})", "", ""}, false),
                  R"({"tools":[{"type":"web_search","web_search":{"count":5,"enable":true}}]})");
  CAF_CHECK_EQUAL(asked("openai_chat", "https://api.openai.com/v1", "gpt-5-search-api", search, false),
                  R"({"web_search_options":{}})");
  for (auto* nobody :
       {"https://api.openai.com/v1", "https://fakegroq.com/v1", "https://api.cerebras.ai/v1", "http://127.0.0.1:1/v1"})
    CAF_CHECK_EQUAL(asked("openai_chat", nobody, "m", all, false), "{}");
}

CAF_TEST(a key of the cache is the same for one agent in one task and says nothing of them) {
  auto r = plain();
  auto key_at = [&](const char* dialect, const std::string& url) {
    wire::endpoint to{url, "", "", "", "", {}, {}, false, false};
    auto body = encode(dialect, r, to).body;
    to.home = std::exchange(to.base_url, "http://127.0.0.1:1/v1");
    CAF_CHECK_EQUAL(encode(dialect, r, to).body, body); // wherever the bytes go
    return json::parse(body).value("prompt_cache_key", "");
  };
  const std::string home = "https://api.openai.com/v1";
  CAF_CHECK_EQUAL(key_at("openai_responses", home), ""); // no task, no key
  r.task = "t1";
  auto key = key_at("openai_responses", home);
  CAF_CHECK_EQUAL(key.size(), 16u);
  CAF_CHECK_EQUAL(key_at("openai_chat", home), key);
  CAF_CHECK_EQUAL(key_at("azure_openai", "https://x.openai.azure.com"), key);
  CAF_CHECK_EQUAL(key_at("openai_chat", base) + key_at("anthropic", home) + key_at("gemini", home), "");
  r.call = 7;
  r.messages.push_back(say(role::user, "more"));
  CAF_CHECK_EQUAL(key_at("openai_responses", home), key);
  r.task = "t2";
  CAF_CHECK(key_at("openai_responses", home) != key);
  r.task = "t1";
  r.agent = "another";
  CAF_CHECK(key_at("openai_responses", home) != key);
  r.params = R"({"prompt_cache_key":"mine"})";
  CAF_CHECK_EQUAL(key_at("openai_responses", home), "mine");
}

CAF_TEST(at most four places are marked for the cache of Anthropic and a server that refuses it has none) {
  auto r = tools();
  std::string error;
  auto marks = [&](const wire::endpoint& to, const wire::quirks& known) {
    auto body = wire::find_dialect("anthropic")->encode(r, to, known, error).body;
    int n = 0;
    for (auto at = body.find("\"cache_control\""); at != std::string::npos; at = body.find("\"cache_control\"", at + 1))
      ++n;
    return n;
  };
  wire::endpoint to{base, "", "", "", "", {}, {}, false, false};
  CAF_CHECK_EQUAL(marks(to, {}), 3);
  wire::quirks refused;
  refused.left_out.insert("cache_control");
  CAF_CHECK_EQUAL(marks(to, refused), 0);
  auto body = json::parse(wire::find_dialect("anthropic")->encode(r, to, refused, error).body);
  CAF_CHECK_EQUAL(body["system"], "Be brief.");
  r.params = R"({"cache_control":{"type":"ephemeral","ttl":"1h"}})";
  body = body_of("anthropic", r);
  CAF_CHECK_EQUAL(body["system"][0]["cache_control"]["ttl"], "1h");
  to.extra_body = R"({"cache_control":null})";
  CAF_CHECK_EQUAL(marks(to, {}), 0);
}

CAF_TEST(what was sent before is sent again byte for byte in front of what is new) {
  struct {
    const char *dialect, *list, *opaque_dialect;
    std::string opaque;
  } table[] = {
      {"openai_chat", "\"messages\":[", "openai_chat",
       R"({"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","x":1,"function":{"name":"f","arguments":"{}"}}]})"},
      {"anthropic", "\"messages\":[", "anthropic",
       R"([{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"tool_use","id":"c1","name":"f","input":{}}])"},
      {"openai_responses", "\"input\":[", "openai_responses",
       R"([{"type":"reasoning","id":"r","summary":[],"encrypted_content":"gAAA"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}])"},
      {"gemini", "\"contents\":[", "gemini",
       R"({"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]})"}};
  for (auto& t : table) {
    auto r = tools();
    r.task = "t1";
    std::vector<message> all = r.messages;
    all.push_back(asks("", {{"c1", "f", "{}"}}, t.opaque, t.opaque_dialect));
    all.push_back(answers("c1", "one"));
    all.push_back(asks("I look on.", {{"c2", "f", R"({"a":1})"}, {"c3", "g", "{}"}}));
    all.push_back(answers("c2", "two"));
    all.push_back(answers("c3", "Error: three", true));
    all.push_back(say(role::user, "Others answered, too."));
    all.push_back(asks("So be it.", {}));
    all.push_back(say(role::user, "Finish now."));
    std::string before;
    for (std::size_t n : {std::size_t{2}, std::size_t{4}, std::size_t{7}, std::size_t{8}, all.size()}) {
      r.messages.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
      auto body = encode(t.dialect, r).body;
      if (!before.empty()) {
        auto end = end_of_list(before, before.find(t.list));
        CAF_REQUIRE(end != std::string::npos);
        end = before.find_last_not_of("]}\"", end) + 1; // what follows may be joined to the last message
        CAF_CHECK_EQUAL(body.substr(0, end), before.substr(0, end));
      }
      before = body;
    }
  }
}

CAF_TEST(Gemini behind Chat Completions refused the calls of another provider and its tool was left out) {
  auto said = "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly. "
              "Additional data, function call `default_api:f`, position 2.";
  auto loop = [](const std::string& opaque) {
    auto r = plain();
    r.messages.push_back(asks("", {{"c1", "f", "{}"}}, opaque, "openai_chat"));
    r.messages.push_back(answers("c1", "done"));
    return r;
  };
  auto sent = [](const model_request& r, const wire::quirks& known) {
    std::string error;
    return json::parse(
        wire::find_dialect("openai_chat")->encode(r, {"http://h/v1", "", "", "", "", {}, {}, false, false}, known, error).body);
  };
  auto signature = [&](const model_request& r, const wire::quirks& known) {
    return sent(r, known)["messages"]
        .at(r.messages.size() - 2)["tool_calls"][0]["extra_content"]["google"]["thought_signature"]
        .dump();
  };
  const std::string own = R"({"tool_calls":[{"id":"c1","extra_content":{"google":{"thought_signature":"Ej"}}}]})";
  for (auto& opaque : {std::string{}, std::string{R"({"tool_calls":[{"id":"c1","extra_content":"odd"}]})"}}) {
    wire::quirks known;
    auto r = loop(opaque);
    CAF_CHECK(wire::learn(known, said, r, sent(r, known).dump()).find("carry the word") != std::string::npos);
    CAF_CHECK(known.signs_calls && known.dropped.empty());
    CAF_CHECK_EQUAL(signature(r, known), "\"skip_thought_signature_validator\"");
    CAF_CHECK_EQUAL(signature(loop(own), known), "\"Ej\"");
    CAF_CHECK_EQUAL(wire::learn(known, said, r, sent(r, known).dump()), ""); // once
  }
  wire::quirks known;
  CAF_CHECK_EQUAL(wire::learn(known, said, loop(own), sent(loop(own), known).dump()), ""); // nothing would be another
  CAF_CHECK(known == wire::quirks{});
}
