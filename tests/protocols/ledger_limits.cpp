// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Failures, back-off, losses and limits, rounds with stragglers, and the bounds of what an agent may hand in:
// docs/protocol.md 2.4, 3.3, 5.

#define CAF_SUITE protocols.ledger_limits

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

ledger_driver answered(const strings& ids, const ledger::rules& r = {}) {
  auto x = ready(ids, r);
  for (auto& id : ids)
    x.answer(id, "A" + id);
  return x;
}

} // namespace

CAF_TEST(a failing agent is asked again later and then is out) {
  auto x = ready({"a", "b"});
  x.answer("b", "B");
  x.fail("a", ec::bad_reply, "no workflow tool was used");
  CAF_CHECK_EQUAL(x.run_of("a"), 0u);
  CAF_CHECK_EQUAL(x.of("a").failures, 1u);
  CAF_CHECK_EQUAL(x.due(timer_kind::backoff, "a"), x.now + 1'000);
  x.jitter = 250;
  x.fire(timer_kind::backoff, "a");
  CAF_CHECK_NOT_EQUAL(x.run_of("a"), 0u);
  CAF_CHECK_EQUAL(x.last(event_type::run_started).number, 2); // the second attempt at this round
  x.fail("a", ec::bad_reply, "again");
  CAF_CHECK_EQUAL(x.due(timer_kind::backoff, "a"), x.now + 2'500);
  x.fire(timer_kind::backoff, "a");
  x.fail("a", ec::bad_reply, "and again");
  CAF_CHECK(!x.of("a").live);
  CAF_CHECK_EQUAL(x.count(event_type::agent_out, "a"), 1u);
  CAF_CHECK_EQUAL(x.count(event_type::agent_error, "a"), 3u);
  x.vote("b", "agent2");
  CAF_CHECK_EQUAL(x.s.winner, "b");
  x.present("P");
  CAF_CHECK(x.result().agents[0].out_reason.find("and again") != std::string::npos);
}

CAF_TEST(the back off doubles up to its cap and the log alone gives it) {
  ledger::rules r;
  r.max_failed_runs = 0; // never out by count
  auto x = ready({"a"}, r);
  std::vector<std::int64_t> waits;
  for (auto i = 0; i < 8; ++i) {
    x.fail("a", ec::rate_limited, "429");
    waits.push_back(x.due(timer_kind::backoff, "a") - x.now);
    CAF_CHECK(x.replayed() == x.s);
    x.fire(timer_kind::backoff, "a");
  }
  CAF_CHECK(waits == std::vector<std::int64_t>({1'000, 2'000, 4'000, 8'000, 16'000, 30'000, 30'000, 30'000}));
}

CAF_TEST(an accepted verdict starts the count of failures anew) {
  auto x = ready({"a"});
  x.fail("a");
  x.fire(timer_kind::backoff, "a");
  x.fail("a");
  x.fire(timer_kind::backoff, "a");
  x.answer("a", "A");
  CAF_CHECK_EQUAL(x.of("a").failures, 0u);
  x.fail("a");
  CAF_CHECK(x.of("a").live);
}

CAF_TEST(which error codes put an agent out at once) {
  for (auto code : {ec::unauthorized, ec::bad_request, ec::bad_config, ec::version_mismatch}) {
    auto x = ready({"a", "b"});
    x.fail("a", code, "refused");
    CAF_CHECK(!x.of("a").live);
    CAF_CHECK(x.of("a").out_code == code);
  }
  for (auto code : {ec::rate_limited, ec::unavailable, ec::timeout, ec::stream_broken, ec::bad_reply, ec::breaker_open,
                    ec::context_overflow, ec::denied, ec::cancelled, ec::unknown}) {
    auto x = ready({"a", "b"});
    x.fail("a", code, "hm");
    CAF_CHECK(x.of("a").live);
    CAF_CHECK_EQUAL(x.of("a").failures, 1u);
  }
}

CAF_TEST(one agent dead from the start) {
  auto x = ready({"dead", "a", "b"});
  x.fail("dead", ec::unauthorized, "401 bad key");
  CAF_CHECK(!x.wants(timer_kind::backoff, "dead"));
  x.answer("a", "A");
  x.answer("b", "B");
  x.vote("a", "agent2");
  x.vote("b", "agent2");
  x.present("P");
  auto o = x.result();
  CAF_CHECK(o.kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(o.finish_reason, "completed");
  CAF_CHECK_EQUAL(o.agents[0].out_reason, "401 bad key");
  CAF_CHECK_EQUAL(x.count(event_type::run_started, "dead"), 1u);
  CAF_CHECK(std::any_of(o.warnings.begin(), o.warnings.end(), [](auto& w) { return w.find("401") != std::string::npos; }));
}

CAF_TEST(all agents dead ends promptly with every reason) {
  auto x = ready({"writer", "critic"});
  x.fail("writer", ec::unauthorized, "401 bad key");
  x.lose("critic", ec::unavailable, "its node cannot be reached");
  auto o = x.result();
  CAF_CHECK(x.s.phase == ledger::phase::done);
  CAF_CHECK(o.kind == outcome_kind::failed);
  CAF_CHECK_EQUAL(o.error, "no answer: writer: 401 bad key; critic: its node cannot be reached");
  CAF_CHECK(o.code == ec::unauthorized);
  CAF_CHECK_EQUAL(o.finish_reason, "failed");
  CAF_CHECK(o.answer.empty());
}

CAF_TEST(endless answerers stop at the limit) {
  auto x = ready({"a", "b"});
  auto n = 0;
  while (ledger::may_answer(x.s, "a") || ledger::may_answer(x.s, "b")) {
    for (auto* id : {"a", "b"})
      x.answer(id, "text " + std::to_string(n++));
    CAF_REQUIRE(n < 20);
  }
  CAF_CHECK_EQUAL(x.s.epoch, 6u);
  CAF_CHECK(ledger::may_vote(x.s, "a"));
  auto d = x.answer("a", "one more");
  CAF_CHECK(d.kind == ruling_kind::refused);
  CAF_CHECK(d.allowed == strings({"agent1", "agent2"}));
  CAF_CHECK(d.reason.find("vote") != std::string::npos);
  x.vote("a", "agent1");
  x.vote("b", "agent2");
  x.present("P");
  CAF_CHECK_EQUAL(x.coordination_runs, 8u); // 2 x 3 answers and a vote each
}

CAF_TEST(a global limit closes round 0 for those who may hand in nothing) {
  ledger::rules r;
  r.max_answers_global = 1;
  auto x = ready({"a", "b", "c"}, r);
  auto cut = x.run_of("b");
  x.answer("a", "A");
  CAF_CHECK_EQUAL(x.s.round, 1u);
  CAF_CHECK(x.run_of("b") != cut);
  CAF_CHECK_EQUAL(x.of("b").failures, 0u);
  CAF_CHECK(!ledger::may_answer(x.s, "b"));
  CAF_CHECK(x.answer("b", "B").reason.find("limit of 1") != std::string::npos);
  for (auto* id : {"a", "b", "c"})
    x.vote(id, "agent1");
  CAF_CHECK_EQUAL(x.s.winner, "a");
}

CAF_TEST(the limit of runs ends the task with what is there) {
  ledger::rules r;
  r.max_runs = 3;
  auto x = answered({"a", "b"}, r);
  CAF_CHECK_EQUAL(x.coordination_runs, 3u); // of round 1 only one run may begin
  x.vote("a", "agent2");
  CAF_CHECK_EQUAL(x.s.winner, "b");
  CAF_CHECK_EQUAL(x.s.finish_reason, "votes incomplete");
  x.present("P");
  CAF_CHECK_EQUAL(x.result().answer, "P");
  CAF_CHECK_EQUAL(x.result().finish_reason, "votes incomplete");
  r.max_failed_runs = 0;
  auto y = ready({"a"}, r);
  while (y.s.phase != ledger::phase::done) {
    y.fail("a", ec::unavailable, "503");
    if (y.wants(timer_kind::backoff, "a"))
      y.fire(timer_kind::backoff, "a");
  }
  CAF_CHECK_EQUAL(y.coordination_runs, 3u);
  CAF_CHECK(y.result().kind == outcome_kind::failed);
  CAF_CHECK_EQUAL(y.result().error, "no answer: the limit of runs is used up; a: 503");
  CAF_CHECK_EQUAL(ledger::run_limit(ledger::make({}, {"a", "b", "c"})), 60u);
}

CAF_TEST(a run past its deadline has failed and is asked again) {
  ledger::rules r;
  r.later_run_ms = 50'000;
  auto x = ready({"a"}, r);
  CAF_CHECK_EQUAL(x.due(timer_kind::run, "a"), x.now + 600'000);
  auto run = x.run_of("a");
  x.fire(timer_kind::run, "a");
  CAF_CHECK_EQUAL(x.count(event_type::agent_timeout, "a"), 1u);
  CAF_CHECK_EQUAL(x.of("a").failures, 1u);
  CAF_CHECK(x.last(event_type::agent_error).code == ec::timeout);
  x.fire(timer_kind::backoff, "a");
  // Its late report: no effect, but the partial text is kept, once.
  command c;
  c.kind = command_kind::fail;
  c.agent = "a";
  c.run = run;
  c.code = ec::cancelled;
  c.text = "half an ans";
  CAF_CHECK(x.step(c).kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(x.last(event_type::late_text).text, "half an ans");
  CAF_CHECK(x.step(c).events.empty());
  CAF_CHECK_EQUAL(x.of("a").failures, 1u);
  x.answer("a", "A");
  CAF_CHECK_EQUAL(x.due(timer_kind::run, "a"), x.now + 50'000);
}

CAF_TEST(stragglers are asked again in the next round or abstain) {
  auto x = answered({"a", "b", "c"});
  CAF_CHECK(!x.wants(timer_kind::patience));
  x.wait(10'000);
  x.answer("a", "A2");
  CAF_CHECK_EQUAL(x.due(timer_kind::patience), x.now + 120'000);
  x.wait(100'000);
  x.vote("b", "agent1"); // stale; took 110 s: the patience is longer now
  CAF_CHECK_EQUAL(x.due(timer_kind::patience), x.now + 220'000);
  auto run = x.run_of("c");
  x.fire(timer_kind::patience);
  CAF_CHECK(x.last(event_type::round_timeout).labels == strings({"c"}));
  CAF_CHECK_EQUAL(x.last(event_type::run_ended).reason, "straggler");
  CAF_CHECK_EQUAL(x.s.round, 2u);
  CAF_CHECK_EQUAL(x.of("c").failures, 0u);
  CAF_CHECK_NOT_EQUAL(x.run_of("c"), run);
  CAF_CHECK(ledger::task_for(x.s, "c", false).again); // it goes on with the files it has
  x.vote("a", "agent2");
  x.vote("b", "agent2");
  x.fire(timer_kind::patience);
  CAF_CHECK_EQUAL(x.s.winner, "b"); // nobody improved: c abstains
  CAF_CHECK_EQUAL(x.s.finish_reason, "votes incomplete");
}

CAF_TEST(without patience the others wait for the straggler) {
  ledger::rules r;
  r.patience_ms = 0;
  auto x = ready({"a", "b"}, r);
  x.answer("a", "A");
  CAF_CHECK(!x.wants(timer_kind::patience));
  CAF_CHECK(x.wants(timer_kind::run, "b"));
}

CAF_TEST(round 0 closes at half the deadline if there is an answer) {
  ledger::rules r;
  r.patience_ms = 0;
  r.initial_run_ms = 0;
  auto x = ready({"a", "b"}, r);
  auto started = x.now;
  CAF_CHECK(!x.wants(timer_kind::round0_half));
  x.answer("a", "A");
  CAF_CHECK_EQUAL(x.due(timer_kind::round0_half), started + 900'000);
  x.fire(timer_kind::round0_half);
  CAF_CHECK_EQUAL(x.s.round, 1u);
  CAF_CHECK(x.of("b").run.shown == strings({"agent1.1"}));
  CAF_CHECK(!x.wants(timer_kind::round0_half));
}

CAF_TEST(an answer too long is refused with the limit) {
  ledger::rules r;
  r.max_answer_bytes = 10;
  auto x = ready({"a"}, r);
  auto d = x.answer("a", "eleven byte");
  CAF_CHECK(d.kind == ruling_kind::refused);
  CAF_CHECK(d.reason.find("limit is 10") != std::string::npos);
  CAF_CHECK(x.answer("a", "ten bytes!").kind == ruling_kind::accepted);
  x.vote("a", "agent1");
  x.present("12345678\xC3\xA9\xC3\xA9"); // cut between characters
  CAF_CHECK_EQUAL(x.result().answer, "12345678\xC3\xA9");
  CAF_CHECK(x.result().truncated);
  CAF_CHECK(!x.result().warnings.empty());
}

CAF_TEST(the reason of a vote is cut at a character) {
  ledger::rules r;
  r.max_reason_chars = 3;
  struct {
    const char *given, *kept;
  } cases[] = {
      {"abc", "abc"}, {"abcd", "abc"}, {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80x", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"}, {"", ""}};
  for (auto& c : cases) {
    auto x = answered({"a", "b"}, r);
    x.vote("a", "agent1", c.given);
    CAF_CHECK_EQUAL(x.of("a").vote.reason, c.kept);
  }
  auto x = answered({"a", "b"}, r);
  x.vote("a", "agent1", std::string(100, '\x80')); // no UTF-8 at all
  CAF_CHECK(x.of("a").vote.reason.size() <= 12u);
}

CAF_TEST(a lost node takes its agents out and nobody waits for them) {
  auto x = answered({"a", "b", "c"});
  x.vote("b", "agent3");
  x.lose_node("far", {"b", "c", "nobody"});
  CAF_CHECK_EQUAL(x.count(event_type::node_lost), 1u);
  CAF_CHECK_EQUAL(x.count(event_type::agent_out), 2u);
  CAF_CHECK(ledger::holds_vote(x.s, x.of("b"))); // its current vote counts
  x.vote("a", "agent3");
  CAF_CHECK_EQUAL(x.s.winner, "c"); // its answer stays eligible
  CAF_CHECK(x.result().kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(x.result().answer, "Ac"); // it cannot present: the stored text
  CAF_CHECK_EQUAL(x.result().finish_reason, "fallback");
  CAF_CHECK_EQUAL(x.presentation_runs, 0u);
}

CAF_TEST(all out with answers delivers the stored text) {
  auto x = answered({"a", "b"});
  x.lose_node("n", {"a", "b"});
  CAF_CHECK(x.result().kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(x.result().answer, "Ab"); // no current votes: the newest
  CAF_CHECK_EQUAL(x.count(event_type::presentation_fallback), 1u);
  CAF_CHECK_EQUAL(x.result().finish_reason, "fallback");
}

CAF_TEST(calls and tokens are counted per agent) {
  auto x = ready({"a"});
  event e;
  e.time_ms = x.now;
  e.agent = "a";
  e.target = "model";
  for (auto call : {1, 2}) {
    e.number = call;
    e.type = event_type::call_started;
    ledger::fold(x.s, e);
    e.type = event_type::call_ended;
    e.use = {10, 2, 5, INT64_MAX};
    ledger::fold(x.s, e);
  }
  e.target = "mcp__files__read";
  e.number = 3;
  e.type = event_type::call_started;
  ledger::fold(x.s, e);
  auto o = x.result();
  CAF_CHECK_EQUAL(o.agents[0].calls, 2u);
  CAF_CHECK_EQUAL(o.agents[0].use.input_tokens, 20);
  CAF_CHECK_EQUAL(o.agents[0].use.output_tokens, 10);
  CAF_CHECK(o.agents[0].use.reasoning_tokens > 0); // nonsense does not overflow
  CAF_CHECK_EQUAL(x.of("a").calls, 3u);
}

CAF_TEST(partial texts take no more room than an answer and ever less) {
  auto x = ready({"a", "b"});
  std::size_t before = SIZE_MAX, all = 0;
  for (int i = 0; i < 3; ++i) {
    x.fail("a", ec::bad_reply, "too large", std::string(std::size_t{32} << 20, 'x'));
    auto& e = x.last(event_type::run_ended);
    CAF_CHECK(e.text.size() <= (32'768u >> i) && e.text.size() > (30'000u >> i));
    CAF_CHECK(e.text.ends_with("bytes left out]"));
    CAF_CHECK(e.text.size() < before);
    all += before = e.text.size();
    if (i < 2)
      x.fire(timer_kind::backoff, "a");
  }
  CAF_CHECK_EQUAL(x.of("a").partial_bytes, all);
  x.fail("b", ec::bad_reply, "short", "half a thought");
  CAF_CHECK_EQUAL(x.last(event_type::run_ended).text, "half a thought");
  ledger::rules small;
  small.max_answer_bytes = 100;
  auto y = ready({"a"}, small);
  y.fail("a", ec::bad_reply, "too large", std::string(1'000, 'x'));
  CAF_CHECK(y.last(event_type::run_ended).text.size() <= 100u);
}
