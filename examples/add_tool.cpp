// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A tool written in C++: the agents may call `add` before they answer.

#include <conclave/app/engine.hpp>
#include <cstdio>
#include <string>

int main() {
  using namespace conclave;
  native_tool add;
  add.spec = {"add", "Adds two whole numbers given as \"a b\".",
              R"({"type":"object","properties":{"numbers":{"type":"string"}},"required":["numbers"]})"};
  add.read_only = true;
  int uses = 0;
  add.run = [&uses](const std::string& arguments) {
    ++uses;
    long a = 0, b = 0;
    auto at = arguments.find_first_of("0123456789-");
    if (at == std::string::npos || std::sscanf(arguments.c_str() + at, "%ld %ld", &a, &b) != 2)
      throw std::invalid_argument("expected two whole numbers, as in {\"numbers\": \"2 40\"}");
    return std::to_string(a + b);
  };
  engine_options options;
  options.tools = {add};

  run_config team;
  agent_config a;
  a.id = "accountant";
  a.backend.type = "scripted";
  a.backend.script.resize(4);
  a.backend.script[0].calls = {{"", "add", R"({"numbers":"2 40"})"}};
  a.backend.script[1].calls = {{"", "new_answer", R"({"content":"The sum is 42."})"}};
  a.backend.script[2].calls = {{"", "vote", R"({"agent_id":"agent1","reason":"checked with the tool"})"}};
  a.backend.script[3].text = "The sum is 42.";
  team.agents = {a};

  engine eng{std::move(options)};
  auto out = eng.ask(team, {"What is 2 + 40?", {}});
  std::printf("%s (the tool ran %d time)\n", out.answer.c_str(), uses);
  return out.kind == outcome_kind::answered && uses == 1 ? 0 : 2;
}
