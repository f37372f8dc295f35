// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.resumer

#include "actors/resumer.hpp"

#include "actors/message_types.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/replay.hpp"
#include "protocols/run_state.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/sha256.hpp"
#include "support/store_fixture.hpp"

#include <caf/all.hpp>

using namespace conclave;
using namespace conclave::test;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct config : caf::actor_system_config {
  config() { add_messages(*this); }
};

/// A task of two agents that have begun, in a store, as its owner left it.
struct resumer_fixture {
  temp_dir dir;
  std::shared_ptr<event_store> store = open_store(dir.file());
  config cfg;
  caf::actor_system sys{cfg};
  std::vector<event> log;
  const std::string body = std::string(200'000, 'b');

  resumer_fixture() {
    opening o;
    for (auto* id : {"a", "b"}) {
      agent_config a;
      a.id = id;
      o.agents.push_back(std::move(a));
      o.nodes.push_back("local");
    }
    auto s = ledger::make({}, {"a", "b"});
    ledger::command c;
    c.text = "why?";
    c.opening = to_json(o);
    take(ledger::advance(s, c));
    for (auto* id : {"a", "b"}) {
      c = {};
      c.kind = ledger::command_kind::begin_run;
      c.agent = id;
      take(ledger::advance(s, c));
    }
    strings lines;
    for (auto& e : log)
      lines.push_back(wire::to_json(e));
    CAF_REQUIRE_EQUAL(append(*store, "t", 1, 0, lines, {1000, "why?", "", 2, {"here", 1, 1}}, {{wire::sha256(body), body}}).error,
                      "");
    store->release("t");
  }

  void take(ledger::decision d) {
    for (auto& e : d.events) {
      e.seq = log.size() + 1;
      log.push_back(std::move(e));
    }
  }

  resumed_task resume(std::vector<event> known, std::unordered_map<std::string, std::string> bodies = {}) {
    return await<resumed_task>([&](auto done) {
      resumer_parts p;
      p.task = "t";
      p.store = store;
      p.owner = {"here", 2, 2};
      p.done = done;
      p.log = std::move(known);
      p.bodies = std::move(bodies);
      spawn_resumer(sys, std::move(p));
    });
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(resumer_tests, resumer_fixture)

CAF_TEST(what a task has stored is counted over all its owners) {
  auto t = resume({});
  CAF_REQUIRE_EQUAL(t.error, "");
  CAF_CHECK_EQUAL(t.fence, 2u);
  CAF_CHECK_EQUAL(t.from.stored_bytes, body.size() + ledger::stored_bytes(log));
}

CAF_TEST(of a log that is known only what follows is read) {
  for (std::size_t n = 0; n <= log.size(); ++n) {
    std::vector<event> known(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(n));
    for (auto& e : known)
      e.step = "as it was handed over";
    auto t = resume(known);
    CAF_REQUIRE_EQUAL(t.error, "");
    CAF_CHECK_EQUAL(t.from.seq, log.size());
    CAF_CHECK_EQUAL(t.from.runs.size(), 2u);
    CAF_REQUIRE_EQUAL(t.log.size(), log.size());
    for (std::size_t i = 0; i < log.size(); ++i)
      CAF_CHECK_EQUAL(t.log[i].step, i < n ? "as it was handed over" : "");
    store->release("t");
  }
}

CAF_TEST(a body that the host has read already is not sought in the store) {
  auto run = log.back().run;
  for (auto& e : log)
    if (e.type == event_type::run_started && e.agent == "a")
      run = e.run;
  auto state = run::to_json(run::state{});
  auto sha = wire::sha256(state);
  auto known = log;
  known.back() = events::call_started({"a", run, 1, events::model_target}, "h", {{}, sha, 0}, call_effect::once);
  known.back().seq = log.size();
  auto t = resume(known);
  CAF_REQUIRE_EQUAL(t.error, "");
  CAF_CHECK_EQUAL(t.from.runs[run].state, "");
  CAF_REQUIRE_EQUAL(t.from.notices.size(), 1u);
  CAF_CHECK(has(t.from.notices.front().second, "its state is not in the store"));
  store->release("t");
  t = resume(known, {{sha, state}});
  CAF_REQUIRE_EQUAL(t.error, "");
  CAF_CHECK_EQUAL(t.from.runs[run].state, state);
  CAF_CHECK_EQUAL(t.from.notices.size(), 0u);
}

CAF_TEST(a log that is not the beginning of the stored one is refused and the task let go of) {
  auto more = log;
  more.push_back(log.back());
  ++more.back().seq;
  auto t = resume(more);
  CAF_CHECK(t.code == ec::bad_request);
  CAF_CHECK(has(t.error, "the store has " + std::to_string(log.size()) + " events of task t"));
  std::vector<event> gap(log.begin() + 1, log.end());
  CAF_CHECK(has(resume(gap).error, "event 1 is missing"));
  CAF_CHECK_EQUAL(resume({}).error, "");
}

CAF_TEST_FIXTURE_SCOPE_END()
