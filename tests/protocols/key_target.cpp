// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.key_target

#include "caf/test/unit_test.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/key_route.hpp"

using namespace conclave;

namespace {

const std::string mock = "http://127.0.0.1:4010/v1";
const std::string process = process_source, project = project_source;

using variables = std::map<std::string, std::pair<std::string, std::string>>;

key_route route(const backend_config& b, const variables& vars) {
  lookup env = [&](const std::string& name) {
    auto i = vars.find(name);
    return i == vars.end() ? nullptr : &i->second.first;
  };
  source_lookup sources = [&](const std::string& name) { return vars.at(name).second; };
  return route_key(b, env, sources);
}

backend_config sent_to(const std::string& type, const std::string& target = mock) {
  backend_config b;
  b.type = type;
  b.model = "m";
  b.sent_to = target;
  return b;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const variables openai_key{{"OPENAI_API_KEY", {"sk-real", process}}};

} // namespace

CAF_TEST(the bytes go elsewhere and the key stays at home) {
  for (auto& [type, key, home] : {std::tuple{"openai", "OPENAI_API_KEY", "https://api.openai.com/v1"},
                                  {"claude", "ANTHROPIC_API_KEY", "https://api.anthropic.com"},
                                  {"gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta"},
                                  {"grok", "XAI_API_KEY", "https://api.x.ai/v1"},
                                  {"zai", "ZAI_API_KEY", "https://api.z.ai/api/paas/v4"}}) {
    auto r = route(sent_to(type), {{key, {"sk-real", process}}});
    CAF_CHECK_EQUAL(r.error, "");
    CAF_CHECK_EQUAL(r.base_url, mock);
    CAF_CHECK_EQUAL(r.home, home);
    CAF_CHECK_EQUAL(r.api_key, "conclave-placeholder-key");
    CAF_REQUIRE_EQUAL(r.notices.size(), 1u);
    CAF_CHECK(has(r.notices[0], std::string{"--base-url sends the calls of type "} + type));
    CAF_CHECK(has(r.notices[0], "with a placeholder for the key"));
    CAF_CHECK(r.withheld.empty());
  }
}

CAF_TEST(a variable does what the option does and the option wins) {
  auto b = sent_to("openai", "");
  auto vars = openai_key;
  vars["CONCLAVE_BASE_URL_OPENAI"] = {" \"" + mock + "/\" ", process};
  CAF_CHECK_EQUAL(route(b, vars).base_url, mock);
  CAF_CHECK_EQUAL(route(b, vars).home, "https://api.openai.com/v1");
  b.sent_to = "http://127.0.0.1:1/v1";
  CAF_CHECK_EQUAL(route(b, vars).base_url, "http://127.0.0.1:1/v1");
  CAF_CHECK_EQUAL(
      route(sent_to("claude", ""), {{"CONCLAVE_BASE_URL_OPENAI", {mock, process}}, {"ANTHROPIC_API_KEY", {"k", process}}}).home,
      "");
  CAF_CHECK_EQUAL(target_variable("azure_openai"), "CONCLAVE_BASE_URL_AZURE_OPENAI");
}

CAF_TEST(a redirected call needs no key) {
  CAF_CHECK_EQUAL(route(sent_to("openai"), {}).error, "");
  auto b = sent_to("chatcompletion");
  b.api_key = "${MISSING}";
  CAF_CHECK_EQUAL(route(b, {}).error, "");
  CAF_CHECK_EQUAL(route(sent_to("vllm"), {{"VLLM_API_KEY", {"sk-real", process}}}).api_key, "EMPTY");
}

CAF_TEST(keys in headers and parameters stay at home with the key) {
  auto b = sent_to("chatcompletion");
  b.base_url = "https://gw.example/v1";
  b.api_key = "sk-literal";
  b.extra_headers = {{"X-Team", "blue"}, {"X-Api-Key", "sk-written-out-here-1234"}, {"X-Other", "Bearer ${OPENAI_API_KEY}"}};
  b.extra_query = {{"key", "${OPENAI_API_KEY}"}};
  auto r = route(b, openai_key);
  CAF_CHECK_EQUAL(r.error, "");
  CAF_CHECK_EQUAL(r.headers["X-Team"], "blue");
  for (auto& value : {r.headers["X-Api-Key"], r.headers["X-Other"], r.query["key"], r.api_key})
    CAF_CHECK_EQUAL(value, "conclave-placeholder-key");
  b.key_goes_along = true;
  r = route(b, openai_key);
  CAF_CHECK_EQUAL(r.headers["X-Other"], "Bearer sk-real");
  CAF_CHECK_EQUAL(r.api_key, "sk-literal");
}

CAF_TEST(the key goes to its own hosts and elsewhere when that is said) {
  for (const auto* own : {"https://eu.api.openai.com/v1", "https://api.openai.com/v2"})
    CAF_CHECK_EQUAL(route(sent_to("openai", own), openai_key).api_key, "sk-real");
  for (const auto* other : {"http://eu.api.openai.com/v1", "https://api.openai.com.example/v1", "https://api.groq.com/openai/v1"})
    CAF_CHECK_EQUAL(route(sent_to("openai", other), openai_key).api_key, "conclave-placeholder-key");
  auto b = sent_to("chatcompletion", "https://gw.example/v2");
  b.base_url = "https://gw.example/v1";
  b.api_key_env = "OPENAI_API_KEY";
  CAF_CHECK_EQUAL(route(b, openai_key).api_key, "sk-real"); // the same server
  b.sent_to = "https://gw.example:444/v1";
  CAF_CHECK_EQUAL(route(b, openai_key).api_key, "conclave-placeholder-key"); // another one
  b.key_goes_along = true;
  auto r = route(b, openai_key);
  CAF_CHECK_EQUAL(r.api_key, "sk-real");
  CAF_CHECK(has(r.notices.at(0), "with OPENAI_API_KEY"));
}

CAF_TEST(a projects file does not send a key of another place along) {
  auto b = sent_to("openai", "");
  b.key_goes_along = true;
  auto vars = openai_key;
  vars["CONCLAVE_BASE_URL_OPENAI"] = {mock, project};
  auto r = route(b, vars);
  CAF_CHECK(r.code == ec::bad_config);
  CAF_CHECK(has(r.error, "CONCLAVE_BASE_URL_OPENAI (./.env)") && has(r.error, "OPENAI_API_KEY (the environment)"));
  vars["OPENAI_API_KEY"].second = project;
  CAF_CHECK_EQUAL(route(b, vars).api_key, "sk-real");
}

CAF_TEST(a target that is no address is named without what stands in it) {
  for (const auto* bad :
       {"127.0.0.1:4010", "ftp://h/v1", "http://u:secret@h/v1", "http://h/v1?k=secret", "http://h/#secret", "x"}) {
    auto r = route(sent_to("openai", bad), openai_key);
    CAF_CHECK(r.code == ec::bad_config);
    CAF_CHECK(has(r.error, "--base-url") && has(r.error, "is no address of an API") && !has(r.error, "secret"));
  }
}

CAF_TEST(what else holds a secret stays at home) {
  auto b = sent_to("chatcompletion");
  b.extra_headers = {{"X-Bar", "Bearer planted1"}, {"X-Proxy", "http://me:planted2@p"}, {"X-Title", "my app"}};
  b.extra_query = {{"hook", "https://h/?token=planted3"}, {"page", "2"}};
  auto r = route(b, openai_key);
  CAF_CHECK_EQUAL(r.error, "");
  for (auto* name : {"X-Bar", "X-Proxy"})
    CAF_CHECK_EQUAL(r.headers[name], "conclave-placeholder-key");
  CAF_CHECK_EQUAL(r.headers["X-Title"], "my app");
  CAF_CHECK_EQUAL(r.query["hook"], "conclave-placeholder-key");
  CAF_CHECK_EQUAL(r.query["page"], "2");
  for (auto [params, body, named] : {std::tuple{R"({"webhook_secret":"planted4"})", "", "webhook_secret"},
                                     {"", R"({"api_key":"planted5"})", "extra_body.api_key"},
                                     {"", R"({"auth":{"token":"planted6"}})", "extra_body.auth.token"},
                                     {"", R"({"headers":{"X-Foo":"Bearer planted7"}})", "extra_body.headers.X-Foo"}}) {
    b.params = params;
    b.extra_body = body;
    r = route(b, openai_key);
    CAF_CHECK(r.code == ec::bad_config);
    CAF_CHECK(
        has(r.error, "--base-url sends the calls to http://127.0.0.1:4010, and " + std::string{named} + " of the configuration"));
    CAF_CHECK(has(r.error, "--send-keys") && !has(r.error, "planted"));
    auto along = b;
    along.key_goes_along = true;
    CAF_CHECK_EQUAL(route(along, openai_key).error, "");
    auto variable = b; // of a project's, say
    variable.sent_to.clear();
    CAF_CHECK(has(route(variable, {{"CONCLAVE_BASE_URL_CHATCOMPLETION", {mock, project}}}).error,
                  "CONCLAVE_BASE_URL_CHATCOMPLETION (./.env) sends the calls to http://127.0.0.1:4010, and " + std::string{named}));
  }
  secrets known; // of the machine; a variable brought it there under a name of no secret
  known.add_named("MY_API_KEY", "planted-of-a-variable");
  const auto none = [](const std::string&) -> const std::string* { return nullptr; };
  for (auto [params, body, named] :
       {std::tuple{"", R"({"x":"planted-of-a-variable"})", "extra_body of the configuration"},
        {R"({"x":"a planted-of-a-variable"})", "", "a parameter of the provider's of the configuration"}}) {
    b.params = params;
    b.extra_body = body;
    r = route_key(b, none, {}, &known);
    CAF_CHECK(r.code == ec::bad_config && has(r.error, named) && !has(r.error, "planted"));
  }
  b.params = R"({"temperature":1,"user":"me"})";
  b.extra_body = R"({"provider":{"order":["a/b"]}})";
  CAF_CHECK_EQUAL(route(b, openai_key).error, "");
}
