// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.orchestrator

// Whole tasks in virtual time: what a run costs, how it ends, what each deadline says. Scenarios by their number in the ledger's
// tests too; here the actors have to live up to them.

#include "support/task_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

CAF_TEST_FIXTURE_SCOPE(orchestrator_tests, task_fixture)

CAF_TEST(three agents of staggered speed cost 2A plus 1 calls) {
  member("a", {answers("one"), votes("agent1"), says("presented")});
  member("b", {answers("two", 20'000), votes("agent1", 15'000)});
  member("c", {answers("three", 60'000), votes("agent1", 1'000)});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(outcomes[0].winner, "a");
  CAF_CHECK_EQUAL(outcomes[0].warnings.size(), 0u); // no step was left unused
  CAF_CHECK_EQUAL(model_calls(), 7u);
  check_end();
  check_log();
}

CAF_TEST(thirty agents cost 2A plus 1 calls) {
  for (int i = 1; i <= 30; ++i) {
    std::vector<script_step> steps{answers("answer " + std::to_string(i), i * 700 % 5'000), votes("agent1", i * 300 % 4'000)};
    if (i == 1)
      steps.push_back(says("presented"));
    member("m" + std::to_string(i), std::move(steps));
  }
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(model_calls(), 61u);
  check_end();
}

CAF_TEST(a single agent costs three calls) {
  member("a", {answers("one"), votes("agent1"), says("presented")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(model_calls(), 3u);
}

CAF_TEST(a second question is refused and changes nothing) {
  member("a", {answers("one", 1'000), votes("agent1"), says("presented")});
  ask();
  auto first = asker;
  ask_again({"why not?", {}});
  CAF_REQUIRE_EQUAL(refusals.size(), 1u);
  CAF_CHECK(code_of(refusals[0]) == ec::bad_request);
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(count(event_type::session_start), 1u);
  kill(first);
}

CAF_TEST(an empty question asks nobody and is answered) {
  member("a", {answers("one")});
  ask({"  \n", {}});
  CAF_REQUIRE_EQUAL(outcomes.size(), 1u);
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_CHECK(!outcomes[0].error.empty());
  CAF_CHECK_EQUAL(model_calls(), 0u);
  CAF_CHECK_EQUAL(count(event_type::task_ended), 1u);
}

CAF_TEST(skipped coordination is one call) {
  rules.skip_coordination = true;
  member("a", {says("direct")});
  member("b", {});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "direct");
  CAF_CHECK_EQUAL(model_calls(), 1u);
  CAF_CHECK_EQUAL(count(event_type::vote_cast), 0u);
  check_end();
}

CAF_TEST(an agent dead from the start is out at once and the others finish) {
  member("a", {answers("one"), votes("agent1"), says("presented")});
  member("b", {answers("two"), votes("agent1")});
  member("c", {breaks(ec::unauthorized)});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(count(event_type::agent_out, "c"), 1u);
  CAF_CHECK_EQUAL(count(event_type::call_started, "c"), 1u);
  CAF_REQUIRE_EQUAL(outcomes[0].agents.size(), 3u);
  CAF_CHECK(!outcomes[0].agents[2].out_reason.empty());
  check_end();
}

CAF_TEST(a dead provider costs three runs an agent and ends promptly) {
  auto dead = breaks(ec::unavailable);
  dead.repeat = 9;
  member("a", {dead});
  member("b", {dead});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_CHECK(!outcomes[0].error.empty());
  CAF_CHECK(outcomes[0].answer.empty());
  CAF_CHECK_EQUAL(count(event_type::call_started, "a"), 3u); // times three tries of the breaker: nine requests
  CAF_CHECK_EQUAL(count(event_type::call_started, "b"), 3u);
  CAF_CHECK(gone_ms() < 15'000);
  check_end();
}

CAF_TEST(an agent that cannot be placed is out and the rest goes on) {
  member("a", {answers("one"), votes("agent1"), says("presented")});
  placed_agent lost;
  lost.config.id = "far";
  lost.node_name = "mars";
  team.push_back(lost);
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(count(event_type::agent_out, "far"), 1u);
  check_end();
}

CAF_TEST(a blank presentation is tried again and then the stored answer stands) {
  member("a", {answers("stored"), votes("agent1"), says("   "), says("\n")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(outcomes[0].answer, "stored");
  CAF_CHECK_EQUAL(count(event_type::presentation_started), 1u);
  CAF_CHECK_EQUAL(count(event_type::presentation_retried), 1u);
  CAF_CHECK_EQUAL(count(event_type::presentation_fallback), 1u);
  CAF_CHECK_EQUAL(outcomes[0].warnings.size(), 1u); // that it is not a presentation; no step was left unused
  check_end();
}

CAF_TEST(a presenter that fails twice never delivers its error text) {
  member("a", {answers("stored"), votes("agent1"), breaks(ec::unavailable, "Error: 503"), breaks(ec::unavailable, "Error: 503")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "stored");
  CAF_CHECK_EQUAL(count(event_type::presentation_fallback), 1u);
  check_end();
}

CAF_TEST(a presenter that recovers presents) {
  member("a", {answers("stored"), votes("agent1"), breaks(ec::unavailable), says("presented")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(count(event_type::presentation_fallback), 0u);
  check_end();
}

CAF_TEST(a truncated presentation says so) {
  auto cut = says("presented, nearl");
  cut.truncated = true;
  member("a", {answers("stored"), votes("agent1"), cut});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].truncated);
  check_end();
}

CAF_TEST(a presentation that hangs ends at its deadline with the stored answer) {
  member("a", {answers("stored"), votes("agent1"), hangs("half"), hangs("half")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(outcomes[0].answer, "stored");
  CAF_CHECK_EQUAL(count(event_type::presentation_fallback), 1u);
  CAF_CHECK(gone_ms() >= 300'000);
  CAF_CHECK(gone_ms() < 620'000);
  check_end();
}

CAF_TEST(a straggler is ended when the patience is over and is asked again) {
  rules.patience_ms = 120'000;
  member("a", {answers("one"), votes("agent1"), says("presented")});
  member("b", {hangs("half a thought"), votes("agent1")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(count(event_type::round_timeout), 1u);
  CAF_CHECK_EQUAL(count(event_type::agent_out), 0u);
  CAF_CHECK_EQUAL(count(event_type::vote_cast, "b"), 1u);
  CAF_CHECK(gone_ms() >= 120'000);
  CAF_CHECK(gone_ms() < 130'000);
  // The run was cancelled on the wire at once and its partial text is kept.
  auto partial = std::any_of(host->events.begin(), host->events.end(),
                             [](auto& e) { return e.type == event_type::late_text && e.text == "half a thought"; });
  CAF_CHECK(partial);
  check_end();
}

CAF_TEST(a run past its own deadline is a timeout of that agent) {
  rules.patience_ms = 0;
  rules.initial_run_ms = 10'000;
  member("a", {answers("one"), votes("agent1"), says("presented")});
  member("b", {hangs(), answers("two"), votes("agent1")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(count(event_type::agent_timeout, "b"), 1u);
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  check_end();
}

CAF_TEST(the coordination deadline without an answer is a timeout) {
  rules.coordination_ms = 60'000;
  member("a", {hangs()});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::timed_out);
  CAF_CHECK_EQUAL(count(event_type::coordination_timeout), 1u);
  CAF_CHECK(gone_ms() < 65'000);
  check_end();
}

CAF_TEST(the coordination deadline with an answer presents it) {
  rules.coordination_ms = 60'000;
  rules.patience_ms = 0;
  member("a", {answers("one"), hangs(), says("presented")});
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(count(event_type::coordination_timeout), 1u);
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  check_end();
}

CAF_TEST(the same scripts give the same log twice) {
  auto play = [] {
    task_fixture x;
    x.member("a", {answers("one", 300), votes("agent2", 500), answers("unused")});
    x.member("b", {answers("two", 900), votes("agent2", 200), says("presented")});
    x.ask();
    CAF_CHECK(x.finish());
    std::string story;
    for (auto& e : x.host->events)
      story += to_string(e.type) + " " + e.agent + " " + e.label + " " + std::to_string(e.epoch) + " " + e.text + "\n";
    return story;
  };
  auto one = play();
  CAF_CHECK_EQUAL(one, play());
}

CAF_TEST_FIXTURE_SCOPE_END()
