// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Two tasks at once in one engine: `start` returns, the outcomes come on the engine's threads.

#include <conclave/app/engine.hpp>
#include <cstdio>
#include <future>
#include <string>

namespace {

/// One scripted agent that answers, votes for itself and presents.
conclave::run_config team_that_says(const std::string& text) {
  conclave::agent_config a;
  a.id = "solo";
  a.backend.type = "scripted";
  a.backend.script.resize(3);
  a.backend.script[0].calls = {{"", "new_answer", "{\"content\":\"" + text + "\"}"}};
  a.backend.script[1].calls = {{"", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"right\"}"}};
  a.backend.script[2].text = text;
  conclave::run_config team;
  team.agents.push_back(a);
  return team;
}

} // namespace

int main() {
  using namespace conclave;
  std::promise<outcome> sum, product;
  auto first = sum.get_future(), second = product.get_future();
  engine eng; // declared last: its end comes first, and no callback is called any more after it
  eng.start(team_that_says("2 + 40 is 42."), {"What is 2 + 40?", {}}, {}, [&sum](outcome o) { sum.set_value(std::move(o)); });
  eng.start(team_that_says("6 x 7 is 42."), {"What is 6 x 7?", {}}, {}, [&product](outcome o) { product.set_value(std::move(o)); });
  auto a = first.get(), b = second.get();
  std::printf("%s\n%s\n", a.answer.c_str(), b.answer.c_str());
  return a.kind == outcome_kind::answered && b.kind == outcome_kind::answered && a.task != b.task ? 0 : 2;
}
