// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A run as the command line makes it, with its display on standard error, and one reader more that follows it.
///
///   followed_run BASE_URL AGENTS

#include "app/engine.hpp"
#include "app/run_output.hpp"
#include "app/run_session.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  using namespace conclave;
  if (argc != 3)
    return std::fprintf(stderr, "usage: followed_run BASE_URL AGENTS\n"), 2;
  run_config team;
  for (auto n = std::strtoull(argv[2], nullptr, 10); n > 0; --n) {
    agent_config a;
    a.id = "m" + std::to_string(n);
    a.backend.type = "chatcompletion";
    a.backend.model = "load";
    a.backend.base_url = argv[1];
    a.backend.api_key = "x";
    team.agents.push_back(std::move(a));
  }
  subscription held;
  engine eng;
  run_output out{run_options{}};
  std::size_t events = 0, bytes = 0;
  auto code = run_session(eng, out, [&](listener l, std::function<void(outcome)> done) {
    listener other;
    other.on_event = [&](const event&) { ++events; };
    other.on_chunk = [&](const chunk_batch& b) {
      for (auto& c : b.chunks)
        bytes += c.text.size();
    };
    auto id = eng.start(team, {"q", {}}, std::move(l), std::move(done));
    held = eng.watch({id}, std::move(other));
    return id;
  });
  std::fprintf(stderr, "the other reader got %zu events and %zu bytes\n", events, bytes);
  return code;
}
