// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What tests of the embedding API share: a store of their own, a team, and ends of tasks to wait for.

#include "app/engine.hpp"
#include "support/scratch_folder.hpp"
#include "support/scripted_team.hpp"
#include "support/verified_store.hpp"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

namespace conclave::test {

inline constexpr auto deadline = std::chrono::seconds(20);

struct folder : scratch_folder {
  ~folder() { verify_store(path + "/tasks.db"); }
  engine_options options(bool logs = false) const {
    engine_options o;
    o.store_path = path + "/tasks.db";
    o.log_root = path + "/logs";
    o.write_logs = logs;
    return o;
  }
};

/// Two scripted agents that answer and vote for the first one, which presents.
inline run_config team() {
  return scripted_team({"writer", "critic"});
}

/// A team that never ends by itself.
inline run_config endless() {
  auto out = team();
  for (auto& a : out.agents) {
    a.backend.script.resize(1);
    a.backend.script[0].calls.clear();
    a.backend.script[0].text = "half a thought";
    a.backend.script[0].hang = true;
  }
  return out;
}

/// The end of a task that was started. Outlives the engine's use of it.
struct ending {
  std::shared_ptr<std::promise<outcome>> promise = std::make_shared<std::promise<outcome>>();
  std::future<outcome> future = promise->get_future();
  std::function<void(outcome)> done() {
    return [p = promise](outcome o) { p->set_value(std::move(o)); };
  }
  bool came() { return future.wait_for(deadline) == std::future_status::ready; }
};

struct signal {
  std::shared_ptr<std::promise<void>> promise = std::make_shared<std::promise<void>>();
  std::future<void> future = promise->get_future();
  bool came() { return future.wait_for(deadline) == std::future_status::ready; }
};

/// Tells when the first text of a model has come.
inline listener on_first_chunk(const signal& s) {
  listener l;
  l.on_chunk = [p = s.promise, told = std::make_shared<bool>(false)](const chunk_batch&) {
    if (!std::exchange(*told, true))
      p->set_value();
  };
  return l;
}

} // namespace conclave::test
