// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Every task of a store that a test left behind, played again by this build.

#include "caf/test/unit_test.hpp"
#include "protocols/replay.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace conclave::test {

/// Fails the test if a decision, a prompt or a run's state of a task is another one in this build. No store, no tasks.
inline void verify_store(const std::string& path) {
  std::string error;
  auto store = std::filesystem::exists(path) ? event_store::open(path, error, store_use::reading) : nullptr;
  for (auto& row : store ? store->list(error) : std::vector<task_row>{}) {
    std::vector<event> log;
    for (auto& stored : store->read(row.task, 0, error)) {
      log.emplace_back();
      CAF_CHECK(wire::from_json(stored.json, log.back()));
    }
    std::map<std::string, std::string> bodies;
    for (auto& b : store->bodies(row.task, {}, error))
      bodies.emplace(std::move(b.sha), std::move(b.bytes));
    ledger::run_check runs;
    auto find = [&](const std::string& sha) {
      auto i = bodies.find(sha);
      return i == bodies.end() ? nullptr : &i->second;
    };
    CAF_CHECK_EQUAL(ledger::verify(log, find, &runs), "");
    CAF_CHECK_EQUAL(runs.prompts.first, "");
    CAF_CHECK_EQUAL(runs.states.first, "");
  }
  CAF_CHECK_EQUAL(error, "");
}

} // namespace conclave::test
