// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config_expand

#include "app/load_config.hpp"
#include "app/load_config_support.hpp"
#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"

#include <caf/test/dsl.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <unistd.h>

using namespace conclave;

namespace {

const std::map<std::string, std::string>& variables() {
  static const std::map<std::string, std::string> values{{"WHO", "Ann"},
                                                         {"MODEL", "gg"},
                                                         {"URL", "http://127.0.0.1:81"},
                                                         {"PORT", "82"},
                                                         {"NUMBER", "5"},
                                                         {"YAML", "a: [b, \"c\"] # ${WHO}"},
                                                         {"FLAG", "true"},
                                                         {"AWAY", "https://evil.example.org"},
                                                         {"BROKEN", "\xff"},
                                                         {"LINE", "one\ntwo"},
                                                         {"BIG", std::string(200'000, 'x')},
                                                         {"KEY", "sk-1"}};
  return values;
}

load_options options(severity unset = severity::error) {
  return {{},
          [](const std::string& name) -> const std::string* {
            auto it = variables().find(name);
            return it == variables().end() ? nullptr : &it->second;
          },
          unset};
}

load_result expand_in(const std::string& text, severity unset = severity::error) {
  return load_config_text(text, "t.yaml", options(unset));
}

} // namespace

CAF_TEST(variables stand in every text of a file) {
  auto r = expand_in("agents:\n"
                     "  - id: ${WHO}\n"
                     "    system_message: You work for ${WHO}, not ${NOBODY:-anybody}.\n"
                     "    node: ${NONE:-far}\n"
                     "    backend:\n"
                     "      type: ${NONE:-chatcompletion}\n"
                     "      model: ${MODEL}\n"
                     "      base_url: ${URL}/v1\n"
                     "      stop: [\"${WHO}:\"]\n"
                     "      extra_body: {user: \"${WHO}\", tags: [\"x-${WHO}\"]}\n"
                     "cluster: {nodes: {far: \"127.0.0.1:${PORT}\"}}\n");
  CAF_CHECK_EQUAL(all(r), "");
  const auto& a = r.config.agents.at(0);
  CAF_CHECK_EQUAL(a.id, "Ann");
  CAF_CHECK_EQUAL(a.system_message, "You work for Ann, not anybody.");
  CAF_CHECK_EQUAL(a.backend.model, "gg");
  CAF_CHECK_EQUAL(a.backend.base_url, "http://127.0.0.1:81/v1");
  CAF_CHECK_EQUAL(a.backend.params, "{\"stop\":[\"Ann:\"]}");
  CAF_CHECK_EQUAL(a.backend.extra_body, "{\"user\":\"Ann\",\"tags\":[\"x-Ann\"]}");
  CAF_CHECK_EQUAL(r.config.cluster.nodes.at(0).second, "127.0.0.1:82");
}

CAF_TEST(the model of a variable tells the type) {
  auto r = expand_in("agent: {backend: {model: \"${NONE:-claude-sonnet-4-6}\"}}\n");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(first(r).type, "claude");
}

CAF_TEST(what a variable holds is text and never YAML) {
  auto r =
      expand_in(with("extra_body: {a: \"${NUMBER}\", b: \"${FLAG}\", c: \"${YAML}\", d: \"${LINE}\"}\ntemperature: 0.${NUMBER}\n"
                     "max_tokens: \"${NUMBER}00\""));
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(first(r).extra_body, "{\"a\":\"5\",\"b\":\"true\",\"c\":\"a: [b, \\\"c\\\"] # ${WHO}\",\"d\":\"one\\ntwo\"}");
  CAF_CHECK_EQUAL(first(r).params, "{\"temperature\":0.5}"); // the key asks for a number
  CAF_CHECK_EQUAL(first(r).max_tokens, 500);
  CAF_CHECK_EQUAL(where(expand_in(with("max_tokens: ${WHO}"))), (strings{"6 agents[0].backend.max_tokens"}));
}

CAF_TEST(two dollar signs keep a reference and other braces are none) {
  auto r = expand_in("agent: {system_message: 'run $${WHO} in ${cwd} for $5', backend: {type: local}}\n");
  CAF_CHECK_EQUAL(r.config.agents.at(0).system_message, "run ${WHO} in ${cwd} for $5");
}

CAF_TEST(secrets and paths of the node stay references) {
  auto r = expand_in(with("base_url: https://api.example.org/v1\n"
                          "api_key: ${KEY}\n"
                          "extra_headers: {X-Token: \"${KEY}\"}\n"
                          "extra_query: {token: \"${KEY}\"}\n"
                          "mcp_servers:\n"
                          "  s: {name: \"${WHO}\", command: [\"${NONE:-python3}\", \"--token\", \"${KEY}\"], args: [\"${KEY}\"], "
                          "env: {K: \"${KEY}\"},\n"
                          "           cwd: \"${KEY}\", exclude_tools: [\"${WHO}\"]}\n"));
  auto b = first(r);
  CAF_CHECK_EQUAL(b.api_key, "${KEY}");
  CAF_CHECK_EQUAL(b.extra_headers["X-Token"], "${KEY}");
  CAF_CHECK_EQUAL(b.extra_query["token"], "${KEY}");
  CAF_REQUIRE_EQUAL(b.mcp_servers.size(), 1u);
  const auto& s = b.mcp_servers[0];
  CAF_CHECK_EQUAL(s.name, "Ann");
  CAF_CHECK_EQUAL(s.command, (strings{"python3", "--token", "${KEY}", "${KEY}"}));
  CAF_CHECK_EQUAL(s.env.at("K"), "${KEY}");
  CAF_CHECK_EQUAL(s.cwd, "${KEY}");
  CAF_CHECK_EQUAL(s.exclude_tools, strings{"Ann"});
  auto local = first(expand_in("agent: {backend: {type: local, model_path: \"${KEY}\", server: \"${KEY}\"}}\n"));
  CAF_CHECK_EQUAL(local.model_path, "${KEY}");
  CAF_CHECK_EQUAL(local.server, "${KEY}");
}

CAF_TEST(of the URL of a tool server only what comes before the query is expanded here) {
  auto r = expand_in(with("mcp_servers: {s: {url: \"${NONE:-https://h.example.org}/${YAML}?key=${KEY}\"}}"));
  auto url = first(r).mcp_servers.at(0).url;
  CAF_CHECK(url.starts_with("https://h.example.org/"));
  CAF_CHECK(url.ends_with("# $${WHO}?key=${KEY}")); // the node expands once more, and gets what the variable holds
  CAF_CHECK(says(expand_in(with("mcp_servers: {s: {url: \"${URL}/mcp\"}}")), "loopback address needs"));
}

CAF_TEST(a key is bound to the host that the variable names) {
  auto far = first(expand_in(with("base_url: ${AWAY}/v1")));
  CAF_CHECK(key_names(far).empty());
  CAF_CHECK_EQUAL(key_names(first(expand_in(with("base_url: ${NONE:-https://api.openai.com}/v1")))), strings{"OPENAI_API_KEY"});
  CAF_CHECK(!expand_in(with("base_url: ${WHO}/v1")).ok());
}

CAF_TEST(an unset variable is one error with its place) {
  auto text = "agents:\n  - id: a\n    backend:\n      model: ${NONE}\n      base_url: ${NONE}/v1\n";
  auto r = expand_in(text);
  CAF_CHECK_EQUAL(where(r), (strings{"4 agents[0].backend.model", "5 agents[0].backend.base_url"}));
  CAF_CHECK(says(r, "t.yaml:4: agents[0].backend.model: the variable NONE is not set"));
  auto judged = expand_in(text, severity::warning);
  CAF_CHECK(judged.ok());
  CAF_CHECK_EQUAL(where(judged, severity::warning), where(r));
}

CAF_TEST(scripted steps are texts too in the file and in one of their own) {
  auto r = expand_in("agent: {backend: {type: scripted, steps: [{answer: \"by ${WHO}\"}, {calls: [{name: t, arguments: {a: "
                     "\"${NUMBER}\"}}]}]}}\n");
  CAF_CHECK_EQUAL(all(r), "");
  auto b = first(r);
  CAF_CHECK_EQUAL(b.script.at(0).calls.at(0).arguments, "{\"content\":\"by Ann\"}");
  CAF_CHECK_EQUAL(b.script.at(1).calls.at(0).arguments, "{\"a\":\"5\"}");
  auto folder = std::filesystem::temp_directory_path() / ("conclave-expand-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream{folder / "steps.yaml"} << "- text: by ${WHO}\n- text: ${NONE}\n";
  auto own = load_config_text("agent: {backend: {type: scripted, script: \"${NONE:-steps}.yaml\"}}\n", (folder / "t.yaml").string(),
                              options());
  std::filesystem::remove_all(folder);
  CAF_CHECK(first(own).script.at(0).text == "by Ann");
  CAF_REQUIRE_EQUAL(own.problems.size(), 1u);
  CAF_CHECK(own.problems[0].file.ends_with("steps.yaml") && own.problems[0].line == 2);
}

CAF_TEST(anchors are expanded where they are used) {
  auto r = expand_in("x-base: &base {type: chatcompletion, model: \"${MODEL}\", api_key: \"${KEY}\"}\n"
                     "x-unused: ${NONE}\n"
                     "agents: [{backend: *base}, {backend: {<<: *base, seed: 1}}]\n");
  CAF_CHECK_EQUAL(all(r), "");
  for (const auto& a : r.config.agents)
    CAF_CHECK(a.backend.model == "gg" && a.backend.api_key == "${KEY}");
}

CAF_TEST(values that are no text or too much are refused) {
  CAF_CHECK(says(expand_in(with("stop: ${BROKEN}")), "the value of the variable BROKEN"));
  std::string text = "agent: {system_message: \"";
  for (int i = 0; i < 100'000; ++i)
    text += "${BIG}";
  auto r = expand_in(text + "\", backend: {type: local}}\n");
  CAF_CHECK(says(r, "more than 1 MiB"));
  CAF_CHECK(!r.ok());
}

CAF_TEST(without a lookup the process environment is asked) {
  ::setenv("CONCLAVE_EXPAND_TEST", "from here", 1);
  auto r = load("agent: {system_message: \"${CONCLAVE_EXPAND_TEST}\", backend: {type: local}}\n");
  CAF_CHECK_EQUAL(r.config.agents.at(0).system_message, "from here");
}
