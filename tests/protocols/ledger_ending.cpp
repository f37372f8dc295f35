// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// How a task ends: presentation, deadlines, cancelling: docs/protocol.md 4 and 5.4.

#define CAF_SUITE protocols.ledger_ending

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json.hpp"
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

// Everybody answered and voted for the first, who presents now.
ledger_driver presenting(const strings& ids, const ledger::rules& r = {}) {
  auto x = ready(ids, r);
  for (auto& id : ids)
    x.answer(id, "A" + id);
  for (auto& id : ids)
    x.vote(id, "agent1");
  return x;
}

} // namespace

CAF_TEST(a blank presentation is retried once and then the stored answer stands) {
  auto x = presenting({"a", "b"});
  auto first = x.run_of("a");
  CAF_CHECK(x.present("").kind == ruling_kind::accepted);
  CAF_CHECK_NOT_EQUAL(x.run_of("a"), first);
  CAF_CHECK_EQUAL(x.count(event_type::presentation_started), 1u);
  CAF_CHECK_EQUAL(x.count(event_type::presentation_retried), 1u);
  CAF_CHECK(!x.last(event_type::presentation_retried).reason.empty());
  CAF_CHECK_EQUAL(x.last(event_type::run_started).number, 2);
  x.present(" \n");
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK_EQUAL(x.result().finish_reason, "fallback");
  CAF_CHECK_EQUAL(x.last(event_type::presentation_fallback).text, "Aa");
  CAF_CHECK_EQUAL(x.of("a").failures, 0u);
}

CAF_TEST(the text of an error never becomes the answer) {
  auto x = presenting({"a", "b"});
  x.fail("a", ec::unavailable, "Error: 503", "Error: 503");
  x.fail("a", ec::stream_broken, "Error: reset", "half a sent");
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK(x.result().kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(x.count(event_type::task_ended), 1u);
  auto y = presenting({"a", "b"});
  y.fail("a");
  y.present("second try");
  CAF_CHECK_EQUAL(y.result().answer, "second try");
  CAF_CHECK_EQUAL(y.result().finish_reason, "completed");
}

CAF_TEST(a fatal error of the presenter goes straight to the stored answer) {
  auto x = presenting({"a", "b"});
  x.fail("a", ec::unauthorized, "401");
  CAF_CHECK_EQUAL(x.presentation_runs, 1u);
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK(!x.of("a").live);
}

CAF_TEST(a winner that is lost does not present) {
  auto x = presenting({"a", "b"});
  x.lose("b", ec::unavailable, "gone"); // nobody waits for it
  CAF_CHECK(x.s.phase == ledger::phase::presenting);
  x.lose("a", ec::unavailable, "gone");
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK_EQUAL(x.last(event_type::presentation_fallback).reason, "the winner is out: gone");
}

CAF_TEST(the presentation has one deadline as a whole) {
  auto x = presenting({"a", "b"});
  auto due = x.due(timer_kind::presentation);
  CAF_CHECK_EQUAL(due, x.now + 300'000);
  x.wait(200'000);
  x.fail("a");
  CAF_CHECK_EQUAL(x.due(timer_kind::presentation), due);
  x.fire(timer_kind::presentation);
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK_EQUAL(x.result().finish_reason, "fallback");
  CAF_CHECK_EQUAL(x.count(event_type::agent_timeout, "a"), 1u);
  ledger::rules r;
  r.skip_coordination = true;
  auto y = ready({"a"}, r);
  y.fire(timer_kind::presentation);
  CAF_CHECK(y.result().kind == outcome_kind::timed_out); // nothing to fall back to
  CAF_CHECK(y.result().code == ec::timeout);
}

CAF_TEST(a truncated presentation is delivered and marked) {
  auto x = presenting({"a"});
  x.present("cut off he", true);
  CAF_CHECK_EQUAL(x.result().answer, "cut off he");
  CAF_CHECK(x.result().truncated);
  CAF_CHECK(x.last(event_type::final_answer).flag);
}

CAF_TEST(winner_reuse delivers the stored answer without a call) {
  ledger::rules r;
  r.strategy = ledger::strategy::winner_reuse;
  auto x = presenting({"a", "b"}, r);
  CAF_CHECK(x.s.phase == ledger::phase::done);
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK_EQUAL(x.result().finish_reason, "completed");
  CAF_CHECK_EQUAL(x.presentation_runs, 0u);
  CAF_CHECK_EQUAL(x.count(event_type::presentation_fallback), 0u);
}

namespace {

const folder_change in_repo{"/home/u/repo", std::string(64, 'a'), std::string(64, 'b'), 3, "c0ffee"};

// Each answer changes the repository; that of the first agent wins.
ledger_driver with_changes(const ledger::rules& r) {
  auto x = ready({"a", "b"}, r);
  for (std::string id : {"a", "b"}) {
    auto c = x.of_run(command_kind::answer, id);
    c.text = "A" + id;
    c.files.snapshot = std::string(64, id.front());
    c.files.files = 5;
    c.files.changes = {in_repo};
    c.files.changes.front().commit += id;
    CAF_REQUIRE(x.step(c).kind == ruling_kind::accepted);
  }
  CAF_CHECK_EQUAL(x.count(event_type::changes_proposed), 0u);
  for (std::string id : {"a", "b"})
    x.vote(id, "agent1");
  return x;
}

} // namespace

CAF_TEST(a stored answer that is delivered proposes what its files change) {
  ledger::rules reuse;
  reuse.strategy = ledger::strategy::winner_reuse;
  auto check = [&](const ledger_driver& x, const char* what) {
    CAF_MESSAGE(what);
    CAF_CHECK_EQUAL(x.result().answer, "Aa");
    CAF_CHECK_EQUAL(x.result().snapshot, std::string(64, 'a'));
    auto expected = in_repo;
    expected.commit += "a";
    CAF_CHECK(x.result().changes == std::vector<folder_change>{expected});
    CAF_CHECK_EQUAL(x.last(event_type::changes_proposed).run, 0u);
    ledger::state again; // as somebody else reads it from the store
    again.rules = x.s.rules;
    for (auto e : x.log) {
      e.seq = 1;
      event stored;
      CAF_REQUIRE(wire::from_json(wire::to_json(e), stored));
      ledger::fold(again, stored);
    }
    CAF_CHECK(ledger::to_outcome(again, "").changes == x.result().changes);
  };
  check(with_changes(reuse), "reused");
  auto x = with_changes({});
  x.fail("a");
  x.fail("a");
  check(x, "after two presentations that failed");
  auto y = with_changes({});
  y.fire(timer_kind::presentation);
  check(y, "after the deadline");
  auto z = with_changes({});
  z.lose("a", ec::unavailable, "its node is lost");
  check(z, "with the winner out");
}

CAF_TEST(a presentation proposes what it changes and nothing of its answer) {
  auto x = with_changes({});
  auto c = x.of_run(command_kind::present, "a");
  c.text = "P";
  c.files.snapshot = std::string(64, 'f');
  x.step(c);
  CAF_CHECK(x.result().changes.empty());
  CAF_CHECK_EQUAL(x.result().snapshot, std::string(64, 'f'));
}

CAF_TEST(each kind of run takes its own verdicts only) {
  auto x = presenting({"a", "b"});
  CAF_CHECK(x.answer("a", "new").kind == ruling_kind::refused);
  CAF_CHECK(x.vote("a", "agent1").kind == ruling_kind::refused);
  CAF_CHECK(x.answer("b", "new").kind == ruling_kind::superseded);
  auto y = ready({"a"});
  auto c = y.of_run(command_kind::present, "a");
  c.text = "P";
  CAF_CHECK(y.step(c).kind == ruling_kind::refused);
}

CAF_TEST(a repeated verdict does not count twice) {
  auto x = ready({"a", "b"});
  auto c = x.of_run(command_kind::answer, "a");
  c.text = "A";
  CAF_CHECK(x.step(c).kind == ruling_kind::accepted);
  CAF_CHECK(x.step(c).kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.s.epoch, 1u);
  x.answer("b", "B");
  auto v = x.of_run(command_kind::vote, "a");
  v.target = "agent2";
  x.step(v);
  CAF_CHECK(x.step(v).events.empty());
  CAF_CHECK_EQUAL(x.of("a").votes_cast, 1u);
}

CAF_TEST(the deadline without answers) {
  ledger::rules r;
  r.coordination_ms = 1'000;
  auto x = ready({"a", "b"}, r);
  x.fire(timer_kind::coordination);
  auto o = x.result();
  CAF_CHECK(o.kind == outcome_kind::timed_out);
  CAF_CHECK(o.code == ec::timeout);
  CAF_CHECK_EQUAL(o.finish_reason, "timeout");
  CAF_CHECK(o.error.find("1 s") != std::string::npos || o.error.find("deadline") != std::string::npos);
  CAF_CHECK_EQUAL(x.count(event_type::agent_timeout), 2u);
  CAF_CHECK_EQUAL(x.count(event_type::task_ended), 1u);
  CAF_CHECK_EQUAL(x.of("a").failures, 0u);
}

CAF_TEST(the deadline with answers and no votes) {
  auto x = ready({"a", "b"});
  x.answer("a", "A");
  x.fire(timer_kind::coordination);
  CAF_CHECK_EQUAL(x.s.winner, "a");
  CAF_CHECK_EQUAL(x.run_of("b"), 0u); // past the deadline: cancelled
  x.present("P");
  CAF_CHECK_EQUAL(x.presentation_runs, 1u);
  CAF_CHECK_EQUAL(x.result().answer, "P");
  CAF_CHECK_EQUAL(x.result().finish_reason, "timeout");
}

CAF_TEST(the deadline with void votes) {
  auto x = ready({"a", "b"});
  x.answer("a", "A");
  x.answer("b", "B");
  x.vote("a", "agent1");
  x.answer("b", "B2");
  x.fire(timer_kind::coordination);
  CAF_CHECK_EQUAL(x.s.winner, "b");
  CAF_CHECK_EQUAL(x.last(event_type::final_agent_selected).number, 0);
  CAF_CHECK_EQUAL(x.last(event_type::final_agent_selected).reason, "no current votes: newest answer");
}

CAF_TEST(at the deadline current votes beat the newest answer) {
  auto x = ready({"a", "b", "c"});
  for (auto* id : {"a", "b", "c"})
    x.answer(id, std::string{"A"} + id);
  x.vote("b", "agent1");
  x.fire(timer_kind::coordination);
  CAF_CHECK_EQUAL(x.s.winner, "a");
}

CAF_TEST(a deadline cancels runs and never the host) {
  auto x = ready({"a", "b"});
  x.answer("a", "A");
  x.fire(timer_kind::coordination);
  x.fire(timer_kind::presentation);
  CAF_CHECK_EQUAL(x.result().answer, "A"); // the fallback arrives however late it is read
  CAF_CHECK_EQUAL(x.result().finish_reason, "timeout");
}

CAF_TEST(a cancel waits for the partial texts of the active runs) {
  auto x = ready({"a", "b", "c"});
  x.answer("c", "C");
  x.cancel();
  CAF_CHECK(x.s.phase == ledger::phase::cancelling);
  CAF_CHECK(ledger::want(x.s).runs.empty());
  CAF_CHECK_EQUAL(x.due(timer_kind::cancel_grace), x.now + 1'500);
  x.fail("a", ec::cancelled, "cancelled", "so far");
  CAF_CHECK_EQUAL(x.last(event_type::run_ended).text, "so far");
  CAF_CHECK(x.s.phase == ledger::phase::cancelling);
  CAF_CHECK(x.answer("b", "too late").kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.last(event_type::run_ended).text, "too late"); // kept, but no answer any more
  auto o = x.result();
  CAF_CHECK(o.kind == outcome_kind::interrupted);
  CAF_CHECK(o.answer.empty());
  CAF_CHECK(o.error.find("SIGINT") != std::string::npos);
  CAF_CHECK_EQUAL(x.count(event_type::agent_cancelled), 2u);
  CAF_CHECK_EQUAL(x.s.epoch, 1u);
}

CAF_TEST(a cancel ends after its grace or at once if nothing runs) {
  auto x = ready({"a", "b"});
  x.cancel();
  x.fire(timer_kind::cancel_grace);
  CAF_CHECK(x.result().kind == outcome_kind::interrupted);
  CAF_CHECK_EQUAL(x.count(event_type::agent_cancelled), 2u);
  auto y = ready({"a"});
  y.fail("a");
  y.cancel();
  CAF_CHECK(y.s.phase == ledger::phase::done);
  auto z = presenting({"a", "b"});
  z.cancel();
  z.fail("a", ec::cancelled, "cancelled", "half");
  CAF_CHECK(z.result().kind == outcome_kind::interrupted);
  CAF_CHECK(z.result().answer.empty());
  CAF_CHECK(z.cancel().kind == ruling_kind::superseded);
}

CAF_TEST(a node lost while cancelling does not hold the end up) {
  auto x = ready({"a", "b"});
  x.cancel();
  x.fail("a", ec::cancelled);
  x.lose_node("n", {"b"});
  CAF_CHECK(x.s.phase == ledger::phase::done);
}

CAF_TEST(a timer nobody waits for does nothing) {
  auto x = ready({"a"});
  for (auto kind : {timer_kind::patience, timer_kind::presentation, timer_kind::backoff, timer_kind::cancel_grace,
                    timer_kind::round0_half, timer_kind::coordination, timer_kind::run})
    CAF_CHECK(x.fire(ledger::timer_key{kind, "a", 77, x.now}).events.empty());
}

CAF_TEST(what is done with the files of a task changes nothing of it) {
  auto x = presenting({"a", "b"});
  x.present("the final words");
  CAF_REQUIRE(x.s.phase == ledger::phase::done);
  for (auto& e : {events::changes_applied({"/home/u", 3, "abcdef"}), events::changes_undone({"/home/u", 3, "abcdef"}),
                  events::changes_applied({"/home/u", 3, "c0ffee", "mine"})}) {
    auto before = x.s;
    auto late = e;
    late.agent = "a";
    late.time_ms = x.s.last_ms + 86'400'000;
    ledger::fold(x.s, late);
    CAF_CHECK(x.s == before);
  }
  CAF_CHECK_EQUAL(ledger::check(x.s), "");
}

CAF_TEST(unknown events change nothing) {
  auto x = presenting({"a", "b"});
  auto before = x.s;
  event e;
  e.type = event_type::unknown;
  e.agent = "a";
  e.number = 7;
  ledger::fold(x.s, e);
  for (auto type : {event_type::new_answer, event_type::vote_cast, event_type::run_started, event_type::agent_out}) {
    e.type = type;
    e.agent = "stranger";
    ledger::fold(x.s, e);
  }
  CAF_CHECK(x.s == before);
}
