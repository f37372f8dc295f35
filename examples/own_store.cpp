// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// A store of the host's own: nothing of this program goes to $CONCLAVE_HOME. Its tasks are listed and read back afterwards.

#include <conclave/app/engine.hpp>
#include <conclave/transports/event_store.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

int main() {
  using namespace conclave;
  auto folder = (std::filesystem::temp_directory_path() / "conclave-own-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr)
    return 2;
  int code = 2;
  {
    engine_options options;
    options.store_path = folder + "/tasks.db"; // folders and file are made, for this user alone
    options.log_root = folder + "/logs";       // or write_logs = false: the store alone is the truth
    engine eng{std::move(options)};
    if (!eng.error().empty()) {
      std::fprintf(stderr, "%s\n", eng.error().c_str());
      return 2;
    }
    run_config team;
    agent_config a;
    a.id = "solo";
    a.backend.type = "scripted";
    a.backend.script.resize(3);
    a.backend.script[0].calls = {{"", "new_answer", "{\"content\":\"42\"}"}};
    a.backend.script[1].calls = {{"", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"right\"}"}};
    a.backend.script[2].text = "42";
    team.agents = {a};
    auto out = eng.ask(team, {"What is 6 x 7?", {}});

    std::string error;
    for (auto& task : eng.store().list(error)) {
      auto events = eng.store().read(task.task, 0, error); // each one is a JSON object: docs/events.md
      std::printf("%s: %s, %zu events, the last is %s\n", task.question.c_str(), task.outcome.c_str(), events.size(),
                  events.empty() ? "-" : events.back().json.c_str());
      code = task.task == out.task && !events.empty() && error.empty() ? 0 : 2;
    }
  }
  std::filesystem::remove_all(folder);
  return code;
}
