// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config

#include "app/load_config.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/config_keys.hpp"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <unistd.h>

using namespace conclave;

namespace {

load_result load(const std::string& text) {
  return load_config_text(text, "t.yaml");
}

/// Returns "line path" of every problem of this severity.
std::vector<std::string> where(const load_result& r, severity s = severity::error) {
  std::vector<std::string> out;
  for (const auto& p : r.problems)
    if (p.severity == s)
      out.push_back(std::to_string(p.line) + " " + p.path);
  return out;
}

using list = std::vector<std::string>;

bool says(const load_result& r, const std::string& part) {
  for (const auto& p : r.problems)
    if (to_string(p).find(part) != std::string::npos)
      return true;
  return false;
}

std::string all(const load_result& r) {
  std::string out;
  for (const auto& p : r.problems)
    out += to_string(p) + "\n";
  return out;
}

/// A team of one with these lines in its backend.
std::string with(const std::string& backend) {
  std::string out = "agents:\n  - id: a\n    backend:\n      type: chatcompletion\n      model: m\n";
  std::istringstream in{backend};
  for (std::string line; std::getline(in, line);)
    out += "      " + line + "\n";
  return out;
}

backend_config first(const load_result& r) {
  return r.config.agents.at(0).backend;
}

/// A folder of its own, removed at the end.
struct folder {
  std::string path;
  folder() {
    char name[] = "/tmp/conclave-config-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~folder() {
    std::error_code code;
    std::filesystem::remove_all(path, code);
  }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream{path + "/" + name, std::ios::binary} << text;
    return path + "/" + name;
  }
};

std::string read(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

CAF_TEST(a full file is read into every field) {
  auto r = load(R"(
agents:
  - id: first
    system_message: |
      Be brief.
    backend:
      type: ChatCompletion
      model: gpt-x
      base_url: https://api.groq.com/openai/v1
      api_key_env: MY_KEY
      provider: Mine
      decision: Tools
      max_tokens: 99
      context_tokens: 4096
      timeout: 1.5
      idle_timeout_seconds: 7
      temperature: 0.5
      extra_body: {a: {b: [1, "1"]}}
      extra_headers: {X-A: 1}
      extra_query: {q: v}
      allowed_tools: one
      exclude_tools: [two, three]
      max_tool_iterations: 4
      parallel_tool_calls: off
      mcp_tool_timeout_seconds: 9
      native_tools: [clock]
      http2: yes
  - backend: {type: claude, anthropic_version: "2023-06-01"}
    node: far
orchestrator:
  pacing: eager
  straggler_patience_seconds: 2.5
  max_new_answers_per_agent: 5
  max_new_answers_global: 9
  max_failed_runs: 2
  max_runs: 77
  max_answer_bytes: 1000
  final_answer_strategy: winner_reuse
timeout_settings:
  orchestrator_timeout_seconds: 100
  initial_round_timeout_seconds: 50
  subsequent_round_timeout_seconds: 40
  presentation_timeout_seconds: 30
  first_token_timeout_seconds: 20
  idle_timeout_seconds: 10
cluster:
  nodes: {far: "far.example.org:4242", near: "[::1]:1"}
  tls: {cert: c.pem, key: k.pem, ca: a.pem}
ui:
  display_type: simple
)");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_REQUIRE_EQUAL(r.config.agents.size(), 2u);
  CAF_CHECK_EQUAL(r.config.source, "t.yaml");
  const auto& a = r.config.agents[0];
  CAF_CHECK_EQUAL(a.id, "first");
  CAF_CHECK_EQUAL(a.system_message, "Be brief.\n");
  const auto& b = a.backend;
  CAF_CHECK_EQUAL(b.type, "chatcompletion");
  CAF_CHECK_EQUAL(b.model, "gpt-x");
  CAF_CHECK_EQUAL(b.base_url, "https://api.groq.com/openai/v1");
  CAF_CHECK_EQUAL(b.api_key_env, "MY_KEY");
  CAF_CHECK_EQUAL(b.provider, "Mine");
  CAF_CHECK_EQUAL(b.decision, "tools");
  CAF_CHECK_EQUAL(b.max_tokens, 99);
  CAF_CHECK_EQUAL(b.context_tokens, 4096);
  CAF_CHECK_EQUAL(b.timeout_ms, 1500);
  CAF_CHECK_EQUAL(b.first_token_timeout_ms, 20'000);
  CAF_CHECK_EQUAL(b.idle_timeout_ms, 7000);
  CAF_CHECK_EQUAL(b.params, R"({"temperature":0.5})");
  CAF_CHECK_EQUAL(b.extra_body, R"({"a":{"b":[1,"1"]}})");
  CAF_CHECK_EQUAL(b.extra_headers.at("X-A"), "1");
  CAF_CHECK_EQUAL(b.extra_query.at("q"), "v");
  CAF_CHECK(b.has_allowed_tools);
  CAF_CHECK_EQUAL(b.allowed_tools, list{"one"});
  CAF_CHECK_EQUAL(b.exclude_tools, (list{"two", "three"}));
  CAF_CHECK_EQUAL(b.max_tool_iterations, 4);
  CAF_CHECK(!b.parallel_tool_calls);
  CAF_CHECK_EQUAL(b.tool_timeout_ms, 9000);
  CAF_CHECK_EQUAL(b.native_tools, list{"clock"});
  CAF_CHECK(b.http2);
  const auto& second = r.config.agents[1];
  CAF_CHECK_EQUAL(second.id, "agent2");
  CAF_CHECK_EQUAL(second.node, "far");
  CAF_CHECK_EQUAL(second.backend.anthropic_version, "2023-06-01");
  CAF_CHECK_EQUAL(second.backend.model, find_backend_kind("claude")->default_model);
  CAF_CHECK_EQUAL(second.backend.idle_timeout_ms, 10'000);
  const auto& rules = r.config.rules;
  CAF_CHECK(rules.pacing == ledger::pacing::eager);
  CAF_CHECK(rules.strategy == ledger::strategy::winner_reuse);
  CAF_CHECK_EQUAL(rules.patience_ms, 2500);
  CAF_CHECK_EQUAL(rules.max_answers_per_agent, 5u);
  CAF_CHECK_EQUAL(rules.max_answers_global, 9u);
  CAF_CHECK_EQUAL(rules.max_failed_runs, 2u);
  CAF_CHECK_EQUAL(rules.max_runs, 77u);
  CAF_CHECK_EQUAL(rules.max_answer_bytes, 1000u);
  CAF_CHECK_EQUAL(rules.coordination_ms, 100'000);
  CAF_CHECK_EQUAL(rules.initial_run_ms, 50'000);
  CAF_CHECK_EQUAL(rules.later_run_ms, 40'000);
  CAF_CHECK_EQUAL(rules.presentation_ms, 30'000);
  CAF_REQUIRE_EQUAL(r.config.cluster.nodes.size(), 2u);
  CAF_CHECK_EQUAL(r.config.cluster.nodes[0].first, "far");
  CAF_CHECK_EQUAL(r.config.cluster.nodes[1].second, "[::1]:1");
  CAF_CHECK_EQUAL(r.config.cluster.tls.ca, "a.pem");
  CAF_CHECK_EQUAL(r.config.ui.display_type, "simple");
}

CAF_TEST(defaults are those of the structs) {
  auto r = load(with(""));
  CAF_CHECK_EQUAL(all(r), "");
  backend_config b;
  b.type = "chatcompletion";
  b.model = "m";
  CAF_CHECK(first(r) == b);
  CAF_CHECK(r.config.rules == ledger::rules{});
  auto local = load("agent: {backend: {type: local}}");
  CAF_CHECK_EQUAL(all(local), "");
  CAF_CHECK_EQUAL(first(local).max_tokens, 512);
}

CAF_TEST(json is read as well as yaml) {
  auto r = load("{\"agents\":[{\"id\":\"\\ud83d\\ude00\\n\\\\ud83d\",\n\t\"backend\":{\"type\":\"local\",\"max_tokens\":3}}]}");
  CAF_CHECK(says(r, "control characters"));
  CAF_REQUIRE_EQUAL(r.config.agents.size(), 1u);
  CAF_CHECK_EQUAL(r.config.agents[0].id, "\xF0\x9F\x98\x80\n\\ud83d");
  CAF_CHECK_EQUAL(first(r).max_tokens, 3);
}

CAF_TEST(every problem is reported at once with its line and path) {
  auto r = load(R"(agents:
  - id: a
    backned: {type: local}
    backend:
      type: chatcompletion
      model: m
      timeout: -1
      max_tokens: many
      decision: tool
  - id: a
    backend: {type: chatcompletion}
orchestrator:
  max_new_answer_per_agent: 3
timeout_settings:
  orchestrator_timeout_second: 3
orchestrater: {}
)");
  CAF_CHECK_EQUAL(where(r), (list{"3 agents[0].backned", "7 agents[0].backend.timeout", "8 agents[0].backend.max_tokens",
                                  "9 agents[0].backend.decision", "10 agents[1].id", "11 agents[1].backend.model",
                                  "13 orchestrator.max_new_answer_per_agent", "15 timeout_settings.orchestrator_timeout_second",
                                  "16 orchestrater"}));
  for (const auto* hint :
       {"'backend'", "'tools'", "'max_new_answers_per_agent'", "'orchestrator_timeout_seconds'", "'orchestrator'"})
    CAF_CHECK(says(r, std::string{"did you mean "} + hint + "?"));
  CAF_CHECK(all(r).starts_with("t.yaml:3: agents[0].backned: unknown key"));
}

CAF_TEST(the singular form keeps its own paths) {
  auto r = load("agent:\n  id: a/b\n  backend:\n    type: nope\n");
  CAF_CHECK_EQUAL(where(r), (list{"2 agent.id", "4 agent.backend.type"}));
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: local}}\nagents: []\n")), list{"2 agents"});
  CAF_CHECK_EQUAL(where(load("agents: []")), list{"1 agents"});
  CAF_CHECK_EQUAL(where(load("ui: {}")), list{"0 agents"});
  CAF_CHECK_EQUAL(where(load("agents: [{id: a}]")), list{"1 agents[0].backend"});
  CAF_CHECK_EQUAL(where(load("agents: [{id: a, backend: }]")), list{"1 agents[0].backend"});
  CAF_CHECK_EQUAL(where(load("agents: [3, [], ~]")).size(), 3u);
}

CAF_TEST(what is no configuration is refused with a reason) {
  CAF_CHECK(says(load(""), "empty"));
  CAF_CHECK(says(load("# nothing\n"), "empty"));
  CAF_CHECK(says(load("- a\n- b\n"), "expected a map"));
  CAF_CHECK(says(load("hello"), "expected a map"));
  CAF_CHECK(says(load(std::string{"a: b\0c", 6}), "NUL"));
  CAF_CHECK(says(load("a: \xff"), "not UTF-8"));
  CAF_CHECK(says(load("a: 1\nb: \x1b[2J"), "t.yaml:2: a control character"));
  CAF_CHECK(says(load("a:\n\tb: 1\n"), "indent with blanks"));
  CAF_CHECK(says(load("a: [1, 2\n"), "cannot be read"));
  CAF_CHECK(says(load("a: 1\n---\nb: 2\n"), "second document"));
  CAF_CHECK(says(load("? [a]\n: 1\n"), "cannot be a key"));
  CAF_CHECK(says(load("a: !!python/object:x {}\n"), "is not supported"));
  CAF_CHECK(says(load("a: !run x\n"), "is not supported"));
  CAF_CHECK(says(load("a: *b\n"), "cannot be read"));
  CAF_CHECK(says(load(std::string(1'048'577, ' ')), "larger than 1 MiB"));
}

CAF_TEST(equal keys are an error that names both lines) {
  auto r = load("agents: []\nui: {}\nagents: []\n");
  CAF_CHECK_EQUAL(where(r), list{"3 "});
  CAF_CHECK(says(r, "'agents' stands twice in one map; first in line 1"));
}

CAF_TEST(alias cycles and bombs are refused before they are built) {
  CAF_CHECK(says(load("a: &x [*x]\n"), "cycle"));
  CAF_CHECK(says(load("a: &x {b: {c: *x}}\n"), "cycle"));
  std::string bomb = "x-a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i <= 12; ++i) {
    auto before = "*a" + std::to_string(i - 1);
    bomb += "x-a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k)
      bomb += (k ? "," : "") + before;
    bomb += "]\n";
  }
  CAF_CHECK(says(load(bomb), "more than 10,000 values after aliases are expanded"));
  std::string wide = "x-a: [";
  for (int i = 0; i < 10'001; ++i)
    wide += "1,";
  CAF_CHECK(says(load(wide + "]\n"), "more than 10,000"));
}

CAF_TEST(depth is bounded also through aliases) {
  auto nested = [](int n) { return std::string(static_cast<std::size_t>(n), '[') + std::string(static_cast<std::size_t>(n), ']'); };
  CAF_CHECK(says(load("x-a: " + nested(64) + "\n"), "nested more than 64"));
  CAF_CHECK(!says(load("x-a: " + nested(63) + "\n"), "nested"));
  CAF_CHECK(says(load("x-a: " + nested(5000) + "\n"), "nested more than 64"));
  CAF_CHECK(says(load("x-a: &a " + nested(40) + "\nx-b: &b " + std::string(30, '[') + "*a" + std::string(30, ']') + "\n"),
                 "nested more than 64"));
}

CAF_TEST(anchors and merge keys share settings) {
  auto r = load(R"(x-base: &base {type: chatcompletion, model: m, temperature: 1}
agents:
  - {id: a, backend: *base}
  - id: b
    backend:
      <<: *base
      model: n
)");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_REQUIRE_EQUAL(r.config.agents.size(), 2u);
  CAF_CHECK_EQUAL(r.config.agents[0].backend.model, "m");
  CAF_CHECK_EQUAL(r.config.agents[1].backend.model, "n");
  CAF_CHECK_EQUAL(r.config.agents[1].backend.params, R"({"temperature":1})");
  CAF_CHECK(says(load("a: {<<: 3}\n"), "'<<' needs a map"));
}

CAF_TEST(parameters keep their types) {
  auto r = load(with(R"(top_p: .5
stop: ["1", 1, "true", true, null, 0x1F, 007, -0, 1e3, 5., "a\"\\\n\u0001", yes, 2024-01-01, 1_000, ~]
metadata: {user id: "7", nested: {list: []}}
logit_bias: {})"));
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(
      first(r).params,
      R"({"top_p":0.5,"stop":["1",1,"true",true,null,31,7,0,1000.0,5.0,"a\"\\\n\u0001","yes","2024-01-01","1_000",null],)"
      R"("metadata":{"user id":"7","nested":{"list":[]}},"logit_bias":{}})");
  CAF_CHECK(says(load(with("seed: 1.5")), "expected a whole number"));
  CAF_CHECK(says(load(with("temperature: '1'")), "leave out the quotes"));
  CAF_CHECK(says(load(with("temperature: .inf")), "finite number"));
  CAF_CHECK(says(load(with("metadata: {a: .nan}")), "no JSON form"));
  CAF_CHECK(says(load(with("metadata: {a: 1e999}")), "beyond the numbers"));
}

CAF_TEST(unknown backend keys pass with one warning each and our own are refused) {
  auto r = load(with("temprature: 1\nnew_thing: {a: 1}\nnothing: ~"));
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(where(r, severity::warning), (list{"6 agents[0].backend.temprature", "7 agents[0].backend.new_thing"}));
  CAF_CHECK(says(r, "did you mean 'temperature'?"));
  CAF_CHECK_EQUAL(first(r).params, R"({"temprature":1,"new_thing":{"a":1}})");
  CAF_CHECK_EQUAL(r.config.notes.size(), 2u);
  for (const auto* key : {"stream", "messages", "tools", "n"}) {
    CAF_CHECK_EQUAL(where(load(with(std::string{key} + ": 1"))).size(), 1u);
    CAF_CHECK_EQUAL(where(load(with("extra_body: {" + std::string{key} + ": 1}"))).size(), 1u);
  }
}

CAF_TEST(keys of own servers are translated) {
  auto r = load("agent: {backend: {type: vllm, model: m, port: 9, enable_thinking: false, separate_reasoning: true, top_k: 5}}");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(first(r).base_url, "http://localhost:9/v1");
  CAF_CHECK_EQUAL(first(r).params, R"({"top_k":5,"chat_template_kwargs":{"enable_thinking":false}})");
  CAF_CHECK(says(r, "separate_reasoning: has no effect with type 'vllm'"));
  auto sglang = load("agent: {backend: {type: sglang, model: m, separate_reasoning: true}}");
  CAF_CHECK_EQUAL(first(sglang).params, R"({"separate_reasoning":true})");
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: vllm, model: m, port: 9, base_url: 'http://h/v1'}}")).size(), 1u);
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: vllm}}")), list{"1 agent.backend.model"});
}

CAF_TEST(numbers outside their limits are refused) {
  for (const auto* bad : {"timeout: 0", "timeout: -3", "timeout: .inf", "timeout: .nan", "timeout: 1e9", "timeout: '5'",
                          "timeout: ten", "timeout: [1]", "timeout: true", "max_tokens: 0", "max_tokens: 1.5",
                          "max_tokens: 99999999999999999999", "max_tool_iterations: 1001", "port: 0", "parallel_tool_calls: maybe",
                          "extra_headers: [a]", "extra_headers: {a: {}}", "extra_body: 3", "allowed_tools: {a: b}"})
    CAF_CHECK_EQUAL(where(load(with(bad))).size(), 1u);
  CAF_CHECK_EQUAL(first(load(with("timeout: 0.25"))).timeout_ms, 250);
  auto r = load(with("") + "orchestrator: {straggler_patience_seconds: 0}\n");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(r.config.rules.patience_ms, 0);
}

CAF_TEST(pacing and its other spelling exclude each other) {
  auto r = load(with("") + "orchestrator: {defer_voting_until_all_answered: true}\n");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(r.config.rules.patience_ms, 0);
  CAF_CHECK(r.config.rules.pacing == ledger::pacing::barrier);
  for (const auto* bad : {"pacing: barrier, defer_voting_until_all_answered: true",
                          "straggler_patience_seconds: 3, defer_voting_until_all_answered: true",
                          "skip_final_presentation: true, final_answer_strategy: winner_present", "pacing: fast"})
    CAF_CHECK_EQUAL(where(load(with("") + "orchestrator: {" + bad + "}\n")).size(), 1u);
  auto reuse = load(with("") + "orchestrator: {skip_final_presentation: true, skip_coordination_rounds: true}\n");
  CAF_CHECK(reuse.config.rules.strategy == ledger::strategy::winner_reuse);
  CAF_CHECK(reuse.config.rules.skip_coordination);
  CAF_CHECK(load(with("") + "ui: {use_orchestrator_for_single_agent: false}\n").config.rules.skip_coordination);
}

CAF_TEST(what is not available yet blocks a run and what is cosmetic does not ) {
  auto r = load(R"(agents:
  - backend: {type: gemini, enable_web_search: true, enable_code_execution: false, upload_files: [{image_path: a.png}]}
  - backend: {type: local, mcp_servers: [{name: s, url: "https://mcp.example.org/"}]}
orchestrator:
  final_answer_strategy: synthesize
  session_storage: x
  coordination: {enable_planning_mode: true, planning_mode_instruction: x}
  context_paths: [{path: /x, permission: write}]
ui: {type: rich_terminal, logging_enabled: false}
display: {type: simple}
)");
  CAF_CHECK(r.ok());
  CAF_CHECK_EQUAL(where(r, severity::unavailable),
                  (list{"2 agents[0].backend.enable_web_search", "2 agents[0].backend.upload_files", "2 agents[0].backend.type",
                        "3 agents[1].backend.mcp_servers[0].type", "5 orchestrator.final_answer_strategy",
                        "7 orchestrator.coordination.enable_planning_mode", "8 orchestrator.context_paths"}));
  CAF_CHECK_EQUAL(where(r, severity::warning),
                  (list{"6 orchestrator.session_storage", "7 orchestrator.coordination.planning_mode_instruction", "9 ui.type",
                        "9 ui.logging_enabled", "10 display"}));
  CAF_CHECK_EQUAL(blocking(r.problems).size(), 7u);
  CAF_CHECK_EQUAL(r.config.notes.size(), 12u);
  CAF_CHECK_EQUAL(r.config.ui.display_type, "rich_terminal");
}

CAF_TEST(a folder to work in needs its two stores) {
  auto r = load(with("cwd: work"));
  CAF_CHECK_EQUAL(where(r), list{"6 agents[0].backend.cwd"});
  CAF_CHECK(says(r, "orchestrator.snapshot_storage and orchestrator.agent_temporary_workspace"));
  auto good = load(with("cwd: work") + "orchestrator: {snapshot_storage: s, agent_temporary_workspace: t}\n");
  CAF_CHECK(good.ok());
  CAF_CHECK_EQUAL(blocking(good.problems).size(), 1u);
}

CAF_TEST(a model without a type is reached where it can be) {
  auto r =
      load("agents:\n  - backend: {model: o3-mini-high}\n  - backend: {model: gemini-2.5-pro}\n  - backend: {model: grok-4}\n");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.type, "chatcompletion");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.model, "o3-mini");
  CAF_CHECK_EQUAL(r.config.agents[0].backend.params, R"({"reasoning_effort":"high"})");
  CAF_CHECK_EQUAL(key_names(r.config.agents[1].backend), (list{"GOOGLE_API_KEY", "GEMINI_API_KEY"}));
  CAF_CHECK_EQUAL(r.config.agents[2].backend.type, "grok");
  CAF_CHECK_EQUAL(where(load("agent: {backend: {model: mystery}}")), list{"1 agent.backend.type"});
}

CAF_TEST(tool servers come in three shapes) {
  auto expect = [](const load_result& r, const std::string& name) {
    CAF_CHECK_EQUAL(all(r), "");
    CAF_REQUIRE_EQUAL(first(r).mcp_servers.size(), 1u);
    const auto s = first(r).mcp_servers[0];
    CAF_CHECK_EQUAL(s.name, name);
    CAF_CHECK_EQUAL(s.type, "stdio");
    CAF_CHECK_EQUAL(s.command, (list{"npx", "-y", "a b", "c"}));
    CAF_CHECK_EQUAL(s.timeout_ms, 400'000);
  };
  expect(load(with("mcp_servers: [{command: \"npx -y 'a b' c\"}]")), "server_0");
  expect(load(with("mcp_servers: {weather: {command: [npx, -y], args: [a b, c]}}")), "weather");
  expect(load(with("mcp_servers: {type: stdio, name: one, command: npx, args: [-y, a b, c]}")), "one");
  auto full = load(with(R"(mcp_tool_timeout_seconds: 5
mcp_servers:
  a: {command: npx, cwd: /tmp, env: {K: "${K}", N: 1}, allowed_tools: [x], exclude_tools: y, security: {level: moderate}}
  b: {command: npx, timeout: 2, security: {allowed_executables: [npx]}})"));
  CAF_CHECK_EQUAL(all(full), "");
  CAF_REQUIRE_EQUAL(first(full).mcp_servers.size(), 2u);
  const auto a = first(full).mcp_servers[0];
  CAF_CHECK_EQUAL(a.cwd, "/tmp");
  CAF_CHECK_EQUAL(a.env.at("K"), "${K}");
  CAF_CHECK_EQUAL(a.env.at("N"), "1");
  CAF_CHECK(a.has_allowed_tools);
  CAF_CHECK_EQUAL(a.exclude_tools, list{"y"});
  CAF_CHECK_EQUAL(a.security_level, "moderate");
  CAF_CHECK_EQUAL(a.timeout_ms, 5000);
  const auto b = first(full).mcp_servers[1];
  CAF_CHECK_EQUAL(b.timeout_ms, 2000);
}

CAF_TEST(bad tool servers are named where they stand) {
  auto r = load(with(R"(mcp_servers:
  shell: {command: bash -c x}
  piped: {command: "npx a | b"}
  only_args: {args: [x]}
  nothing: {}
  old: {type: sse, url: "https://h/"}
  loads: {command: npx, env: {LD_PRELOAD: x}}
  here: {url: "http://localhost:1/"}
  listed: {command: npx, env: {A: x}, security: {env: {mode: allowlist, allowed_vars: [B]}}}
  word: 3
  high: {command: npx, security: {level: high}})"));
  CAF_CHECK_EQUAL(where(r),
                  (list{"7 agents[0].backend.mcp_servers.shell.command", "8 agents[0].backend.mcp_servers.piped.command",
                        "9 agents[0].backend.mcp_servers.only_args.command", "10 agents[0].backend.mcp_servers.nothing",
                        "11 agents[0].backend.mcp_servers.old.type", "12 agents[0].backend.mcp_servers.loads.env",
                        "13 agents[0].backend.mcp_servers.here.url", "14 agents[0].backend.mcp_servers.listed.security.env",
                        "15 agents[0].backend.mcp_servers.word"}));
  for (const auto* name : {"shell", "piped", "only_args", "nothing", "old", "loads", "here", "listed"})
    CAF_CHECK(says(r, std::string{"server '"} + name + "'"));
  CAF_CHECK(says(r, "'high' is read as 'strict'"));
  CAF_CHECK_EQUAL(where(load(with("mcp_servers: 3"))).size(), 1u);
}

CAF_TEST(steps of a scripted model are read in full) {
  auto r = load(R"(agent:
  backend:
    type: scripted
    steps:
      - {text: hi, reasoning: hm, delay_ms: 5, chunk_delay_ms: 2, chunk_bytes: 3, optional: true, repeat: 4}
      - {answer: "say \"x\""}
      - {vote: agent1, reason: good}
      - calls: [{name: mcp__a__b, arguments: {n: 1, s: "1"}}, {name: bad, arguments: "{not json", id: mine}]
      - {error: rate_limited, retry_after_ms: 7}
      - {text: cut, truncated: true}
      - {hang: true}
)");
  CAF_CHECK_EQUAL(all(r), "");
  const auto s = first(r).script;
  CAF_REQUIRE_EQUAL(s.size(), 7u);
  script_step hi;
  hi.text = "hi";
  hi.reasoning = "hm";
  hi.first_delay_ms = 5;
  hi.chunk_delay_ms = 2;
  hi.chunk_bytes = 3;
  hi.optional = true;
  hi.repeat = 4;
  CAF_CHECK(s[0] == hi);
  CAF_CHECK(s[1].calls == (std::vector<tool_call>{{"call_1", "new_answer", R"({"content":"say \"x\""})"}}));
  CAF_CHECK(s[2].calls == (std::vector<tool_call>{{"call_1", "vote", R"({"agent_id":"agent1","reason":"good"})"}}));
  CAF_CHECK(s[3].calls == (std::vector<tool_call>{{"call_1", "mcp__a__b", R"({"n":1,"s":"1"})"}, {"mine", "bad", "{not json"}}));
  CAF_CHECK(s[4].error == ec::rate_limited);
  CAF_CHECK_EQUAL(s[4].retry_after_ms, 7);
  CAF_CHECK(s[5].truncated);
  CAF_CHECK(s[6].hang);
}

CAF_TEST(bad steps are reported) {
  auto r = load(R"(agent:
  backend:
    type: scripted
    steps:
      - {txet: hi}
      - {error: rate_limit}
      - {reason: why}
      - {calls: [{arguments: {}}]}
      - {repeat: 0}
      - {chunk_delay_ms: 99999999}
      - {error: timeout, hang: true}
      - text
)");
  CAF_CHECK_EQUAL(where(r),
                  (list{"5 agent.backend.steps[0].txet", "6 agent.backend.steps[1].error", "7 agent.backend.steps[2].reason",
                        "8 agent.backend.steps[3].calls[0].name", "9 agent.backend.steps[4].repeat",
                        "10 agent.backend.steps[5].chunk_delay_ms", "11 agent.backend.steps[6]", "12 agent.backend.steps[7]"}));
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: scripted}}")), list{"1 agent.backend"});
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: scripted, steps: []}}")).size(), 2u);
}

CAF_TEST(scripts are files beside the configuration with lines of their own) {
  folder f;
  f.file("good.json", R"([{"answer":"x"},{"vote":"agent1","reason":"y"}])");
  f.file("map.yaml", "steps:\n  - answer: x\n");
  f.file("bad.yaml", "- answer: x\n- wait: 3\n");
  f.file("a.yaml", "agents:\n  - {id: a, backend: {type: scripted, script: good.json}}\n  - {id: b, backend: {type: scripted, "
                   "script: map.yaml}}\n");
  auto r = load_config(f.path + "/a.yaml");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.script.size(), 2u);
  CAF_CHECK_EQUAL(r.config.agents.at(0).backend.script_path, "good.json");
  CAF_CHECK_EQUAL(r.config.agents.at(1).backend.script.size(), 1u);
  auto bad = load_config(f.file("b.yaml", "agent: {backend: {type: scripted, script: bad.yaml}}\n"));
  CAF_CHECK(says(bad, f.path + "/bad.yaml:2: steps[1].wait: unknown key"));
  auto none = load_config(f.file("c.yaml", "agent: {backend: {type: scripted, script: none.yaml}}\n"));
  CAF_CHECK(says(none, "cannot be opened"));
  CAF_CHECK(says(load_config(f.file("d.yaml", "agent: {backend: {type: scripted, script: .}}\n")), "is a folder"));
}

CAF_TEST(only regular files of bounded size are opened) {
  folder f;
  CAF_CHECK(says(load_config(f.path), "is a folder"));
  CAF_CHECK(says(load_config(f.path + "/none"), "cannot be opened"));
  CAF_CHECK(says(load_config("/dev/zero"), "no regular file"));
  CAF_CHECK(says(load_config(std::string{"a\0b", 3}), "is no path"));
  CAF_CHECK(says(load_config(f.file("big", std::string(1'048'577, '#'))), "larger than 1 MiB"));
}

CAF_TEST(the list of problems is bounded and errors are never lost) {
  std::string warnings;
  for (int i = 0; i < 300; ++i)
    warnings += "unknown_" + std::to_string(i) + ": 1\n";
  auto r = load(with(warnings) + "wrong: 1\n");
  CAF_CHECK(!r.ok());
  CAF_CHECK(r.problems.size() <= 102);
}

CAF_TEST(secrets are never part of a problem) {
  auto r = load(R"(agents:
  - id: a
    node: nowhere
    backend:
      type: chatcompletion
      model: m
      api_key: sk-secret-value
      base_url: "http://user:sk-secret-value@example.org"
      extra_headers: {Authorization: "Bearer sk-secret-value"}
)");
  CAF_CHECK(!r.ok());
  CAF_CHECK(all(r).find("sk-secret-value") == std::string::npos);
  CAF_CHECK(where(load(with("api_key: [sk-secret-value]"))).size() == 1);
  CAF_CHECK(all(load(with("api_key: [sk-secret-value]"))).find("sk-secret") == std::string::npos);
}

CAF_TEST(nodes named elsewhere add to the file or replace its own) {
  auto text = "agent: {node: far, backend: {type: local}}\ncluster: {nodes: {near: 'a:1'}}\n";
  CAF_CHECK_EQUAL(where(load(text)), list{"1 agent.node"});
  auto r = load_config_text(text, "t.yaml", {{"far", "b:2"}, {"near", "c:3"}});
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK(r.config.cluster.nodes == (node_list{{"near", "c:3"}, {"far", "b:2"}}));
  CAF_CHECK(!load_config_text(text, "t.yaml", {{"far", "no address"}}).ok());
}

CAF_TEST(a quick team is made from options) {
  std::vector<problem> problems;
  auto c = quick_config("gpt-4o-mini", "", "", "Be kind.", problems);
  CAF_CHECK(problems.empty());
  CAF_REQUIRE_EQUAL(c.agents.size(), 1u);
  CAF_CHECK_EQUAL(c.agents[0].id, "agent1");
  CAF_CHECK_EQUAL(c.agents[0].system_message, "Be kind.");
  CAF_CHECK_EQUAL(c.agents[0].backend.type, "chatcompletion");
  c = quick_config("", "Claude", "", "", problems);
  CAF_CHECK(problems.empty());
  CAF_CHECK_EQUAL(c.agents[0].backend.model, find_backend_kind("claude")->default_model);
  c = quick_config("mystery", "", "http://localhost:8080/v1", "", problems);
  CAF_CHECK(problems.empty());
  CAF_CHECK_EQUAL(c.agents[0].backend.type, "chatcompletion");
}

CAF_TEST(options that name no model are refused by their names) {
  auto paths = [](const std::string& model, const std::string& backend, const std::string& url) {
    std::vector<problem> problems;
    quick_config(model, backend, url, "", problems);
    list out;
    for (const auto& p : problems)
      out.push_back(p.path);
    return out;
  };
  CAF_CHECK_EQUAL(paths("mystery", "", ""), list{"--model"});
  CAF_CHECK_EQUAL(paths("", "vllm", ""), list{"--model"});
  CAF_CHECK_EQUAL(paths("m", "nope", ""), list{"--backend"});
  CAF_CHECK_EQUAL(paths("m", "scripted", ""), list{"--backend"});
  CAF_CHECK_EQUAL(paths("m", "claude_code", ""), list{"--backend"});
  CAF_CHECK_EQUAL(paths("m", "vllm", "localhost:1"), list{"--base-url"});
}

CAF_TEST(what a machine lacks are warnings and other nodes are not judged) {
  auto r = load(R"(agents:
  - {id: a, backend: {type: claude}}
  - {id: b, backend: {type: chatcompletion, model: m, api_key: "${MINE}"}}
  - {id: c, backend: {type: local, model_path: /no/such/model.gguf, server: /no/such/server}}
  - {id: d, backend: {type: vllm, model: m, mcp_servers: {s: {command: npx, args: ["${T}"], env: {K: "${K}"}}}}}
  - {id: e, node: n, backend: {type: claude}}
cluster: {nodes: {n: "h:1"}, tls: {ca: /no/such/ca.pem}}
)");
  CAF_CHECK_EQUAL(all(r), "");
  std::map<std::string, std::string> vars{{"PATH", "/no/such/folder"}};
  lookup env = [&](const std::string& name) {
    auto it = vars.find(name);
    return it == vars.end() ? nullptr : &it->second;
  };
  list found;
  for (const auto& p : environment_problems(r.config, env)) {
    CAF_CHECK(p.severity == severity::warning);
    found.push_back(p.path);
  }
  CAF_CHECK_EQUAL(found,
                  (list{"agents[0].backend", "agents[1].backend.api_key", "agents[2].backend.model_path",
                        "agents[2].backend.server", "agents[3].backend.mcp_servers[0].command",
                        "agents[3].backend.mcp_servers[0].args", "agents[3].backend.mcp_servers[0].env.K", "cluster.tls.ca"}));
  vars = {{"ANTHROPIC_API_KEY", "x"}, {"MINE", "x"}, {"T", "x"}, {"K", "x"}};
  CAF_CHECK_EQUAL(environment_problems(r.config, env).size(), 4u);
}

CAF_TEST(every file of the project loads and says how it is run) {
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator{std::string{CONCLAVE_SOURCE_DIR} + "/configs"}) {
    if (entry.path().extension() != ".yaml")
      continue;
    auto name = entry.path().filename().string();
    seen.insert(name);
    auto r = load_config(entry.path().string());
    CAF_CHECK_EQUAL(all(r), "");
    CAF_CHECK(read(entry.path().string()).starts_with("# conclave --config configs/" + name));
  }
  for (const auto* name : {"offline.yaml", "single.yaml", "team.yaml", "tools.yaml", "cluster.yaml"})
    CAF_CHECK(seen.contains(name));
}

CAF_TEST(the documentation holds the reference of the key table) {
  auto text = read(std::string{CONCLAVE_SOURCE_DIR} + "/docs/configuration.md");
  auto begin = text.find("<!-- keys: begin -->\n");
  auto end = text.find("<!-- keys: end -->");
  CAF_REQUIRE(begin != std::string::npos && end != std::string::npos);
  begin = text.find('\n', begin) + 1;
  auto same = text.substr(begin, end - begin) == "\n" + key_reference() + "\n";
  if (!same) {
    std::ofstream{std::string{CONCLAVE_BINARY_DIR} + "/key_reference.md"} << key_reference();
    CAF_MESSAGE("docs/configuration.md is stale: the right text is in key_reference.md of the build folder");
  }
  CAF_CHECK(same);
}
