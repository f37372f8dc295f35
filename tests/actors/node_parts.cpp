// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.node_parts

// What a node makes of a configuration with its own variables, before anything is spawned.

#include "actors/node_parts.hpp"

#include "support/fixture.hpp"
#include "transports/home.hpp"

#include <map>

using namespace conclave;

CAF_TEST(a node expands keys and its own paths and nothing else) {
  const std::string value = "v";
  node_resources with;
  with.env = [&](const std::string& name) { return name == "NAME" ? &value : nullptr; };
  backend_config b;
  b.type = "local";
  b.model_path = "/${NAME}/m.gguf";
  b.server = "/${NAME}/server";
  auto local = resolve_backend(b, with);
  CAF_CHECK_EQUAL(local.model_path, "/v/m.gguf");
  CAF_CHECK_EQUAL(local.server, "/v/server");
  b.model_path = "/${NONE}";
  CAF_CHECK(resolve_backend(b, with).code == ec::bad_config);
  b.model_path = "~/m.gguf";
  b.server = "~/bin/server";
  CAF_CHECK_EQUAL(resolve_backend(b, with).model_path, user_home() + "/m.gguf");
  CAF_CHECK_EQUAL(resolve_backend(b, with).server, user_home() + "/bin/server");
  b.model_path = "~somebody/m.gguf";
  CAF_CHECK(resolve_backend(b, with).error.find("'~somebody'") == 0);
  b = {};
  b.type = "chatcompletion";
  b.model = "m";
  b.base_url = "http://127.0.0.1:1/${NAME}";
  b.api_key = "k-${NAME}";
  auto http = resolve_backend(b, with);
  CAF_CHECK_EQUAL(http.parts.endpoint.api_key, "k-v");
  CAF_CHECK_EQUAL(http.parts.endpoint.base_url, b.base_url); // expanded when the file was loaded
}

CAF_TEST(a missing key is named with the provider of its host and all its variables) {
  const std::string blank = " \n";
  node_resources with;
  with.env = [&](const std::string& name) { return name == "GROQ_API_KEY" ? &blank : nullptr; };
  auto tried = [&](const std::string& type, const std::string& url, const std::string& key_env = "", const std::string& key = "") {
    backend_config b;
    b.type = type;
    b.model = "m";
    b.base_url = url;
    b.api_key_env = key_env;
    b.api_key = key;
    return resolve_backend(b, with);
  };
  const std::string places = " in the environment, in ./.env or in ~/.config/conclave/.env";
  CAF_CHECK_EQUAL(tried("chatcompletion", "https://api.groq.com/openai/v1").error, "Groq: no key: set GROQ_API_KEY" + places);
  CAF_CHECK_EQUAL(tried("chatcompletion", "https://api.moonshot.cn/v1").error,
                  "Kimi: no key: set MOONSHOT_API_KEY or KIMI_API_KEY" + places);
  CAF_CHECK_EQUAL(tried("chatcompletion", "").error, "OpenAI: no key: set OPENAI_API_KEY" + places);
  CAF_CHECK_EQUAL(tried("claude", "").error, "Claude: no key: set ANTHROPIC_API_KEY" + places);
  CAF_CHECK_EQUAL(tried("claude", "https://api.z.ai/api/anthropic").error, "ZAI: no key: set ZAI_API_KEY" + places);
  CAF_CHECK_EQUAL(tried("chatcompletion", "https://evil-groq.com/v1", "K").error, "ChatCompletion: no key: set K" + places);
  CAF_CHECK_EQUAL(tried("chatcompletion", "https://x.openai.azure.com/v1", "", "${K}").error,
                  "Azure OpenAI: no key: set K" + places);
  CAF_CHECK_EQUAL(tried("chatcompletion", "https://llm.example/v1").parts.endpoint.provider, "ChatCompletion");
  CAF_CHECK_EQUAL(tried("vllm", "https://api.groq.com/openai/v1").parts.endpoint.provider, "vLLM"); // the user's own word
}

CAF_TEST(connections that differ in anything are not shared) {
  const std::string key = "k1", other = "k2";
  node_resources with;
  bool second = false;
  with.env = [&](const std::string& name) { return name == "K" ? (second ? &other : &key) : nullptr; };
  backend_config b;
  b.type = "chatcompletion";
  b.model = "m";
  b.base_url = "http://127.0.0.1:1/v1";
  b.api_key = "${K}";
  auto of = [&](const backend_config& x) -> connection_parts { return resolve_backend(x, with); };
  auto one = of(b);
  CAF_CHECK(one == of(b));
  auto differs = [&](auto change) {
    auto x = b;
    change(x);
    auto r = resolve_backend(x, with);
    CAF_REQUIRE_EQUAL(r.error, "");
    return !(one == r);
  };
  CAF_CHECK(differs([](auto& x) { x.context_tokens = 4096; }));
  CAF_CHECK(differs([](auto& x) { x.http2 = true; }));
  CAF_CHECK(differs([](auto& x) { x.base_url += "/x"; }));
  CAF_CHECK(differs([](auto& x) { x.api_key = "k3-literal"; }));
  CAF_CHECK(differs([](auto& x) { x.provider = "Mine"; }));
  CAF_CHECK(differs([](auto& x) { x.decision = "text"; }));
  CAF_CHECK(differs([](auto& x) { x.decision = "tools"; })); // fixed, where "auto" may step down
  CAF_CHECK(differs([](auto& x) { x.extra_body = "{\"a\":1}"; }));
  CAF_CHECK(differs([](auto& x) { x.extra_headers["a"] = "b"; }));
  CAF_CHECK(differs([](auto& x) { x.extra_query["a"] = "b"; }));
  CAF_CHECK(differs([](auto& x) { x.type = "vllm"; }));
  CAF_CHECK(!differs([](auto& x) { x.model = "another"; })); // the model is said with each call
  second = true;
  CAF_CHECK(!(one == of(b)));
  // Authorities are equal by what they say, not by when they were read.
  backend_parts p, q;
  p.trust = std::make_shared<const tls_trust>(tls_trust{"f", "pem", ""});
  q.trust = std::make_shared<const tls_trust>(tls_trust{"f", "pem", ""});
  CAF_CHECK(p == q);
  q.trust = std::make_shared<const tls_trust>(tls_trust{"f", "newer", ""});
  CAF_CHECK(!(p == q));
  q.trust = {};
  CAF_CHECK(!(p == q));
}

CAF_TEST(connections with one key at one host have one gate however else they differ) {
  node_resources with;
  with.env = [](const std::string&) -> const std::string* { return nullptr; };
  backend_config b;
  b.type = "chatcompletion";
  b.model = "m";
  b.base_url = "https://api.example/v1";
  b.api_key = "k1";
  auto gate = [&](const backend_config& x) {
    auto c = resolve_backend(x, with);
    CAF_REQUIRE_EQUAL(c.error, "");
    return std::pair{c.gate.place, c.gate.key};
  };
  auto same = [&](auto change) {
    auto x = b;
    change(x);
    return gate(b) == gate(x);
  };
  CAF_CHECK(same([](auto& x) { x.decision = "text"; }));
  CAF_CHECK(same([](auto& x) { x.extra_body = "{\"a\":1}"; }));
  CAF_CHECK(same([](auto& x) { x.extra_headers["X-Team"] = "b"; }));
  CAF_CHECK(same([](auto& x) { x.extra_query["a"] = "b"; }));
  CAF_CHECK(same([](auto& x) { x.http2 = true; }));
  CAF_CHECK(same([](auto& x) { x.provider = "Mine"; }));
  CAF_CHECK(same([](auto& x) { x.context_tokens = 4096; }));
  CAF_CHECK(same([](auto& x) { x.model = "another"; }));
  CAF_CHECK(same([](auto& x) { x.type = "claude"; }));
  CAF_CHECK(same([](auto& x) { x.rpm = 5; }));
  CAF_CHECK(same([](auto& x) { x.base_url = "HTTPS://API.example:443/v1/x?y=z"; }));
  CAF_CHECK(!same([](auto& x) { x.api_key = "k2"; }));
  CAF_CHECK(!same([](auto& x) { x.base_url = "https://api.example:8443/v1"; }));
  CAF_CHECK(!same([](auto& x) { x.base_url = "https://other.example/v1"; }));
  CAF_CHECK(!same([](auto& x) { x.extra_headers["Authorization"] = "Bearer k3"; })); // goes instead of the key
  // One host may stand for several providers, and is sent one placeholder for all their keys.
  const std::string elsewhere = "http://127.0.0.1:9/v1";
  with.env = [&](const std::string& name) { return name.starts_with("CONCLAVE_BASE_URL_") ? &elsewhere : nullptr; };
  CAF_CHECK(same([](auto& x) { x.model = "another"; }));
  CAF_CHECK(!same([](auto& x) { x.base_url = "https://other.example/v1"; }));
  CAF_CHECK(gate(b).first.starts_with("http://127.0.0.1:9"));
  b.type = "local";
  CAF_CHECK(resolve_backend(b, with).gate.place.empty()); // a server of its own
}

CAF_TEST(what is secret of an agent is known and what is not stays readable) {
  const std::map<std::string, std::string> vars = {
      {"MY_TOKEN", "tok-of-a-variable"}, {"PROJECT", "conclave-demo"}, {"PLAIN", "b7Q2x9Lm4Zp8Rt1Vw6"}};
  node_resources with;
  with.env = [&](const std::string& name) {
    auto i = vars.find(name);
    return i == vars.end() ? nullptr : &i->second;
  };
  spawn_agent order;
  auto& b = order.agent.backend;
  b.type = "chatcompletion";
  b.base_url = "http://127.0.0.1:1/v1?api_key=key-of-the-query";
  b.api_key = "literal-key-in-the-file";
  b.extra_headers = {{"X-Auth", "auth-of-a-header"}, {"X-Project", "${PROJECT}"}};
  mcp_server_config m;
  m.command = {"server",
               "--api-key",
               "key-of-an-option",
               "--token=${MY_TOKEN}",
               "--project",
               "${PROJECT}",
               "-e",
               "SOME_KEY=key-of-a-container",
               "--header=Authorization: Bearer bearer-of-a-header",
               "https://me:password-of-a-url@host/x?access_token=key-in-an-argument"};
  m.env = {{"DB_PASSWORD", "password-of-the-server"},
           {"REGION", "eu-central-1"},
           {"TOKEN", "${NOT_SET}"},
           {"NOTION", "${PLAIN}"},
           {"MODE", "gpt-4o-mini-2024-07-18"}};
  b.mcp_servers = {m};
  auto known = secrets_of(b, resolve_backend(b, with), with);
  for (auto* secret : {"key-of-the-query", "literal-key-in-the-file", "auth-of-a-header", "key-of-an-option", "tok-of-a-variable",
                       "password-of-the-server", "key-of-a-container", "bearer-of-a-header", "password-of-a-url",
                       "key-in-an-argument", "b7Q2x9Lm4Zp8Rt1Vw6"}) {
    std::string text = secret;
    known.hide(text);
    CAF_CHECK_EQUAL(text, "***");
  }
  for (std::string plain : {"gpt-4o-mini-2024-07-18", "conclave-demo", "eu-central-1", "server", "127.0.0.1"}) {
    auto text = plain;
    known.hide(text);
    CAF_CHECK_EQUAL(text, plain);
  }
}

namespace {

tool_source_actor::behavior_type telling_tool() {
  return {
      [](list_tools) -> caf::result<tool_list> {
        return tool_list{"tool tells", {{{"tells", "", "{}"}, {}}}, {}};
      },
      [](const tool_invocation& i) -> caf::result<tool_result> {
        return tool_result{i.call.id, "it is sk-planted-1234", false};
      },
      [](const cancel_tools&) {},
  };
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(node_tools_tests, conclave::test::fixture)

CAF_TEST(a native tool tells the model no secret of its node) {
  node_resources with;
  with.tools["tells"] = [](caf::actor_system& s, const workspace_actor&) { return s.spawn(telling_tool); };
  secrets keys;
  keys.add_key("sk-planted-1234");
  auto hidden = std::make_shared<known_secrets>(secrets{});
  hidden->add(keys);
  auto tools = spawn_tools(sys, {}, with, {}, hidden, {});
  CAF_REQUIRE_EQUAL(tools.size(), 1u);
  std::string got;
  auto caller = sys.spawn([&](caf::event_based_actor* me) {
    tool_invocation i;
    i.call = {"c1", "tells", "{}"};
    me->request(tools[0].actor, caf::infinite, i).then([&](const tool_result& r) { got = r.text; });
  });
  settle();
  CAF_CHECK_EQUAL(got, "it is ***");
  kill(caller);
  kill(tools[0].actor);
}

CAF_TEST_FIXTURE_SCOPE_END()
