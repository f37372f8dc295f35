// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A stored log under other budgets, and which keys are judged at all. The winners are computed by hand.

#define CAF_SUITE protocols.what_if_budgets

#include "caf/test/unit_test.hpp"
#include "protocols/what_if.hpp"
#include "support/stored_task.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::ledger;
using conclave::test::stored_task;

namespace {

constexpr std::int64_t reserve = 100, used = 60;

usage tokens(std::int64_t n) {
  usage u;
  u.input_tokens = n;
  return u;
}

command call(const stored_task& t, command_kind kind, const std::string& agent) {
  auto* m = find(t.x.s, agent);
  command c;
  c.kind = kind;
  c.agent = agent;
  c.run = m->run.id;
  c.call = m->calls + (kind == command_kind::begin_call ? 1 : 0);
  c.target = events::model_target;
  c.hash = "0123456789abcdef";
  c.status = "finished";
  c.use = tokens(kind == command_kind::begin_call ? reserve : used);
  return c;
}

void begin(stored_task& t, const std::string& agent) {
  t.x.wait(10);
  t.x.step(call(t, command_kind::begin_call, agent));
}

void end(stored_task& t, const std::string& agent) {
  t.x.wait(10);
  t.x.step(call(t, command_kind::end_call, agent));
}

/// Three agents; a is for itself, b and c for b. 300 tokens are spent when the last call begins, 360 when it ends. `together`: the
/// last two calls are under way at once.
stored_task three(const rules& r = {}, bool together = false, const std::string& has_failover = "") {
  stored_task t{r, {"a", "b", "c"}, {}, has_failover};
  for (auto* id : {"a", "b", "c"}) {
    begin(t, id);
    end(t, id);
    t.x.answer(id, std::string{"of "} + id);
  }
  begin(t, "a");
  end(t, "a");
  t.x.vote("a", "agent1");
  begin(t, "b");
  if (together)
    begin(t, "c");
  end(t, "b");
  t.x.vote("b", "agent2");
  if (!together)
    begin(t, "c");
  end(t, "c");
  t.x.vote("c", "agent2");
  t.x.present("the final words");
  return t;
}

what_if ask(const stored_task& t, const budget& b, std::map<std::string, budget> own = {}) {
  rules r;
  r.budget = b;
  return ask_what_if(t.log(), [&](const std::string& name) { return t.find(name); }, {r, {}, std::move(own)});
}

budget of(std::int64_t n, exceed_policy p = exceed_policy::block) {
  budget b;
  b.tokens = n;
  b.on_exceed = p;
  return b;
}

bool tells(const what_if& w, const std::string& part) {
  return std::any_of(w.notes.begin(), w.notes.end(), [&](auto& n) { return n.text.find(part) != std::string::npos; });
}

} // namespace

CAF_TEST(a smaller budget refuses the first call that does not fit and its agent is out) {
  auto t = three();
  auto w = ask(t, of(400));
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK(w.notes.empty());
  w = ask(t, of(399)); // 300 spent, 100 for the last call of c
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK_EQUAL(w.then_winner, "b");
  CAF_CHECK_EQUAL(w.known_until, 0u);
  CAF_CHECK(tells(w, "call 2 of 'c' would not have been made: the budget of the task might be exceeded: 300 of 399 tokens"));
  w = ask(t, of(100)); // the first call of a fits, and no other one
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK_EQUAL(w.answers.size(), 1u);
  w = ask(t, of(99));
  CAF_CHECK(!w.chosen());
  CAF_CHECK(w.answers.empty());
}

CAF_TEST(what the next backend of a refused agent would have said is a gap) {
  auto w = ask(three({}, false, "c"), of(399));
  CAF_CHECK(w.known_until > 0);
  CAF_CHECK(tells(w, "what another backend of its `failover` would have said is not in the log"));
}

CAF_TEST(a budget that ends the task chooses among what there is when its first call does not fit) {
  auto t = three();
  auto w = ask(t, of(399, exceed_policy::terminate));
  CAF_CHECK_EQUAL(w.winner, "a"); // a vote each: the first of them
  CAF_CHECK(tells(w, "the task would have ended here: the budget of the task might be exceeded"));
  w = ask(t, of(160, exceed_policy::terminate)); // a and b have called, c has not
  CAF_CHECK_EQUAL(w.answers.size(), 2u);
  CAF_CHECK_EQUAL(w.winner, "b"); // no votes: the newest
  w = ask(t, of(99, exceed_policy::warn));
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK(w.notes.empty());
}

CAF_TEST(a call that would have waited for another one is a gap) {
  auto t = three({}, true);
  auto w = ask(t, of(399)); // 240 spent, 100 reserved for b, 100 wanted
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK(w.known_until > 0);
  CAF_CHECK(tells(w, "call 2 of 'c' would have waited for the ends of others"));
  CAF_CHECK(tells(w, "call 2 of 'c' would not have been made: the budget of the task might be exceeded: 300 of 399 tokens"));
  w = ask(t, of(400)); // what b has used leaves room
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK(w.known_until > 0);
}

CAF_TEST(a call that waits until it has ended is a gap and no refusal) {
  stored_task t{{}, {"a", "b", "c"}};
  for (auto* id : {"a", "b", "c"}) {
    begin(t, id);
    end(t, id);
    t.x.answer(id, std::string{"of "} + id);
  }
  begin(t, "a");
  begin(t, "b"); // 180 spent, 100 reserved for a, 100 wanted
  end(t, "b");
  t.x.answer("b", "of b, better"); // a starts anew
  end(t, "a");
  t.x.vote("a", "agent2");
  for (auto* id : {"a", "b", "c"}) {
    begin(t, id);
    end(t, id);
    t.x.vote(id, "agent2");
  }
  t.x.present("the final words");
  auto w = ask(t, of(379));
  CAF_CHECK(w.known_until > 0);
  CAF_CHECK(tells(w, "call 2 of 'b' would have waited for the ends of others"));
  CAF_CHECK(tells(w, "call 2 of 'b' would still have waited when it ended in the log"));
  CAF_CHECK(!tells(w, "call 2 of 'b' would not have been made"));
}

CAF_TEST(a budget that ends its agent leaves the others to decide) {
  auto w = ask(three({}, false, "c"), {}, {{"c", of(150, exceed_policy::terminate)}});
  CAF_CHECK_EQUAL(w.answers.size(), 3u);
  CAF_CHECK(tells(w, "would not have been made: the budget of c might be exceeded"));
  CAF_CHECK(!tells(w, "another backend"));
  CAF_CHECK_EQUAL(w.winner, "a"); // a vote each of a and b: the first of them
}

CAF_TEST(a budget of one agent is its own) {
  auto t = three();
  CAF_CHECK_EQUAL(ask(t, {}, {{"c", of(160)}}).winner, "b");
  auto w = ask(t, {}, {{"c", of(159)}, {"nobody", of(1)}});
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK(tells(w, "the budget of c might be exceeded"));
}

CAF_TEST(what a budget of the log refused is not known under a larger one) {
  rules r;
  r.budget = of(100);
  stored_task t{r, {"a", "b"}};
  begin(t, "a");
  end(t, "a");
  t.x.answer("a", "of a");
  t.x.wait(10);
  CAF_REQUIRE(t.x.step(call(t, command_kind::begin_call, "b")).kind == ruling_kind::refused);
  t.x.fail("b", ec::budget_exceeded, "the budget of the task might be exceeded");
  t.x.wait(10);
  t.x.fail("a", ec::budget_exceeded, "the budget of the task might be exceeded");
  CAF_CHECK(ask(t, of(100)).notes.empty());
  auto w = ask(t, of(1'000));
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK(w.known_until > 0);
  CAF_CHECK(tells(w, "a budget ended the run of 'b' here"));
}

CAF_TEST(the keys that differ are named as a file writes them and those that no log can judge apart) {
  opening then;
  then.agents.resize(2);
  then.agents[0].id = "a";
  then.agents[0].backend.api_key = "sk-literal-0123456789";
  then.agents[1].id = "b";
  then.agents[1].failover.resize(1);
  mask_secrets(then);
  run_config now;
  now.agents.resize(2);
  now.agents[0].id = "b";
  now.agents[0].failover.resize(1);
  now.agents[1].id = "a";
  now.agents[1].backend.api_key = "sk-another-0123456789";
  auto none = changes_between(then, now);
  CAF_CHECK(none.judged.empty() && none.unjudged.empty());

  now.rules.max_answers_global = 4;
  now.rules.coordination_ms = 90'000;
  now.rules.pacing = pacing::eager;
  now.rules.planning_mode = true;
  now.rules.budget = of(5'000);
  now.on_unknown = "fail";
  now.agents[0].budget = of(10);
  now.agents[0].failover[0].rpm = 5;
  now.agents[1].backend.mcp_servers.resize(1);
  now.agents[1].backend.breaker_enabled = !now.agents[1].backend.breaker_enabled;
  now.agents[1].system_message = "be kind";
  auto all = changes_between(then, now);
  std::string text;
  for (auto& c : all.judged)
    text += c.path + " " + c.then + " " + c.now + "\n";
  CAF_CHECK_EQUAL(text, "orchestrator.pacing barrier eager\n"
                        "orchestrator.max_new_answers_global not set 4\n"
                        "timeout_settings.orchestrator_timeout_seconds 1800 90\n"
                        "budget not set 5000 tokens, block\n"
                        "agents[0].budget not set 10 tokens, block\n");
  text.clear();
  for (auto& path : all.unjudged)
    text += path + "\n";
  CAF_CHECK_EQUAL(text, "orchestrator.coordination.enable_planning_mode\n"
                        "agents[0].failover[0].rate_limits.rpm\n"
                        "agents[1].system_message\n"
                        "agents[1].backend.mcp_servers\n"
                        "agents[1].backend.llm_circuit_breaker_enabled\n"
                        "orchestrator.on_unknown_outcome\n");
}
