// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config_tree

#include "app/load_config.hpp"
#include "caf/test/unit_test.hpp"
#include "tests/app/load_config_support.hpp"

using namespace conclave;

CAF_TEST(json is read as well as yaml) {
  auto r = load("{\"agents\":[{\"id\":\"\\ud83d\\ude00\\n\\\\ud83d\",\n\t\"backend\":{\"type\":\"local\",\"max_tokens\":3}}]}");
  CAF_CHECK(says(r, "control characters"));
  CAF_REQUIRE_EQUAL(r.config.agents.size(), 1u);
  CAF_CHECK_EQUAL(r.config.agents[0].id, "\xF0\x9F\x98\x80\n\\ud83d");
  CAF_CHECK_EQUAL(first(r).max_tokens, 3);
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
  CAF_CHECK(!load(",").ok()); // the parser finds empty documents in this for ever
  CAF_CHECK(says(load("? [a]\n: 1\n"), "cannot be a key"));
  CAF_CHECK(says(load("a: !!python/object:x {}\n"), "is not supported"));
  CAF_CHECK(says(load("a: !run x\n"), "is not supported"));
  CAF_CHECK(says(load("a: *b\n"), "cannot be read"));
  CAF_CHECK(says(load(std::string(1'048'577, ' ')), "larger than 1 MiB"));
}

CAF_TEST(what the parser stumbles over after an error is not a second one) {
  auto r = load("agents: " + std::string(5000, '[') + std::string(5000, ']') + "\n");
  CAF_CHECK_EQUAL(r.problems.size(), 1u);
  CAF_CHECK(says(r, "nested more than 64 deep"));
}

CAF_TEST(ids hold no control of any kind) {
  for (const char* id : {"\\e[31m", "a\\u202Eb", "a\\u2066b", "a\\x9bb", "a\\nb"})
    CAF_CHECK(says(load("agents: [{id: \"" + std::string(id) + "\", backend: {type: local}}]\n"), "control characters"));
  CAF_CHECK(!says(load("agents: [{id: \"N\u00e4me \u540d\", backend: {type: local}}]\n"), "control characters"));
}

CAF_TEST(equal keys are an error that names both lines) {
  auto r = load("agents: []\nui: {}\nagents: []\n");
  CAF_CHECK_EQUAL(where(r), strings{"3 "});
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

CAF_TEST(the list of problems is bounded and errors are never lost) {
  std::string warnings;
  for (int i = 0; i < 300; ++i)
    warnings += "unknown_" + std::to_string(i) + ": 1\n";
  auto r = load(with(warnings) + "wrong: 1\n");
  CAF_CHECK(!r.ok());
  CAF_CHECK(r.problems.size() <= 102);
}
