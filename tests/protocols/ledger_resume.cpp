// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A task that goes on after its engine died, and one that goes on where another ended: docs/protocol.md 9.4, 4.6.

#define CAF_SUITE protocols.ledger_resume

#include "caf/test/unit_test.hpp"
#include "tests/support/ledger_driver.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

using strings = std::vector<std::string>;

ledger_driver opened(const strings& ids, const ledger::rules& r = {}) {
  ledger_driver x{r, ids};
  x.opens = true;
  return x;
}

ledger_driver answered(const strings& ids, const ledger::rules& r = {}) {
  auto x = opened(ids, r);
  x.start();
  for (auto& id : ids)
    x.answer(id, "A" + id);
  return x;
}

} // namespace

CAF_TEST(the log begins with what the task is played by and needs nothing beside it) {
  ledger::rules r;
  r.max_failed_runs = 1;
  r.patience_ms = 77'000;
  r.closing_ms = 900;
  auto x = answered({"a", "b"}, r);
  CAF_CHECK_EQUAL(x.story().substr(0, 70), "task_opened\nagent_placed a\nagent_placed b\nsession_start\nround_started\n");
  auto p = events::placed_of(x.log[1]);
  CAF_CHECK(p == placement({"a", "local", "scripted", "m"}));
  ledger::state s;
  for (auto& e : x.log)
    ledger::fold(s, e);
  CAF_CHECK(s == x.s);
  CAF_CHECK(s.rules == r);
  ledger::state broken;
  ledger::fold(broken, events::task_opened("no opening"));
  CAF_CHECK(broken.members.empty());
}

CAF_TEST(deadlines rest while nobody owns the task) {
  auto x = answered({"a", "b", "c"});
  x.wait(5'000);
  x.vote("a", "agent1");
  x.wait(1'000);
  x.fail("b");
  auto patience = x.due(timer_kind::patience), coordination = x.due(timer_kind::coordination);
  auto backoff = x.due(timer_kind::backoff, "b"), run = x.due(timer_kind::run, "c");
  x.crash(3'600'000);
  auto& e = x.last(event_type::task_resumed);
  CAF_CHECK_EQUAL(e.ms, 3'600'000);
  CAF_CHECK_EQUAL(e.target, "owner1");
  CAF_CHECK_EQUAL(x.s.fence, 2u);
  CAF_CHECK_EQUAL(x.due(timer_kind::patience), patience + 3'600'000);
  CAF_CHECK_EQUAL(x.due(timer_kind::coordination), coordination + 3'600'000);
  CAF_CHECK_EQUAL(x.due(timer_kind::backoff, "b"), backoff + 3'600'000);
  CAF_CHECK_EQUAL(x.due(timer_kind::run, "c"), run + 3'600'000);
  x.fire(timer_kind::backoff, "b");
  x.vote("b", "agent1");
  x.vote("c", "agent1");
  auto presentation = x.due(timer_kind::presentation);
  x.crash(10'000);
  CAF_CHECK_EQUAL(x.due(timer_kind::presentation), presentation + 10'000);
  x.cancel();
  auto grace = x.due(timer_kind::cancel_grace);
  x.crash(10'000);
  CAF_CHECK_EQUAL(x.due(timer_kind::cancel_grace), grace + 10'000);
  x.fire(timer_kind::cancel_grace);
  CAF_CHECK(x.result().kind == outcome_kind::interrupted);
}

CAF_TEST(the times of events never go back) {
  auto x = answered({"a", "b"});
  auto last = x.log.back().time_ms;
  x.crash(-3'600'000); // the clock of the machine was set back
  CAF_CHECK_EQUAL(x.last(event_type::task_resumed).time_ms, last);
  CAF_CHECK_EQUAL(x.last(event_type::task_resumed).ms, 0);
  x.vote("a", "agent1");
  CAF_CHECK_EQUAL(x.log.back().time_ms, last);
}

CAF_TEST(a continued run counts neither as a run nor as a failure) {
  auto x = answered({"a", "b"});
  x.fail("b");
  x.fire(timer_kind::backoff, "b");
  auto before = x.s;
  auto old = x.run_of("b");
  x.crash();
  CAF_CHECK(x.run_of("b") > old);
  CAF_CHECK(x.s.runs_started == before.runs_started);
  CAF_CHECK_EQUAL(x.of("b").attempts, 2u);
  CAF_CHECK_EQUAL(x.of("b").failures, 1u);
  CAF_CHECK(x.of("b").run.shown == strings({"agent1.1", "agent2.1"}));
  CAF_CHECK_EQUAL(x.count(event_type::run_continued), 2u);
  auto c = x.of_run(command_kind::vote, "b");
  c.run = old; // of before the crash
  c.target = "agent1";
  CAF_CHECK(x.step(c).kind == ruling_kind::superseded);
  c.kind = command_kind::continue_run;
  CAF_CHECK(x.step(c).kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.count(event_type::vote_cast), 0u);
  x.vote("a", "agent1");
  x.vote("b", "agent1");
  auto tries = x.s.presentation_tries;
  x.crash();
  CAF_CHECK_EQUAL(x.s.presentation_tries, tries);
  CAF_CHECK_EQUAL(x.count(event_type::presentation_started), 1u);
  x.fail("a");
  x.crash(); // between two attempts: there is no run to go on with
  x.begin_all();
  x.present("P");
  CAF_CHECK_EQUAL(x.result().answer, "P");
  CAF_CHECK_EQUAL(x.count(event_type::task_ended), 1u);
}

CAF_TEST(calls under way at the crash end as unknown) {
  auto x = answered({"a", "b"});
  auto run = x.run_of("a");
  x.begin_call("a");
  x.begin_call("b", "mcp__files__write");
  x.crash();
  CAF_CHECK_EQUAL(x.count(event_type::call_ended), 2u);
  CAF_CHECK_EQUAL(x.of("a").use.unreported, 1);
  CAF_CHECK_EQUAL(x.of("b").use.unreported, 0);
  CAF_CHECK(x.end_call("a", run, 1).kind == ruling_kind::superseded);
  x.begin_call("a");
  CAF_CHECK_EQUAL(x.last(event_type::call_started).number, 2); // a number is used once
}

CAF_TEST(a crash while the end is awaited ends the task once) {
  ledger::rules r;
  r.strategy = ledger::strategy::winner_reuse;
  auto x = answered({"a"}, r);
  x.begin_call("a");
  x.vote("a", "agent1");
  CAF_CHECK(x.s.phase == ledger::phase::closing);
  x.crash(60'000);
  CAF_CHECK_EQUAL(x.result().answer, "Aa");
  CAF_CHECK_EQUAL(x.count(event_type::task_ended), 1u);
  CAF_CHECK_EQUAL(x.count(event_type::final_answer), 1u);
  auto size = x.log.size();
  CAF_CHECK(x.take_over().kind == ruling_kind::superseded); // it has ended
  CAF_CHECK_EQUAL(x.log.size(), size);
}

CAF_TEST(a crash after any event but within no decision goes on to the same winner) {
  auto play = [](ledger_driver& x) {
    x.begin_all();
    for (auto i = 0; x.s.phase != ledger::phase::done && i < 100; ++i)
      for (auto* id : {"a", "b", "c"})
        if (x.run_of(id) == 0)
          continue;
        else if (x.s.phase == ledger::phase::presenting)
          x.present("P");
        else if (x.of(id).run.shown.empty())
          x.answer(id, std::string{"A"} + id);
        else
          x.vote(id, "agent2");
  };
  auto whole = opened({"a", "b", "c"});
  whole.start();
  play(whole);
  CAF_CHECK_EQUAL(whole.s.winner, "b");
  for (std::size_t steps = 0; steps < 7; ++steps) {
    auto x = opened({"a", "b", "c"});
    x.start();
    for (std::size_t i = 0; i < steps; ++i) {
      auto id = std::vector<std::string>{"a", "b", "c"}[i % 3];
      if (x.s.phase == ledger::phase::presenting)
        break;
      i < 3 ? x.answer(id, "A" + id) : x.vote(id, "agent2");
    }
    x.crash(1'000);
    play(x);
    CAF_CHECK_EQUAL(x.s.winner, "b");
    CAF_CHECK_EQUAL(x.result().answer, "P");
    CAF_CHECK_EQUAL(x.coordination_runs, whole.coordination_runs);
    CAF_CHECK(x.of("a").answers == whole.of("a").answers);
  }
}

CAF_TEST(a task may go on from the answers of another) {
  ledger::rules r;
  r.max_answers_per_agent = 1;
  r.max_answers_global = 2;
  auto x = opened({"a", "b"}, r);
  x.played_by.answers = {{"b", "agent2.1", "old B", 2}, {"a", "agent1.1", "old A", 1}, {"b", "agent2.2", "old B2", 3}};
  x.start();
  CAF_CHECK_EQUAL(x.s.round, 1u);
  CAF_CHECK_EQUAL(x.s.epoch, 3u);
  CAF_CHECK(x.of("a").run.shown == strings({"agent1.1", "agent2.2"}));
  CAF_CHECK(ledger::may_vote(x.s, "a") && ledger::may_answer(x.s, "a")); // caps count anew
  CAF_CHECK(x.answer("a", "OLD a").kind == ruling_kind::refused);
  CAF_CHECK(x.answer("b", "old b").kind == ruling_kind::refused);
  x.answer("a", "new A");
  CAF_CHECK_EQUAL(x.last(event_type::new_answer).label, "agent1.2");
  CAF_CHECK_EQUAL(x.s.epoch, 4u);
  x.vote("b", "agent2"); // stale
  CAF_CHECK(!ledger::may_answer(x.s, "a"));
  CAF_CHECK(ledger::may_answer(x.s, "b"));
  x.vote("a", "agent2");
  x.vote("b", "agent2");
  CAF_CHECK_EQUAL(x.s.winner, "b");
  x.crash();
  x.lose("b", ec::unavailable, "gone");
  CAF_CHECK_EQUAL(x.result().answer, "old B2");
  // Nobody improves: the old answers decide.
  auto y = opened({"a", "b"});
  y.played_by.answers = {{"a", "agent1.1", "old A", 1}};
  y.start();
  y.vote("a", "agent1");
  y.vote("b", "agent1");
  CAF_CHECK_EQUAL(y.s.winner, "a");
  CAF_CHECK_EQUAL(y.coordination_runs, 2u);
  // Nobody is left to vote: an answer is not lost.
  auto z = opened({"a", "b"});
  z.played_by.answers = {{"a", "agent1.1", "old A", 1}};
  z.start();
  z.lose_node("n", {"a", "b"});
  CAF_CHECK_EQUAL(z.result().answer, "old A");
  // Nor are its files.
  auto id = std::string(64, 'a');
  folder_change change{"/home/u/repo", std::string(64, 'b'), std::string(64, 'c'), 1, "c0ffee"};
  auto w = opened({"a", "b"});
  w.played_by.answers = {{"a", "agent1.1", "old A", 1, id, 2, 7, {change}}};
  w.start();
  auto own = ledger::task_for(w.s, "a", false), other = ledger::task_for(w.s, "b", false);
  CAF_CHECK_EQUAL(own.snapshot, id);
  CAF_CHECK_EQUAL(other.snapshot, "");
  CAF_CHECK_EQUAL(other.answers.at(0).snapshot, id);
  w.lose_node("n", {"a", "b"});
  CAF_CHECK_EQUAL(w.result().snapshot, id);
  CAF_CHECK_EQUAL(w.result().files, 2);
  CAF_CHECK(w.result().changes == std::vector<folder_change>{change});
}
