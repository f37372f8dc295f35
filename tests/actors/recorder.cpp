// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.recorder

#include "actors/recorder.hpp"

#include "support/fixture.hpp"
#include "transports/event_store.hpp"

using namespace conclave;

namespace {

/// Remembers what it was told and calls back when the test says so, as the writing thread would.
struct fake_store : event_store {
  struct call {
    std::string task;
    std::uint64_t fence, expected;
    std::vector<std::string> events;
    append_note note;
    callback done;
  };
  std::vector<call> calls;

  void append(std::string task, std::uint64_t fence, std::uint64_t expected, append_batch batch, callback done) override {
    calls.push_back({std::move(task), fence, expected, std::move(batch.events), std::move(batch.note), std::move(done)});
  }
  void claim(std::string, task_owner, std::function<void(claim_result)>) override {}
  void release(const std::string&) override {}
  void read(std::string, std::uint64_t, std::size_t, std::function<void(event_page)>) override {}
  void read_bodies(std::string, std::vector<std::string>, std::function<void(body_page)>) override {}
  bool request_cancel(const std::string&, const std::string&, std::string&) override { return false; }
  void on_cancel(std::function<void(std::string, std::string)>) override {}
  std::vector<stored_body> bodies(const std::string&, const std::vector<std::string>&, std::string&) override { return {}; }
  std::vector<stored_event> read(const std::string&, std::uint64_t, std::string&) override { return {}; }
  std::vector<task_row> list(std::string&) override { return {}; }
  bool remove(const std::string&, std::string&) override { return false; }
  std::vector<std::string> prune(std::int64_t, std::string&) override { return {}; }
};

struct recorder_fixture : conclave::test::fixture {
  std::shared_ptr<fake_store> store = std::make_shared<fake_store>();
  recorder_actor aut;
  std::vector<appended> replies;
  std::vector<caf::actor> callers;

  recorder_fixture() { aut = spawn_recorder(sys, store, "t", 3, {"mars", 4711, 5}); }

  ~recorder_fixture() {
    kill(aut);
    for (auto& c : callers)
      kill(c);
  }

  void append(std::uint64_t first, std::vector<event_type> types, std::string question = "") {
    append_events a;
    a.started = std::move(question);
    for (auto t : types) {
      event e;
      e.seq = first++;
      e.time_ms = 1'000;
      e.type = t;
      e.reason = "answered";
      a.events.push_back(std::move(e));
    }
    callers.push_back(sys.spawn([this, a](caf::event_based_actor* me) {
      me->request(aut, caf::infinite, a).then([this](appended& r) { replies.push_back(std::move(r)); });
    }));
    settle();
  }

  void store_says(std::size_t i, append_result r) {
    store->calls.at(i).done(std::move(r));
    settle();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(recorder_tests, recorder_fixture)

CAF_TEST(an append is answered once it is durable and in order) {
  append(1, {event_type::session_start, event_type::round_started}, "why?");
  append(3, {event_type::task_ended});
  CAF_REQUIRE_EQUAL(store->calls.size(), 2u);
  CAF_CHECK_EQUAL(replies.size(), 0u);
  CAF_CHECK_EQUAL(store->calls[0].task, "t");
  CAF_CHECK_EQUAL(store->calls[0].fence, 3u);
  CAF_CHECK_EQUAL(store->calls[0].expected, 0u);
  CAF_CHECK_EQUAL(store->calls[0].note.question, "why?");
  CAF_CHECK_EQUAL(store->calls[0].note.owner.host, "mars");
  CAF_CHECK_EQUAL(store->calls[0].note.owner.pid, 4711);
  CAF_CHECK_EQUAL(store->calls[0].events.size(), 2u);
  CAF_CHECK_EQUAL(store->calls[1].expected, 2u);
  CAF_CHECK_EQUAL(store->calls[1].note.outcome, "answered");
  store_says(0, {ec::none, "", 2});
  CAF_REQUIRE_EQUAL(replies.size(), 1u);
  CAF_CHECK_EQUAL(replies[0].seq, 2u);
  store_says(1, {ec::none, "", 3});
  CAF_REQUIRE_EQUAL(replies.size(), 2u);
  CAF_CHECK_EQUAL(replies[1].seq, 3u);
}

CAF_TEST(a full disk and a conflict are told as they are) {
  append(1, {event_type::session_start});
  append(2, {event_type::round_started});
  store_says(0, {ec::unavailable, "tasks.db: the disk is full", 0});
  store_says(1, {ec::denied, "tasks.db: another engine owns task t", 0});
  CAF_REQUIRE_EQUAL(replies.size(), 2u);
  CAF_CHECK(replies[0].code == ec::unavailable);
  CAF_CHECK_EQUAL(replies[0].error, "tasks.db: the disk is full");
  CAF_CHECK(replies[1].code == ec::denied);
}

CAF_TEST(an empty append asks the store nothing) {
  append(1, {});
  CAF_CHECK_EQUAL(store->calls.size(), 0u);
  CAF_CHECK_EQUAL(replies.size(), 1u);
}

CAF_TEST(the end of the recorder answers who waits and a late write finds nobody) {
  append(1, {event_type::session_start});
  kill(aut);
  CAF_REQUIRE_EQUAL(replies.size(), 1u);
  CAF_CHECK(replies[0].code == ec::cancelled);
  store_says(0, {ec::none, "", 1});
  CAF_CHECK_EQUAL(replies.size(), 1u);
}

CAF_TEST_FIXTURE_SCOPE_END()
