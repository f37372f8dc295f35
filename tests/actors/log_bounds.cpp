// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.log_bounds

// A log has bounds; at each its task ends, whoever owns it by then.

#include "support/task_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

struct bounds_fixture : task_fixture {
  bounds_fixture() {
    rules.strategy = ledger::strategy::winner_reuse;
    rules.patience_ms = 0;
  }

  /// How many notices say that the log is full.
  std::size_t notices() const {
    return static_cast<std::size_t>(std::count_if(host->events.begin(), host->events.end(), [](const event& e) {
      return e.type == event_type::agent_notice && e.reason.find("the task is ended") != std::string::npos;
    }));
  }

  void check_ended_with(const std::string& answer) {
    CAF_REQUIRE(finish());
    CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
    CAF_CHECK_EQUAL(outcomes[0].answer, answer);
    CAF_CHECK_EQUAL(outcomes[0].finish_reason, "timeout");
    CAF_CHECK_EQUAL(notices(), 1u);
    CAF_CHECK(gone_ms() < 10'000);
    check_end();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(log_bounds_tests, bounds_fixture)

CAF_TEST(a log with as many events as it may have ends its task with the answer there is) {
  bounds.events = 12;
  member("a", {answers("one"), hangs()});
  ask();
  check_ended_with("one");
}

CAF_TEST(a log with as many bytes as it may have ends its task with the answer there is) {
  bounds.bytes = 20'000;
  auto text = std::string(20'000, 'x');
  member("a", {answers(text), hangs()});
  ask();
  check_ended_with(text);
}

CAF_TEST(without an answer a full log ends its task as the deadline does) {
  bounds.events = 3;
  member("a", {hangs()});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::timed_out);
  CAF_CHECK_EQUAL(notices(), 1u);
  check_end();
}

CAF_TEST(what earlier owners stored counts against the bounds of a log) {
  member("a", {answers("one"), hangs()});
  ask();
  CAF_REQUIRE(until([this] { return model_calls() == 2; }));
  auto before = book->stored;
  auto state = ledger::make(rules, {"a"});
  for (auto& e : before)
    ledger::fold(state, e);
  for (auto [of_bytes, of_events, full] : {std::tuple{0u, 0u, false}, std::tuple{1'000'000u, 0u, true}, std::tuple{0u, 1u, true}}) {
    bounds_fixture x;
    x.bounds.bytes = 1'000'000;
    x.bounds.events = of_events > 0 ? before.size() + of_events : 100'000;
    x.book->stored = before;
    x.revived = std::make_shared<revived_task>();
    x.revived->log = state;
    x.revived->seq = before.size();
    x.revived->stored_bytes = of_bytes;
    x.member("a", {answers("one"), hangs()});
    x.ask();
    CAF_CHECK_EQUAL(x.notices(), full ? 1u : 0u);
    if (full)
      x.check_ended_with("one");
  }
}

CAF_TEST(an agent whose body is larger than it may be is out) {
  bounds.body = 64;
  member("a", {answers("one")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_REQUIRE(last(event_type::agent_out) != nullptr);
  CAF_CHECK(last(event_type::agent_out)->code == ec::bad_reply);
  check_end();
}

CAF_TEST_FIXTURE_SCOPE_END()
