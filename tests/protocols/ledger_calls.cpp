// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Calls in the log and the end of a task that waits for them: docs/protocol.md 4.5, 8.1.

#define CAF_SUITE protocols.ledger_calls

#include "caf/test/unit_test.hpp"
#include "tests/support/ledger_driver.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

using strings = std::vector<std::string>;

ledger_driver ready(const strings& ids, const ledger::rules& r = {}) {
  ledger_driver x{r, ids};
  x.start();
  return x;
}

ledger_driver presenting(const strings& ids, const ledger::rules& r = {}) {
  auto x = ready(ids, r);
  for (auto& id : ids)
    x.answer(id, "A" + id);
  for (auto& id : ids)
    x.vote(id, "agent1");
  return x;
}

} // namespace

CAF_TEST(a call is made only for the current run and its number once) {
  auto x = ready({"a", "b"});
  auto run = x.run_of("a");
  CAF_CHECK(x.begin_call("a").kind == ruling_kind::accepted);
  CAF_CHECK_EQUAL(x.last(event_type::call_started).number, 1);
  CAF_CHECK(x.begin_call("a", "model", run + 7).kind == ruling_kind::superseded);
  CAF_CHECK(x.begin_call("nobody").kind == ruling_kind::superseded);
  auto again = x.of_run(command_kind::begin_call, "a");
  again.call = 1;
  again.target = "model";
  auto d = x.step(again); // the reply was lost: go, and it is in the log once
  CAF_CHECK(d.kind == ruling_kind::accepted && d.events.empty());
  x.end_call("a", run, 1);
  d = x.step(again);
  CAF_CHECK(d.kind == ruling_kind::refused);
  CAF_CHECK_EQUAL(d.reason, "call 1 of a was made before; the next one is 2");
  x.answer("a", "A");
  CAF_CHECK(x.begin_call("a", "model", run).kind == ruling_kind::superseded);
  x.cancel();
  CAF_CHECK(x.begin_call("b").kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.count(event_type::call_started), 1u);
}

CAF_TEST(the end of a call counts once and also after its run) {
  auto x = ready({"a", "b"});
  auto run = x.run_of("a");
  x.begin_call("a");
  x.fire(timer_kind::run, "a");
  CAF_CHECK(x.run_of("a") != run);
  CAF_CHECK(x.end_call("a", run, 2).kind == ruling_kind::superseded); // never begun
  CAF_CHECK(x.end_call("a", run, 1, "cancelled").kind == ruling_kind::accepted);
  CAF_CHECK(x.end_call("a", run, 1).kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.of("a").use.output_tokens, 5);
  CAF_CHECK_EQUAL(x.of("a").model_calls, 1u);
}

CAF_TEST(the answer is out at once and the end waits for the calls under way) {
  auto x = presenting({"a", "b"});
  auto run = x.run_of("a");
  x.begin_call("a", "mcp__files__write");
  x.present("P");
  CAF_CHECK(x.s.phase == ledger::phase::closing);
  CAF_CHECK_EQUAL(x.count(event_type::final_answer), 1u);
  CAF_CHECK_EQUAL(x.count(event_type::session_end) + x.count(event_type::task_ended), 0u);
  CAF_CHECK(!ledger::want(x.s).done);
  CAF_CHECK_EQUAL(x.due(timer_kind::closing), x.now + 1'500);
  // Nothing else happens in that time.
  CAF_CHECK(x.notice("a", "late").events.empty());
  CAF_CHECK(x.cancel().events.empty());
  CAF_CHECK(x.lose("b", ec::unavailable, "gone").events.empty());
  CAF_CHECK(x.step(x.of_run(command_kind::answer, "b")).events.empty());
  x.end_call("a", run, 1);
  CAF_CHECK(x.s.phase == ledger::phase::done);
  CAF_CHECK(x.result().kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(x.result().finish_reason, "completed");
  auto n = x.log.size();
  CAF_CHECK(x.log[n - 3].type == event_type::call_ended && x.log[n - 2].type == event_type::session_end);
  CAF_CHECK(x.end_call("a", run, 1).kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.log.size(), n);
}

CAF_TEST(a call that does not end holds the end up for a bounded time) {
  ledger::rules r;
  r.closing_ms = 700;
  auto x = ready({"a", "b"}, r);
  x.begin_call("a");
  x.begin_call("b", "slow");
  x.fire(timer_kind::coordination);
  CAF_CHECK(x.s.phase == ledger::phase::closing);
  CAF_CHECK_EQUAL(x.due(timer_kind::closing), x.now + 700);
  x.fire(timer_kind::closing);
  CAF_CHECK(x.result().kind == outcome_kind::timed_out);
  CAF_CHECK(x.result().code == ec::timeout);
  CAF_CHECK(x.result().error.find("deadline") != std::string::npos);
  CAF_CHECK_EQUAL(x.count(event_type::call_ended), 2u);
  CAF_CHECK_EQUAL(x.last(event_type::call_ended).reason, "unknown");
  CAF_CHECK_EQUAL(x.of("a").use.unreported, 1);
  CAF_CHECK_EQUAL(x.of("b").use.unreported, 0); // a tool costs no tokens
  r.closing_ms = 0;
  auto y = ready({"a"}, r);
  y.begin_call("a");
  y.fire(timer_kind::coordination);
  CAF_CHECK(y.s.phase == ledger::phase::done);
  CAF_CHECK_EQUAL(y.count(event_type::call_ended), 1u);
}

CAF_TEST(the calls of a straggler are under way until their ends are told) {
  ledger::rules r;
  r.strategy = ledger::strategy::winner_reuse;
  auto x = ready({"a", "b"}, r);
  auto run = x.run_of("b");
  x.begin_call("b");
  x.answer("a", "A");
  x.fire(timer_kind::patience);
  x.vote("a", "agent1");
  x.vote("b", "agent1");
  CAF_CHECK(x.s.phase == ledger::phase::closing);
  x.end_call("b", run, 1, "cancelled");
  CAF_CHECK_EQUAL(x.result().answer, "A");
}

CAF_TEST(a cancel does not wait twice) {
  auto x = ready({"a", "b"});
  auto run = x.run_of("b");
  x.begin_call("a");
  x.begin_call("b");
  x.cancel();
  x.fail("a", ec::cancelled);
  x.fail("b", ec::cancelled);
  CAF_CHECK(x.s.phase == ledger::phase::closing); // both have reported, their calls have not ended yet
  x.end_call("b", run, 1, "cancelled");
  CAF_CHECK(x.s.phase == ledger::phase::closing);
  x.fire(timer_kind::closing);
  CAF_CHECK(x.result().kind == outcome_kind::interrupted);
  auto y = ready({"a"});
  y.begin_call("a");
  y.cancel();
  y.fire(timer_kind::cancel_grace);
  CAF_CHECK(y.s.phase == ledger::phase::done);
  CAF_CHECK_EQUAL(y.last(event_type::call_ended).reason, "unknown");
}

CAF_TEST(nobody waits for the calls of agents that are gone) {
  auto x = presenting({"a", "b"});
  x.begin_call("a");
  x.lose_node("far", {"a", "b"});
  CAF_CHECK(x.s.phase == ledger::phase::done);
  CAF_CHECK_EQUAL(x.last(event_type::call_ended).reason, "unknown");
  auto y = ready({"a", "b"});
  y.begin_call("b");
  y.fail("b", ec::unauthorized, "401"); // out, but still there to tell the end
  CAF_CHECK(ledger::has_open_calls(y.s));
  y.lose("b", ec::unknown, "it crashed");
  CAF_CHECK(!ledger::has_open_calls(y.s));
  CAF_CHECK_EQUAL(y.count(event_type::agent_out, "b"), 1u);
}

CAF_TEST(a notice counts nothing) {
  auto x = ready({"a"});
  auto before = x.s;
  x.notice("a", "works without tools");
  before.last_ms = x.s.last_ms;
  CAF_CHECK(x.s == before);
  CAF_CHECK_EQUAL(x.last(event_type::agent_notice).reason, "works without tools");
  CAF_CHECK(x.notice("nobody", "x").events.empty());
}

CAF_TEST(a failed store ends the task for the host alone whatever its state) {
  for (auto ended : {false, true}) {
    auto x = presenting({"a", "b"});
    x.begin_call("a");
    if (ended)
      x.fire(timer_kind::presentation), x.fire(timer_kind::closing);
    auto before = x.s;
    command c;
    c.kind = command_kind::give_up;
    c.now_ms = x.now;
    c.code = ec::unavailable;
    c.reason = "the disk is full";
    auto d = ledger::advance(x.s, c);
    CAF_REQUIRE_EQUAL(d.events.size(), 1u);
    CAF_CHECK(d.events[0] == [&] {
      auto e = events::task_ended(outcome_kind::failed, "the disk is full", ec::unavailable);
      e.time_ms = x.now;
      return e;
    }());
    CAF_CHECK(x.s == before); // no log holds it
  }
}

CAF_TEST(a refused verdict says what may be voted for and what the run was) {
  auto x = ready({"a", "b"});
  x.answer("a", "A");
  x.answer("b", "B");
  auto c = x.of_run(command_kind::vote, "a");
  c.target = "agent9";
  c.said = {"aa"};
  c.state = "bb";
  c.kept = 3;
  x.step(c);
  auto& e = x.last(event_type::refused);
  CAF_CHECK(e.labels == strings({"agent1", "agent2"}));
  CAF_CHECK(e.said == strings({"aa"}));
  CAF_CHECK_EQUAL(e.state, "bb");
  CAF_CHECK_EQUAL(e.kept, 3u);
}

CAF_TEST(an invariant broken is named) {
  auto x = presenting({"a", "b"});
  x.begin_call("a");
  auto s = x.s;
  s.phase = ledger::phase::done;
  s.terminals = 1;
  s.outcome = outcome_kind::answered;
  s.final_text = "P";
  s.presentation = {};
  CAF_CHECK_EQUAL(ledger::check(s), "the task has ended and a call has no end");
  s = x.s;
  s.next_run = 1;
  CAF_CHECK(!ledger::check(s).empty());
  s = x.s;
  s.started_ms = s.last_ms + 1;
  CAF_CHECK_EQUAL(ledger::check(s), "the task starts after its newest event");
  s = x.s;
  s.members[0].open.push_back(s.members[0].open[0]);
  CAF_CHECK(ledger::check(s).find("not its own") != std::string::npos);
}

CAF_TEST(only equal hashes make equal answers and old ones keep theirs) {
  auto x = ready({"a"});
  x.answer("a", "The  Answer");
  auto& a = x.of("a").answers[0];
  CAF_CHECK(!a.key.empty());
  CAF_CHECK(x.answer("a", " the answer").kind == ruling_kind::refused);
  CAF_CHECK(x.answer("a", "the answer.").kind == ruling_kind::accepted);
  CAF_CHECK(x.of("a").answers[0].key != x.of("a").answers[1].key);
}
