// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Leaves a long task behind that was cut off, for `conclave resume`:
///
///   resume_store HOME [EVENTS]     a team calls tools until the log has EVENTS (10,000), then the process dies as by kill -9
///
/// A real log of the real engine: nine of ten events are begins and ends of calls, four tools beside each other after each reply.

#include "app/engine.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

int main(int argc, char** argv) {
  using namespace conclave;
  if (argc < 2) {
    std::fputs("usage: resume_store HOME [EVENTS]\n", stderr);
    return 1;
  }
  std::string home = argv[1];
  auto events = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000ull;
  native_tool look;
  look.spec = {"look", "Looks at a line.", R"({"type":"object","properties":{"line":{"type":"string"}},"required":["line"]})"};
  look.read_only = true;
  look.run = [](const std::string& arguments) { return arguments + ": " + std::string(200, 'r'); };
  engine_options options;
  options.store_path = home + "/tasks.db";
  options.log_root = home + "/logs";
  options.tools = {look};
  constexpr int iterations = 48; // of 50 that a run may make; each twice in a row: a third time would be refused
  run_config team;
  for (std::uint64_t i = 0; i <= events / (iterations * 10); ++i) {
    agent_config a;
    a.id = "m" + std::to_string(i);
    a.backend.type = "scripted";
    for (int n = 0; n < iterations / 2; ++n) {
      script_step step;
      step.repeat = 2;
      step.text = "Step " + std::to_string(n) + ": I look at four lines, as what I know by now does not decide the question yet.";
      for (int k = 0; k < 4; ++k)
        step.calls.push_back({"", "look", R"({"line":")" + std::to_string(n) + "-" + std::to_string(k) + R"("})"});
      a.backend.script.push_back(std::move(step));
    }
    script_step waiting; // on resume the task goes on until here
    waiting.hang = waiting.optional = true;
    a.backend.script.push_back(std::move(waiting));
    team.agents.push_back(std::move(a));
  }
  engine eng{std::move(options)};
  auto out = eng.ask(team, {"What do the lines say?", {}},
                     {[events](const event& e) {
                        if (e.seq >= events)
                          ::kill(::getpid(), SIGKILL);
                      },
                      {}});
  std::fprintf(stderr, "the task ended before it had %llu events: %s\n", events, out.error.c_str());
  return 1;
}
