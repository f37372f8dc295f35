// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What is special in `eager`, the order of MassGen 0.1.0 without rounds: docs/protocol.md 2.6.

#define CAF_SUITE protocols.ledger_eager

#include "caf/test/unit_test.hpp"
#include "tests/support/ledger_driver.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

using strings = std::vector<std::string>;

ledger_driver eager(const strings& ids) {
  ledger::rules r;
  r.pacing = ledger::pacing::eager;
  ledger_driver x{r, ids};
  x.start();
  return x;
}

} // namespace

CAF_TEST(the first answer restarts everybody and a stale first reply does not count) {
  auto x = eager({"a", "b"});
  auto first = x.run_of("b");
  x.answer("a", "A");
  CAF_CHECK_EQUAL(x.run_of("b"), first); // no cancel: b goes on
  CAF_CHECK_NOT_EQUAL(x.run_of("a"), 0u);
  auto d = x.vote("b", "agent1"); // stale
  CAF_CHECK(d.kind == ruling_kind::accepted);
  CAF_CHECK_EQUAL(x.count(event_type::vote_ignored, "b"), 1u);
  CAF_CHECK(x.of("b").run.shown == strings({"agent1.1"}));
  CAF_CHECK_EQUAL(x.of("b").restarts, 1u);
  CAF_CHECK_EQUAL(x.of("b").failures, 0u);
  x.vote("a", "agent1");
  CAF_CHECK(x.s.winner.empty());
  x.vote("b", "agent1");
  CAF_CHECK_EQUAL(x.s.winner, "a");
  CAF_CHECK_EQUAL(x.last(event_type::final_agent_selected).number, 2);
  CAF_CHECK(!x.s.tie);
  x.present("P");
  CAF_CHECK_EQUAL(x.last(event_type::final_answer).label, "agent1.final");
  CAF_CHECK_EQUAL(x.result().finish_reason, "completed");
}

CAF_TEST(a second answer voids the votes and everybody votes again) {
  auto x = eager({"a", "b"});
  x.answer("a", "A");
  x.vote("b", "agent1"); // stale: b restarts
  x.vote("b", "agent1");
  CAF_CHECK(ledger::holds_vote(x.s, x.of("b")));
  CAF_CHECK_EQUAL(x.run_of("b"), 0u); // b has voted and waits
  x.answer("a", "A2");
  CAF_CHECK(!ledger::holds_vote(x.s, x.of("b")));
  CAF_CHECK(x.of("b").run.shown == strings({"agent1.2"}));
  x.vote("a", "agent1");
  CAF_CHECK(x.s.winner.empty());
  x.vote("b", "agent1");
  CAF_CHECK_EQUAL(x.s.winner, "a");
}

CAF_TEST(a stale answer is accepted in eager) {
  auto x = eager({"a", "b"});
  x.answer("a", "A");
  x.answer("b", "B");
  CAF_CHECK_EQUAL(x.s.epoch, 2u);
  CAF_CHECK(x.of("b").run.shown == strings({"agent1.1", "agent2.1"}));
  CAF_CHECK(x.of("a").run.shown == strings({"agent1.1"})); // in its second run still
  x.vote("a", "agent1");
  CAF_CHECK_EQUAL(x.count(event_type::vote_ignored, "a"), 1u);
  CAF_CHECK(x.of("a").run.shown == strings({"agent1.1", "agent2.1"}));
}

CAF_TEST(a vote with no answers is refused) {
  auto x = eager({"a", "b"});
  CAF_CHECK(!ledger::may_vote(x.s, "a"));
  auto d = x.vote("a", "agent2");
  CAF_CHECK(d.kind == ruling_kind::refused);
  CAF_CHECK(d.reason.find("new_answer") != std::string::npos);
}

CAF_TEST(a stale run gets a fresh one instead of a correction) {
  auto x = eager({"a", "b"});
  x.answer("a", "A");
  auto run = x.run_of("b");
  auto d = x.answer("b", "  "); // would be corrected, but its view is stale
  CAF_CHECK(d.kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.count(event_type::refused), 0u);
  CAF_CHECK_EQUAL(x.last(event_type::run_ended).reason, "restarted");
  CAF_CHECK(x.run_of("b") != run);
  CAF_CHECK(x.of("b").run.shown == strings({"agent1.1"}));
  CAF_CHECK_EQUAL(x.of("b").failures, 0u);
  CAF_CHECK(x.answer("b", " ").kind == ruling_kind::refused); // up to date now: corrected
}

CAF_TEST(a run that follows one without a verdict finds the files of that) {
  auto x = eager({"a", "b"});
  auto again = [&](const std::string& id) { return ledger::task_for(x.s, id, false).again; };
  CAF_CHECK(!again("a"));
  x.answer("a", "A");
  CAF_CHECK(!again("a")); // from its answer
  CAF_CHECK(x.answer("b", "  ").kind == ruling_kind::superseded);
  CAF_CHECK(again("b"));
  x.answer("b", "B");
  CAF_CHECK(!again("b"));
  x.fail("b");
  x.fire(timer_kind::backoff, "b");
  CAF_CHECK(x.run_of("b") != 0 && again("b"));
  x.vote("a", "agent1");
  x.vote("b", "agent1");
  if (x.run_of("a") != 0)
    x.vote("a", "agent1");
  CAF_CHECK(x.s.phase == ledger::phase::presenting);
  CAF_CHECK(!ledger::task_for(x.s, "a", true).again);
}

CAF_TEST(one answer of the last registered is agent3 everywhere) {
  auto x = eager({"zeta", "alpha", "mid"});
  x.answer("mid", "M");
  x.vote("zeta", "agent3"); // stale
  CAF_CHECK(x.of("zeta").run.shown == strings({"agent3.1"}));
  CAF_CHECK(x.vote("zeta", "agent1").allowed == strings({"agent3"}));
  x.vote("zeta", "agent3");
  CAF_CHECK_EQUAL(x.of("zeta").vote.target, "mid");
  CAF_CHECK_EQUAL(x.of("zeta").vote.label, "agent3.1");
}

CAF_TEST(at the deadline void votes are not counted) {
  auto x = eager({"a", "b"});
  x.answer("a", "A");
  x.vote("a", "agent1");
  x.answer("b", "B");
  x.fire(timer_kind::coordination);
  CAF_CHECK_EQUAL(x.s.winner, "b"); // no current votes: the newest answer
  CAF_CHECK_EQUAL(x.last(event_type::final_agent_selected).number, 0);
  x.present("P");
  CAF_CHECK_EQUAL(x.result().finish_reason, "timeout");
  CAF_CHECK_EQUAL(x.presentation_runs, 1u);
}

CAF_TEST(the event list of a consensus) {
  auto x = eager({"a", "b"});
  x.answer("a", "A");
  CAF_CHECK(x.last(event_type::restart_triggered).labels == strings({"a", "b"}));
  x.vote("b", "agent1");
  x.vote("a", "agent1");
  x.vote("b", "agent1");
  x.present("P");
  CAF_CHECK_EQUAL(x.story(), "session_start\n"
                             "context_received a\nrun_started a\ncontext_received b\nrun_started b\n"
                             "new_answer a agent1.1\nrun_ended a\nrestart_triggered a\nrestart_completed a\n"
                             "context_received a\nrun_started a\n"
                             "vote_ignored b\nrun_ended b\nrestart_completed b\ncontext_received b\nrun_started b\n"
                             "vote_cast a agent1.vote1\nrun_ended a\nvote_cast b agent2.vote1\nrun_ended b\n"
                             "final_round_start a\nfinal_agent_selected a\n"
                             "presentation_started a\ncontext_received a\nrun_started a\n"
                             "run_ended a\nfinal_answer a agent1.final\nsession_end\ntask_ended\n");
  for (auto& e : x.log)
    if (e.type == event_type::context_received && e.seq > 6)
      CAF_CHECK(e.labels == strings({"agent1.1"}));
  CAF_CHECK_EQUAL(x.last(event_type::final_round_start).round, 2u); // restarts completed, plus one
  CAF_CHECK_EQUAL(x.of("a").restarts, 1u);
  CAF_CHECK_EQUAL(x.of("b").restarts, 1u);
}

CAF_TEST(a failing agent is out and the others finish in eager) {
  auto x = eager({"a", "b"});
  x.answer("a", "A");
  for (auto i = 0; i < 3; ++i) {
    x.fail("b");
    if (i < 2)
      x.fire(timer_kind::backoff, "b");
  }
  CAF_CHECK(!x.of("b").live);
  x.vote("a", "agent1");
  CAF_CHECK_EQUAL(x.s.winner, "a");
  CAF_CHECK_EQUAL(x.s.finish_reason, "completed");
}
