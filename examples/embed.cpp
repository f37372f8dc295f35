// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The engine inside another program: a team of two scripted agents answers, votes and presents. No key, no network.

#include <conclave/app/engine.hpp>
#include <cstdio>

int main() {
  using namespace conclave;
  run_config team;
  for (const char* id : {"writer", "critic"}) {
    agent_config a;
    a.id = id;
    a.backend.type = "scripted";
    a.backend.script.resize(3);
    a.backend.script[0].calls = {{"", "new_answer", "{\"content\":\"6 x 7 is 42.\"}"}};
    a.backend.script[1].calls = {{"", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"short and right\"}"}};
    a.backend.script[2].text = "6 x 7 is 42.";
    a.backend.script[2].optional = true; // only the winner presents
    team.agents.push_back(a);
  }
  // The second first answer equals the first one's text, which the ledger allows: nobody had seen it.
  engine eng;
  if (!eng.error().empty()) {
    std::fprintf(stderr, "%s\n", eng.error().c_str());
    return 2;
  }
  listener watch;
  watch.on_event = [](const event& e) { std::fprintf(stderr, "%s %s\n", to_string(e.type).c_str(), e.agent.c_str()); };
  auto out = eng.ask(team, {"What is 6 x 7?", {}}, watch);
  std::printf("%s: %s\n", out.winner.c_str(), out.answer.c_str());
  return out.kind == outcome_kind::answered ? 0 : 2;
}
