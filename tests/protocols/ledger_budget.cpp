// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Budgets: what may begin, what is settled, who is told (docs/protocol.md 8.5).

#define CAF_SUITE protocols.ledger_budget

#include "caf/test/unit_test.hpp"
#include "tests/support/ledger_driver.hpp"

#include <random>

using namespace conclave;
using namespace conclave::test;

namespace {

using strings = std::vector<std::string>;

usage tokens(std::int64_t input, std::int64_t output, std::int64_t nano_usd = 0) {
  usage u;
  u.input_tokens = input;
  u.output_tokens = output;
  u.cost_nano_usd = nano_usd;
  u.requests = 1;
  return u;
}

usage unreported() {
  usage u;
  u.requests = u.unreported = u.unpriced = 1;
  return u;
}

struct team {
  ledger_driver x;

  explicit team(const budget& b, const strings& ids = {"a", "b"}, ledger::rules r = {}) : x{with(std::move(r), b), ids} {
    x.start();
  }

  static ledger::rules with(ledger::rules r, const budget& b) {
    r.budget = b;
    return r;
  }

  decision begin(const std::string& agent, const usage& reserve) {
    auto c = x.of_run(command_kind::begin_call, agent);
    c.call = x.of(agent).calls + 1;
    c.target = "model";
    c.hash = "0123456789abcdef";
    c.use = reserve;
    return x.step(std::move(c));
  }

  decision end(const std::string& agent, const usage& use, const std::string& status = "finished") {
    auto& open = x.of(agent).open.front();
    command c;
    c.kind = command_kind::end_call;
    c.agent = agent;
    c.run = open.run;
    c.call = open.call;
    c.status = status;
    c.use = use;
    return x.step(std::move(c));
  }

  /// A run whose call may not begin fails with what the ruling says.
  void refused(const std::string& agent, const decision& d) { x.fail(agent, d.code, "the model call was refused: " + d.reason); }

  std::int64_t spent() const { return ledger::spent(x.s).tokens; }
  std::int64_t reserved() const { return ledger::reserved(x.s).tokens; }
};

budget of_tokens(std::int64_t n, exceed_policy on = exceed_policy::block) {
  budget b;
  b.tokens = n;
  b.on_exceed = on;
  b.warn_at.clear();
  return b;
}

budget of_dollars(std::int64_t nano) {
  budget b;
  b.nano_usd = nano;
  b.warn_at.clear();
  return b;
}

} // namespace

CAF_TEST(a call that fits to the last token is made and one more token refuses exactly that call) {
  for (auto short_by : {0, 1}) {
    team t{of_tokens(300 - short_by)};
    CAF_CHECK(t.begin("a", tokens(60, 40)).kind == ruling_kind::accepted);
    t.end("a", tokens(60, 40));
    CAF_CHECK(t.begin("a", tokens(50, 50)).kind == ruling_kind::accepted);
    auto d = t.begin("b", tokens(70, 30));
    CAF_CHECK(d.kind == (short_by == 0 ? ruling_kind::accepted : ruling_kind::refused));
    if (short_by == 0)
      continue;
    CAF_CHECK(d.code == ec::budget_exceeded && d.waits); // until the call of a has ended
    CAF_CHECK_EQUAL(d.reason, "the budget of the task might be exceeded: 100 of 299 tokens are spent, 100 are reserved for calls "
                              "under way, and this call may take 100");
    CAF_CHECK_EQUAL(t.x.count(event_type::call_started), 2u);
    CAF_CHECK(t.begin("b", tokens(70, 29)).kind == ruling_kind::accepted);
  }
}

CAF_TEST(a call that ended gives back what it did not take) {
  team t{of_tokens(250)};
  t.begin("a", tokens(100, 100));
  CAF_CHECK(t.begin("b", tokens(100, 0)).kind == ruling_kind::refused);
  t.end("a", tokens(90, 10));
  CAF_CHECK_EQUAL(t.spent(), 100);
  CAF_CHECK_EQUAL(t.reserved(), 0);
  CAF_CHECK(t.begin("b", tokens(100, 50)).kind == ruling_kind::accepted);
}

CAF_TEST(a call that nobody counted is settled at its reserve) {
  team t{of_tokens(1'000)};
  t.begin("a", tokens(100, 100));
  auto partly = unreported();
  partly.input_tokens = 30;
  t.end("a", partly, "broken");
  CAF_CHECK_EQUAL(t.spent(), 200);
  CAF_CHECK_EQUAL(t.x.of("a").use.input_tokens, 30);
  t.begin("b", tokens(100, 150));
  t.x.crash();
  CAF_CHECK_EQUAL(t.spent(), 450);
  CAF_CHECK_EQUAL(t.reserved(), 0);
  CAF_CHECK_EQUAL(t.x.of("b").use.unreported, 1);
  t.begin("a", tokens(10, 10));
  t.end("a", {}, "breaker_open"); // never sent
  CAF_CHECK_EQUAL(t.spent(), 450);
}

CAF_TEST(a reply above its reserve is recorded and stops further calls) {
  team t{of_tokens(250)};
  t.begin("a", tokens(50, 50));
  t.end("a", tokens(60, 240));
  CAF_CHECK_EQUAL(t.spent(), 300);
  for (auto* who : {"a", "b"}) {
    auto d = t.begin(who, tokens(1, 0));
    CAF_CHECK(d.kind == ruling_kind::refused && !d.waits);
    t.refused(who, d);
  }
  CAF_CHECK(t.x.s.phase == ledger::phase::done);
  CAF_CHECK(t.x.s.error_code == ec::budget_exceeded);
  CAF_CHECK(t.x.of("a").out_code == ec::budget_exceeded);
}

CAF_TEST(an agent that is out of money leaves its answer to the vote of the others) {
  team t{{}, {"a", "b"}};
  t.x.s.members[0].budget = of_tokens(100);
  t.begin("a", tokens(50, 50));
  t.end("a", tokens(50, 50));
  t.x.answer("a", "A");
  t.x.answer("b", "B");
  auto d = t.begin("a", tokens(1, 1));
  CAF_CHECK_EQUAL(d.reason, "the budget of a is used up: 100 of 100 tokens are spent, and this call may take 2; allow more "
                            "(`budget`) or shorter replies (`max_tokens`)");
  t.x.fail("a", d.code, d.reason);
  CAF_CHECK(!t.x.of("a").live);
  CAF_CHECK(t.begin("b", tokens(1'000, 1'000)).kind == ruling_kind::accepted);
  t.end("b", tokens(1, 1));
  t.x.vote("b", "agent1");
  CAF_CHECK_EQUAL(t.x.result().answer, "A"); // it cannot present
  CAF_CHECK_EQUAL(t.x.result().finish_reason, "fallback");
}

CAF_TEST(an unknown price is refused under a limit in dollars unless it is allowed) {
  auto unknown = tokens(10, 10);
  unknown.unpriced = 1;
  auto b = of_dollars(1'000'000'000);
  b.on_exceed = exceed_policy::warn; // that is about what is known
  team t{b};
  auto d = t.begin("a", unknown);
  CAF_CHECK(d.kind == ruling_kind::refused && d.code == ec::budget_exceeded);
  CAF_CHECK(d.reason.find("is not known") != std::string::npos);
  b.on_unknown_cost = unknown_cost_policy::allow;
  CAF_CHECK(team{b}.begin("a", unknown).kind == ruling_kind::accepted);
  CAF_CHECK(team{of_tokens(20)}.begin("a", unknown).kind == ruling_kind::accepted);
}

CAF_TEST(a budget in dollars counts what a call may cost and what it cost) {
  team t{of_dollars(500)};
  CAF_CHECK(t.begin("a", tokens(10, 10, 400)).kind == ruling_kind::accepted);
  CAF_CHECK(t.begin("b", tokens(10, 10, 101)).kind == ruling_kind::refused);
  t.end("a", tokens(9, 9, 399));
  CAF_CHECK(t.begin("b", tokens(10, 10, 101)).kind == ruling_kind::accepted);
  CAF_CHECK(t.begin("a", {}).kind == ruling_kind::accepted); // a model that costs nothing
}

CAF_TEST(a warning is given once and the task goes on) {
  team t{of_tokens(100, exceed_policy::warn)};
  t.begin("a", tokens(50, 60));
  t.begin("b", tokens(50, 60));
  t.end("a", tokens(50, 60));
  CAF_CHECK(t.begin("a", tokens(50, 60)).kind == ruling_kind::accepted);
  CAF_CHECK_EQUAL(t.x.count(event_type::agent_notice), 1u);
  auto& e = t.x.last(event_type::agent_notice);
  CAF_CHECK(e.code == ec::budget_exceeded && e.target == "task" && e.label == "tokens" && e.number == 1'001 && !e.flag);
  CAF_CHECK_EQUAL(e.reason, "the budget of the task might be exceeded: 0 of 100 tokens are spent, and this call may take 110; it "
                            "goes on");
}

CAF_TEST(each mark of a budget is told once) {
  auto b = of_tokens(1'000);
  b.warn_at = {500, 750, 900};
  team t{b};
  t.x.s.members[1].budget = of_tokens(200);
  t.x.s.members[1].budget.warn_at = {1'000};
  std::vector<std::size_t> told;
  for (auto n : {499, 1, 100, 350}) {
    t.begin("a", tokens(n, 0));
    t.end("a", tokens(n, 0));
    told.push_back(t.x.count(event_type::agent_notice));
  }
  CAF_CHECK(told == (std::vector<std::size_t>{0, 1, 1, 2}));
  CAF_CHECK_EQUAL(t.x.last(event_type::agent_notice).number, 900);
  CAF_CHECK_EQUAL(t.x.last(event_type::agent_notice).reason, "950 of 1,000 tokens of the budget of the task are spent");
}

CAF_TEST(a task ends with what there is where its budget says so) {
  team t{of_tokens(250, exceed_policy::terminate), {"a", "b", "c"}};
  t.begin("a", tokens(50, 50));
  t.end("a", tokens(50, 50));
  t.x.answer("a", "A");
  t.begin("b", tokens(50, 50));
  auto d = t.begin("c", tokens(50, 50));
  CAF_CHECK(d.kind == ruling_kind::refused && d.waits); // what b has reserved is in its way
  d = t.begin("c", tokens(100, 51));
  CAF_CHECK(d.kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(t.x.last(event_type::agent_notice).flag, true);
  CAF_CHECK(t.x.s.phase == ledger::phase::closing); // the call of b is under way
  t.end("b", unreported(), "cancelled");
  auto o = t.x.result();
  CAF_CHECK(o.kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(o.answer, "A");
  CAF_CHECK_EQUAL(o.finish_reason, "budget_exceeded");
  CAF_CHECK_EQUAL(t.spent(), 200);
  CAF_CHECK(t.x.s == t.x.replayed());
}

CAF_TEST(the budget of one agent ended the task of all) {
  team t{budget{}, {"a", "b"}};
  t.x.s.members[0].budget = of_tokens(100, exceed_policy::terminate);
  auto d = t.begin("a", tokens(101, 0));
  CAF_CHECK(d.kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(t.x.last(event_type::agent_notice).reason,
                  "the budget of a might be exceeded: 0 of 100 tokens are spent, and this call may take 101; the agent is out");
  CAF_CHECK(!t.x.of("a").live && t.x.of("a").out_code == ec::budget_exceeded && t.x.of("a").run.id == 0);
  CAF_CHECK(t.x.of("b").live && t.x.s.phase == ledger::phase::coordinating);
  t.begin("b", tokens(50, 50));
  t.end("b", tokens(50, 50));
  t.x.answer("b", "B");
  t.x.vote("b", "agent2");
  t.x.present("B, finally");
  CAF_CHECK_EQUAL(t.x.result().answer, "B, finally");
  CAF_CHECK_EQUAL(t.x.result().finish_reason, "completed");
}

CAF_TEST(a winner whose own budget ends it is told by its stored answer) {
  team t{budget{}, {"a"}};
  t.x.s.members[0].budget = of_tokens(100, exceed_policy::terminate);
  t.x.answer("a", "A");
  t.x.vote("a", "agent1");
  CAF_REQUIRE(t.x.s.phase == ledger::phase::presenting);
  t.begin("a", tokens(101, 0));
  CAF_CHECK_EQUAL(t.x.result().answer, "A");
  CAF_CHECK_EQUAL(t.x.result().finish_reason, "fallback");
}

CAF_TEST(a task without an answer fails where its budget ends it) {
  team t{of_tokens(10, exceed_policy::terminate)};
  t.begin("a", tokens(50, 50));
  auto o = t.x.result();
  CAF_CHECK(o.kind == outcome_kind::failed && o.code == ec::budget_exceeded);
  CAF_CHECK_EQUAL(o.error,
                  "no answer: the budget of the task might be exceeded: 0 of 10 tokens are spent, and this call may take 100");
}

CAF_TEST(a presentation that the budget has no room for is the stored answer) {
  for (auto on : {exceed_policy::block, exceed_policy::terminate}) {
    team t{of_tokens(100, on), {"a"}};
    t.x.answer("a", "A");
    t.x.vote("a", "agent1");
    CAF_REQUIRE(t.x.s.phase == ledger::phase::presenting);
    auto d = t.begin("a", tokens(101, 0));
    if (on == exceed_policy::block)
      t.refused("a", d);
    CAF_CHECK_EQUAL(t.x.result().answer, "A");
    CAF_CHECK_EQUAL(t.x.result().finish_reason, on == exceed_policy::block ? "fallback" : "budget_exceeded");
  }
}

CAF_TEST(the log alone brings budgets and what is told of them back) {
  ledger::rules r;
  r.budget = of_tokens(100, exceed_policy::warn);
  ledger_driver x{r, {"a", "b"}};
  x.opens = true;
  x.start();
  CAF_CHECK(x.s.rules.budget == r.budget);
  x.begin_call("a");
  x.end_call("a", x.run_of("a"), 1);
  CAF_CHECK(x.s == x.replayed());
}

CAF_TEST(no random order of calls and crashes and replies overshoots a budget) {
  for (std::uint32_t seed = 1; seed <= 1'000; ++seed) {
    std::mt19937 random{seed};
    auto roll = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(n)); };
    budget b = of_tokens(500 + roll(3'000));
    b.nano_usd = roll(2) == 0 ? 0 : 20'000 + roll(100'000);
    b.on_exceed = roll(3) == 0 ? exceed_policy::terminate : exceed_policy::block;
    b.warn_at = {500, 900};
    const strings ids{"a", "b", "c", "d"};
    team t{b, ids};
    amount expected;
    for (auto step = 0; step < 60 && t.x.s.phase == ledger::phase::coordinating; ++step) {
      auto& who = ids[static_cast<std::size_t>(roll(4))];
      auto& m = t.x.of(who);
      if (roll(12) == 0) {
        for (auto& x : t.x.s.members)
          for (auto& o : x.open)
            add(expected, amount_of(o.reserve)); // lost
        t.x.crash(roll(1'000));
      } else if (!m.open.empty()) {
        auto& reserve = m.open.front().reserve;
        auto use = roll(4) == 0 ? unreported() : tokens(roll(reserve.input_tokens + 1), roll(reserve.output_tokens + 1));
        if (use.unreported == 0)
          use.cost_nano_usd = roll(reserve.cost_nano_usd + 1);
        add(expected, settled(reserve, use));
        t.end(who, use, use.unreported > 0 ? "cancelled" : "finished");
      } else if (t.x.run_of(who) != 0) {
        auto need = tokens(1 + roll(300), 1 + roll(300), roll(9'000));
        auto fits = t.spent() + t.reserved() + need.input_tokens + need.output_tokens <= b.tokens
                    && (b.nano_usd == 0
                        || ledger::spent(t.x.s).nano_usd + ledger::reserved(t.x.s).nano_usd + need.cost_nano_usd <= b.nano_usd);
        auto d = t.begin(who, need);
        CAF_REQUIRE((d.kind == ruling_kind::accepted) == fits);
        if (d.kind == ruling_kind::refused && !d.waits)
          t.refused(who, d);
      }
      CAF_REQUIRE(t.spent() + t.reserved() <= b.tokens);
      CAF_REQUIRE(b.nano_usd == 0 || ledger::spent(t.x.s).nano_usd + ledger::reserved(t.x.s).nano_usd <= b.nano_usd);
    }
    for (auto& x : t.x.s.members)
      for (auto& o : x.open)
        add(expected, amount_of(o.reserve));
    t.x.drain();
    CAF_REQUIRE(ledger::spent(t.x.s) == expected);
    CAF_REQUIRE(ledger::reserved(t.x.s) == amount{});
  }
}
