// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.engine_readers

#include "app/engine.hpp"
#include "caf/test/unit_test.hpp"
#include "support/engine_fixture.hpp"

#include <caf/all.hpp>

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
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

namespace {

/// Takes an event only when it may: `tokens` are given by others, without end once it is free.
struct paced_reader {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::uint64_t> seqs;
  std::size_t tokens = 0;
  bool free = false, whole = false;

  explicit paced_reader(bool is_free) : free(is_free) {}

  listener calls(std::function<void()> then = {}) {
    listener l;
    l.on_event = [this, then](const event& e) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return free || tokens > 0; });
        tokens -= tokens > 0 ? 1 : 0;
        seqs.push_back(e.seq);
        whole = e.type == event_type::task_ended;
        changed.notify_all();
      }
      if (then)
        then();
    };
    l.on_chunk = [](const chunk_batch&) {};
    return l;
  }

  void give() {
    std::lock_guard guard(mutex);
    ++tokens;
    changed.notify_all();
  }

  std::size_t count() {
    std::lock_guard guard(mutex);
    return seqs.size();
  }

  /// Every event, from then on at its own pace.
  bool has_all() {
    std::unique_lock lock(mutex);
    free = true;
    changed.notify_all();
    return changed.wait_for(lock, deadline, [this] { return whole; });
  }
};

} // namespace

CAF_TEST(thirty agents are followed by readers of every pace and each gets every event once and in order) {
  folder f;
  engine eng{f.options()};
  run_config crowd;
  for (int i = 0; i < 30; ++i) {
    crowd.agents.push_back(scripted_member("m" + std::to_string(i)));
    auto& first = crowd.agents.back().backend.script[0];
    first.text = std::string(2'000, 'x');
    first.chunk_bytes = 20;
    first.chunk_delay_ms = 1;
  }
  paced_reader fast(true), blocked(false), slow(false), other(true), late(true);
  signal begun;
  ending end;
  // One event for ten: it falls behind by more than may wait for it.
  auto then = [&, n = std::make_shared<std::size_t>(0)] {
    if (++*n == 100)
      begun.promise->set_value();
    if (*n % 10 == 0)
      slow.give();
  };
  auto first = eng.watch({}, blocked.calls()), second = eng.watch({}, slow.calls()), third = eng.watch({}, other.calls());
  auto id = eng.start(crowd, {"q", {}}, fast.calls(then), end.done());
  CAF_REQUIRE(begun.came());
  auto fourth = eng.watch({id}, late.calls());
  CAF_REQUIRE(end.came());
  CAF_CHECK_EQUAL(end.future.get().answer, "final");
  CAF_CHECK_EQUAL(blocked.count(), 0u);
  CAF_CHECK_LESS(slow.count(), fast.count() / 2);
  CAF_CHECK_GREATER(fast.count(), watch_bounds{}.events + 1);
  for (std::size_t i = 0; i < fast.seqs.size(); ++i)
    CAF_REQUIRE_EQUAL(fast.seqs[i], i + 1);
  for (auto* r : {&blocked, &slow, &other, &late}) {
    CAF_CHECK(r->has_all());
    CAF_CHECK_EQUAL(r->seqs, fast.seqs);
  }
}
