// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What an engine whose run is recorded, or played again, tells its tape.

#include "app/engine_core.hpp"
#include "app/environment.hpp"
#include "transports/cassette_recorder.hpp"
#include "transports/event_store.hpp"

#include <utility>

namespace conclave {

void engine_core::attach_tape(node_resources& r) {
  tape_links links;
  links.turns = on_.turns;
  links.env = [env = env_](const std::string& name) { return env->find(name); };
  links.end_task = [reg = std::weak_ptr(register_)](const std::string& reason) {
    if (auto all = reg.lock()) {
      std::lock_guard guard(all->mutex);
      all->cancel("", reason);
    }
  };
  on_.tape->attach(std::move(links));
  r.env = [tape = on_.tape](const std::string& name) { return tape->variable(name); };
  r.sources = [env = env_, tape = on_.tape](const std::string& name) { return tape->source(name, env->source(name)); };
  r.known = on_.tape->known(std::move(r.known));
  r.log_dir = on_.tape->log_folder(r.log_dir);
}

void engine_core::start_tape() {
  on_.turns->start_clock();
  on_.tape->start();
}

std::string engine_core::begin_tape(const std::string& task, const opening& whole, const question& q) {
  for (auto& a : whole.agents)
    if (!a.backend.workspace.cwd.empty())
      return no_tape_of_workspaces;
  return on_.tape->begin(task, whole, q.text);
}

std::string engine_core::end_tape(event_store& store, run_tape& tape, const std::string& task) {
  std::string error;
  std::vector<std::string> log;
  for (auto& e : store.read(task, 0, error))
    log.push_back(std::move(e.json));
  auto note = tape.finish(log);
  return error.empty() ? note : "the log of the recorded run cannot be read: " + error;
}

} // namespace conclave
