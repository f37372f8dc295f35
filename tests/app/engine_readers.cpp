// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.engine_readers

#include "app/engine.hpp"
#include "caf/test/unit_test.hpp"
#include "support/engine_fixture.hpp"

#include <caf/all.hpp>

#include <future>
#include <string>
#include <vector>

using namespace conclave;
using namespace conclave::test;

CAF_TEST(an engine ends although a callback of its host does not ) {
  folder f;
  auto go = std::make_shared<std::promise<void>>();
  auto left = std::make_shared<std::promise<void>>();
  {
    engine eng{f.options()};
    signal stuck;
    listener l;
    l.on_event = [gone = go->get_future().share(), s = stuck.promise, left, first = std::make_shared<bool>(true)](const event&) {
      if (!std::exchange(*first, false))
        return;
      s->set_value();
      gone.wait();
      left->set_value();
    };
    eng.start(team(), {"q", {}}, l, [](const outcome&) {});
    CAF_REQUIRE(stuck.came());
  }
  go->set_value();
  left->get_future().wait();
}

CAF_TEST(any number of readers follow a task and none holds it up) {
  folder f;
  engine eng{f.options()};
  std::promise<void> go;
  auto gone = go.get_future().share();
  std::vector<std::uint64_t> live, blocked, late;
  std::string text;
  signal running, all_late, all_blocked;
  ending end;
  auto into = [](std::vector<std::uint64_t>& to, const signal* whole = nullptr) {
    listener l;
    l.on_event = [&to, whole](const event& e) {
      to.push_back(e.seq);
      if (whole != nullptr && e.type == event_type::task_ended)
        whole->promise->set_value();
    };
    return l;
  };
  auto stuck = into(blocked, &all_blocked);
  stuck.on_event = [then = stuck.on_event, gone](const event& e) {
    gone.wait();
    then(e);
  };
  auto held = eng.watch({}, stuck);
  CAF_CHECK(held);
  auto l = into(live);
  l.on_chunk = on_first_chunk(running).on_chunk;
  auto id = eng.start(endless(), {"q", {}}, l, end.done());
  CAF_REQUIRE(running.came());
  auto tasks = eng.running();
  CAF_REQUIRE_EQUAL(tasks.size(), 1u);
  CAF_CHECK_EQUAL(tasks.front().task, id);
  CAF_CHECK_EQUAL(tasks.front().question, "q");
  auto other = into(late, &all_late);
  other.on_chunk = [&](const chunk_batch& b) {
    for (auto& c : b.chunks)
      text += c.text;
  };
  auto second = eng.watch({id}, other);
  eng.cancel(id, "enough");
  CAF_REQUIRE(end.came());
  CAF_REQUIRE(all_late.came());
  CAF_CHECK(!live.empty());
  CAF_CHECK_EQUAL(late, live);
  CAF_CHECK_NOT_EQUAL(text.find("half a thought"), std::string::npos);
  CAF_CHECK_EQUAL(blocked.size(), 0u);
  go.set_value();
  CAF_REQUIRE(all_blocked.came());
  CAF_CHECK_EQUAL(blocked, live);
  second.end();
  CAF_CHECK(!second);
  CAF_CHECK_EQUAL(eng.running().size(), 0u);
  eng.stop();
  engine_options nowhere;
  nowhere.store_path = "/proc/none/x.db";
  CAF_CHECK(!engine{nowhere}.watch({}, {}));
}
