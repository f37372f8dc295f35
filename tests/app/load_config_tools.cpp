// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config_tools

#include "app/load_config.hpp"
#include "caf/test/unit_test.hpp"
#include "tests/app/load_config_support.hpp"

using namespace conclave;

CAF_TEST(tool servers come in three shapes) {
  auto expect = [](const load_result& r, const std::string& name) {
    CAF_CHECK_EQUAL(all(r), "");
    CAF_REQUIRE_EQUAL(first(r).mcp_servers.size(), 1u);
    const auto s = first(r).mcp_servers[0];
    CAF_CHECK_EQUAL(s.name, name);
    CAF_CHECK_EQUAL(s.type, "stdio");
    CAF_CHECK_EQUAL(s.command, (strings{"npx", "-y", "a b", "c"}));
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
  CAF_CHECK_EQUAL(a.exclude_tools, strings{"y"});
  CAF_CHECK_EQUAL(a.security_level, "moderate");
  CAF_CHECK_EQUAL(a.timeout_ms, 5000);
  const auto b = first(full).mcp_servers[1];
  CAF_CHECK_EQUAL(b.timeout_ms, 2000);
}

CAF_TEST(what is said of the sandbox and the paths of a server) {
  auto r = load(with(R"(mcp_servers:
  a: {command: npx}
  b:
    command: npx
    sandbox: off
    tool_policies:
      read_notes: {access: read, paths: {memo: read, url_path: none}}
      move: {paths: {source: delete, destination: create}})"));
  CAF_CHECK(says(r, "tool_policies") && says(r, "without `cwd` the agent has no workspace"));
  CAF_CHECK_EQUAL(where(r, severity::warning).size(), 1u);
  auto servers = first(r).mcp_servers;
  CAF_REQUIRE_EQUAL(servers.size(), 2u);
  CAF_CHECK_EQUAL(servers[0].sandbox, "on");
  CAF_CHECK_EQUAL(servers[1].sandbox, "off");
  CAF_REQUIRE_EQUAL(servers[1].tool_policies.size(), 2u);
  auto& notes = servers[1].tool_policies[0];
  CAF_CHECK_EQUAL(notes.tool, "read_notes");
  CAF_CHECK_EQUAL(notes.access, "read");
  CAF_CHECK_EQUAL(notes.paths.at("url_path"), "none");
  CAF_CHECK_EQUAL(servers[1].tool_policies[1].access, "");
  CAF_CHECK_EQUAL(servers[1].tool_policies[1].paths.at("source"), "delete");
  auto bad = load(with(R"(mcp_servers:
  a: {command: npx, sandbox: strong}
  b: {command: npx, tool_policies: {x: {access: all}, y: {paths: {p: write}}, z: {acess: read}}}
  c: {command: npx, tool_policies: [x]})"));
  CAF_CHECK(says(bad, "none of on, off"));
  CAF_CHECK(says(bad, "none of read, write, none"));
  CAF_CHECK(says(bad, "none of read, create, modify, delete, none"));
  CAF_CHECK(says(bad, "acess"));
  CAF_CHECK(where(bad).size() >= 4u);
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
                  (strings{"7 agents[0].backend.mcp_servers.shell.command", "8 agents[0].backend.mcp_servers.piped.command",
                           "9 agents[0].backend.mcp_servers.only_args.command", "10 agents[0].backend.mcp_servers.nothing",
                           "11 agents[0].backend.mcp_servers.old.type", "12 agents[0].backend.mcp_servers.loads.env",
                           "13 agents[0].backend.mcp_servers.here.url", "14 agents[0].backend.mcp_servers.listed.security.env",
                           "15 agents[0].backend.mcp_servers.word"}));
  for (const auto* name : {"shell", "piped", "only_args", "nothing", "old", "loads", "here", "listed"})
    CAF_CHECK(says(r, std::string{"server '"} + name + "'"));
  CAF_CHECK(says(r, "'high' is read as 'strict'"));
  CAF_CHECK_EQUAL(where(load(with("mcp_servers: 3"))).size(), 1u);
}

CAF_TEST(a loopback address is taken from a host that is named) {
  auto refuses = [](const char* security) {
    return says(load(with(std::string("mcp_servers: {s: {url: \"http://LocalHost:1/mcp\", security: ") + security + "}}")),
                "loopback address needs");
  };
  CAF_CHECK(refuses("{}"));
  CAF_CHECK(refuses("{allowed_hostnames: [localhost.example, 127.0.0.1]}"));
  CAF_CHECK(!refuses("{allowed_hostnames: [x, LOCALHOST]}"));
  CAF_CHECK(!refuses("{allow_localhost: true}"));
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
                  (strings{"5 agent.backend.steps[0].txet", "6 agent.backend.steps[1].error", "7 agent.backend.steps[2].reason",
                           "8 agent.backend.steps[3].calls[0].name", "9 agent.backend.steps[4].repeat",
                           "10 agent.backend.steps[5].chunk_delay_ms", "11 agent.backend.steps[6]", "12 agent.backend.steps[7]"}));
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: scripted}}")), strings{"1 agent.backend"});
  CAF_CHECK_EQUAL(where(load("agent: {backend: {type: scripted, steps: []}}")).size(), 2u);
}
