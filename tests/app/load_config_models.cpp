// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What the name of a model and the address beside it say.

#define CAF_SUITE app.load_config_models

#include "app/load_config.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/catalogue.hpp"
#include "tests/app/load_config_support.hpp"

using namespace conclave;

CAF_TEST(a model without a type is reached where it can be) {
  auto r = load("agents:\n  - backend: {model: o3-mini-high}\n  - backend: {model: gemini-2.5-pro}\n  - backend: {model: grok-4}\n"
                "  - backend: {model: gemini-2.5-pro, base_url: \"http://localhost:4000/v1\"}\n"
                "  - backend: {model: gemini-2.5-pro, base_url: \"https://generativelanguage.googleapis.com/v1beta/openai/\"}\n"
                "  - backend: {model: gemini-2.5-pro, base_url: \"https://generativelanguage.googleapis.com/v1\"}\n");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.type, "openai");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.model, "o3-mini");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.params, R"({"reasoning_effort":"high"})");
  CAF_CHECK_EQUAL(key_names(r.config.agents[1].backend), (strings{"GOOGLE_API_KEY", "GEMINI_API_KEY"}));
  CAF_CHECK_EQUAL(r.config.agents[1].backend.type, "gemini");
  CAF_CHECK_EQUAL(r.config.agents[2].backend.type, "grok");
  CAF_CHECK_EQUAL(r.config.agents[3].backend.type, "chatcompletion"); // a gateway, by its chat API
  CAF_CHECK_EQUAL(r.config.agents[4].backend.type, "chatcompletion");
  CAF_CHECK_EQUAL(r.config.agents[5].backend.type, "gemini");
  CAF_CHECK_EQUAL(where(load("agent: {backend: {model: mystery}}")), strings{"1 agent.backend.type"});
}

CAF_TEST(an effort in the name of a model was sent to OpenAI where the type is given) {
  auto read = [](const std::string& more) {
    auto r = load("agent: {backend: {type: openai, model: o3-mini-high" + more + "}}");
    auto& b = r.config.agents.at(0).backend;
    return b.model + " " + b.params;
  };
  CAF_CHECK_EQUAL(read(""), R"(o3-mini {"reasoning_effort":"high"})");
  CAF_CHECK_EQUAL(read(", base_url: \"https://api.openai.com/v1\""), R"(o3-mini {"reasoning_effort":"high"})");
  CAF_CHECK_EQUAL(read(", reasoning: {effort: low}"), R"(o3-mini {"reasoning":{"effort":"low"}})");
  CAF_CHECK_EQUAL(read(", base_url: \"https://gw.example/v1\""), "o3-mini-high "); // whatever is called so there
}

CAF_TEST(a map of OpenRouter named provider goes with the request) {
  auto read = [](const std::string& host, const std::string& provider) {
    return load("agent: {backend: {type: chatcompletion, model: m, base_url: \"https://" + host + "/v1\", provider: " + provider
                + "}}");
  };
  auto r = read("openrouter.ai/api", "{order: [a, b], allow_fallbacks: false}");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.params, R"({"provider":{"order":["a","b"],"allow_fallbacks":false}})");
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.provider, "");
  CAF_CHECK(says(read("gw.example", "{order: [a]}"), "goes to the server as it is"));
  r = read("openrouter.ai/api", "Router");
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.provider + r.config.agents.at(0).backend.params, "Router");
  CAF_CHECK(says(read("openrouter.ai/api", "[a]"), "expected text, found a list"));
}

CAF_TEST(a model of OpenAI behind a server of others is reached by the chat API) {
  auto type = [](const std::string& url) {
    return load("agent: {backend: {model: gpt-5, base_url: \"" + url + "\"}}").config.agents.at(0).backend.type;
  };
  CAF_CHECK_EQUAL(type("https://api.openai.com/v1"), "openai");
  CAF_CHECK_EQUAL(type("https://eu.api.openai.com/v1"), "openai");
  for (auto other : {"http://localhost:8080/v1", "https://openrouter.ai/api/v1", "https://x.openai.azure.com/openai/v1",
                     "https://notopenai.com/v1"})
    CAF_CHECK_EQUAL(type(other), "chatcompletion");
}
