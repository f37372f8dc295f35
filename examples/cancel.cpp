// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A task that is ended early: what was written so far is kept, and `done` is called as for any other end.

#include <conclave/app/engine.hpp>
#include <cstdio>
#include <future>
#include <string>
#include <utility>

int main() {
  using namespace conclave;
  run_config team;
  agent_config a;
  a.id = "thinker";
  a.backend.type = "scripted";
  a.backend.script.resize(1);
  a.backend.script[0].text = "Let me think";
  a.backend.script[0].hang = true; // a model that never comes to an end
  team.agents = {a};

  std::promise<void> writes;
  std::promise<outcome> ended;
  listener watch;
  watch.on_chunk = [&writes, told = false](const chunk_batch&) mutable {
    if (!std::exchange(told, true))
      writes.set_value();
  };
  std::string partial;
  watch.on_event = [&partial](const event& e) {
    if (e.type == event_type::run_ended)
      partial = e.text;
  };
  engine eng;
  auto task = eng.start(team, {"What is the last digit of pi?", {}}, watch, [&ended](outcome o) { ended.set_value(std::move(o)); });
  writes.get_future().wait();
  eng.cancel(task, "the user lost patience"); // from any thread, also from a callback
  auto out = ended.get_future().get();
  std::printf("%s; so far it said: %s\n", to_string(out.kind).c_str(), partial.c_str());
  return out.kind == outcome_kind::interrupted && partial == "Let me think" ? 0 : 2;
}
