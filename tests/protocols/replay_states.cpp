// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a log holds of its runs beside the decisions, against what the runs come to again.

#define CAF_SUITE protocols.replay_states

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/replay_runs.hpp"
#include "support/run_driver.hpp"
#include "support/stored_task.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::ledger;
using conclave::test::log_t;
using conclave::test::stored_task;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

rules short_answers() {
  rules r;
  r.max_answer_bytes = 300;
  return r;
}

/// A run whose reports are decided and stored as an orchestrator does it.
struct stored_run_fixture : conclave::test::run_driver {
  stored_task t;
  run_check runs;

  explicit stored_run_fixture(const rules& r = short_answers()) : t{r, {"writer", "other"}} {
    with.agent = conclave::test::played_by({}, {"writer"}).agents.front();
    begin_run();
  }

  void begin_run() {
    auto task = task_for(t.x.s, "writer", false);
    task.now_ms = t.x.now;
    put(run::started{task});
    backend_info info;
    info.step = "tools";
    then(run::prepared{task.run, info});
    rule_all();
  }

  run::keeper keep() {
    return [this](const std::string& bytes) { return t.keep(bytes); };
  }

  command about(const run::report& r, command_kind kind) const {
    command c;
    c.kind = kind;
    c.agent = "writer";
    c.run = r.run;
    return c;
  }

  void stand(command& c, const run::report& r) {
    if (!r.ask)
      return;
    c.state = t.keep(run::to_json(s));
    c.kept = s.kept;
    for (auto i = s.kept; i < s.talk.size(); ++i)
      c.said.push_back(run::keep_message(s.talk[i], keep()));
  }

  bool dies = false; ///< the engine, once the ends of a report are stored

  ruling store(const run::report& r) {
    for (auto& e : r.ended) {
      auto c = about(r, command_kind::end_call);
      c.call = e.call;
      c.target = e.target;
      c.status = e.status;
      c.use = e.use;
      c.said.push_back(e.target == "model" ? run::keep_completion(e.reply, keep()) : run::keep_result(e.result, keep()));
      t.x.step(c);
    }
    if (dies)
      return {ruling_kind::superseded, "", {}};
    auto first = true;
    for (auto& b : r.begun) {
      auto c = about(r, command_kind::begin_call);
      c.call = b.call;
      c.target = b.target;
      c.hash = b.hash;
      c.effect = b.effect;
      if (std::exchange(first, false))
        stand(c, r);
      if (b.target != "model")
        c.said.push_back(t.keep(b.arguments));
      t.x.step(c);
    }
    if (!r.has_verdict)
      return {ruling_kind::accepted, "", {}};
    auto& v = r.handed_in;
    auto c = about(r, v.kind == verdict_kind::vote     ? command_kind::vote
                      : v.kind == verdict_kind::answer ? command_kind::answer
                                                       : command_kind::fail);
    c.text = v.text;
    c.target = v.target;
    c.reason = v.reason;
    c.code = v.code;
    c.step = v.step;
    stand(c, r);
    auto d = t.x.step(c);
    return {d.kind, d.reason, d.allowed};
  }

  /// Stores what a step brought; what awaits a ruling gets it with the next `rule_all`.
  void then(run::input in) {
    put(std::move(in));
    for (auto& r : got<run::report>()) {
      auto by = store(r);
      if (r.ask)
        by_ = by;
    }
    for (auto& no : got<run::refuse_tool>())
      refused_.push_back(no);
  }

  void rule_all() {
    while (s.awaited != 0 || !refused_.empty())
      if (s.awaited != 0) {
        then(run::ruled{s.awaited, by_});
      } else {
        auto no = std::move(refused_.front());
        refused_.erase(refused_.begin());
        then(run::tool_done{no.call, std::move(no.result), std::move(no.status), {}});
      }
  }

  void reply(completion c) {
    c.usage = {100, 20, 7, 3, 1, 0};
    then(run::model_done{s.model_call, std::move(c)});
    rule_all();
  }

  /// The engine dies when the reply is stored and nothing that follows from it; the next one goes on with the run.
  void reply_and_crash(completion c) {
    dies = true;
    c.usage = {100, 20, 7, 3, 1, 0};
    then(run::model_done{s.model_call, std::move(c)});
    dies = false;
    t.x.crash(5'000);
    auto task = task_for(t.x.s, "writer", false);
    stored_run from;
    std::string problem;
    for (const auto& r : unfinished(t.log())) {
      std::set<std::uint64_t> calls;
      for (const auto& call : r.calls)
        calls.insert(call.call);
      if (r.agent == "writer")
        CAF_REQUIRE(rebuild(
            r, calls, [this](const std::string& name) { return t.find(name); }, from, problem));
    }
    s = {};
    CAF_REQUIRE(run::from_json(from.state, s, problem));
    s.talk = from.talk;
    s.kept = s.talk.size();
    task.now_ms = t.x.now;
    task.fence = t.x.s.fence;
    then(run::continued{task, from.ends, false, {}});
    rule_all();
  }

  void tool(std::uint64_t call) { then(run::tool_done{call, {"", "seen", false}, "finished", {}}); }

  std::string verify(const log_t& log) {
    runs = {};
    return ledger::verify(
        log, [this](const std::string& name) { return t.find(name); }, &runs);
  }

  /// Two tools that may be repeated, one that may not, a refused answer, one that is taken.
  void play() {
    reply(test::calls({{"c1", "look", "{}"}, {"c2", "write", "{\"a\":1}"}, {"c3", "put", "{}"}}));
    tool(3); // the second first
    tool(2);
    rule_all();
    tool(4);
    rule_all();
    reply(test::calls({{"a1", "new_answer", R"({"content":")" + std::string(400, 'x') + "\"}"}}));
    reply(test::calls({{"a2", "new_answer", R"({"content":"42"})"}}));
  }

private:
  ruling by_;
  std::vector<run::refuse_tool> refused_;
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(replay_states_tests, stored_run_fixture)

CAF_TEST(the states of a run are made again) {
  play();
  auto log = t.log();
  CAF_CHECK_EQUAL(verify(log), "");
  CAF_CHECK_EQUAL(runs.prompts.first, "");
  CAF_CHECK_EQUAL(runs.states.first, "");
  auto with_state = std::count_if(log.begin(), log.end(), [](auto& e) { return !e.state.empty(); });
  CAF_CHECK_EQUAL(with_state, 6);
  CAF_CHECK(t.x.count(event_type::refused) == 1 && t.x.count(event_type::new_answer) == 1);
  CAF_CHECK_EQUAL(runs.states.compared, static_cast<std::size_t>(with_state));
}

CAF_TEST(a state that is none or that of another call is seen) {
  play();
  const auto log = t.log();
  std::vector<std::string> states;
  for (auto& e : log)
    if (!e.state.empty())
      states.push_back(e.state);
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (log[i].state.empty())
      continue;
    auto bad = log;
    bad[i].state = std::string(64, '0');
    auto here = "event " + std::to_string(i + 1) + ": ";
    CAF_CHECK(verify(bad).starts_with(here) && has(verify(bad), "is not in the store"));
    for (auto& other : states) {
      if (other == log[i].state)
        continue;
      bad[i].state = other;
      auto text = verify(bad) + runs.states.first;
      if (!has(text, here))
        CAF_ERROR("not seen: " << wire::to_json(bad[i]) << " instead of " << wire::to_json(log[i]) << ": " << text);
    }
  }
}

CAF_TEST(a member of a state that was altered is named) {
  play();
  const auto log = t.log();
  auto model = std::find_if(log.rbegin(), log.rend(), [](auto& e) { return e.type == event_type::call_started; });
  CAF_REQUIRE(model != log.rend());
  auto bad = log;
  auto& e = bad[static_cast<std::size_t>(model->seq - 1)];
  const std::vector<std::pair<std::string, void (*)(run::state&)>> changes{
      {"'attempt'", [](run::state& x) { ++x.attempt; }},
      {"'iterations'", [](run::state& x) { ++x.iterations; }},
      {"'calls'", [](run::state& x) { ++x.calls; }},
      {"'said'", [](run::state& x) { x.said = "more"; }},
      {"'memory.vain'", [](run::state& x) { x.memory.vain += 3; }},
      {"'task.may_vote'", [](run::state& x) { x.task.may_vote = !x.task.may_vote; }},
      {"'task.now_ms'", [](run::state& x) { x.task.now_ms += 1; }},
      {"the model call", [](run::state& x) { ++x.model_call; }},
      {"it keeps", [](run::state& x) { --x.kept; }},
  };
  for (auto& [name, f] : changes) {
    run::state stored;
    std::string error;
    CAF_REQUIRE(run::from_json(*t.find(model->state), stored, error));
    f(stored);
    e.state = t.keep(run::to_json(stored));
    CAF_CHECK_EQUAL(verify(bad), "");
    CAF_CHECK_EQUAL(runs.states.differing, 1u); // what follows is as if it had been made alike
    CAF_CHECK(has(runs.states.first, "event " + std::to_string(e.seq) + ": the state of the run at call"));
    CAF_CHECK(has(runs.states.first, name));
  }
}

CAF_TEST(a body that holds other bytes than its name says is seen) {
  play();
  const auto log = t.log();
  CAF_CHECK_EQUAL(verify(log), "");
  for (auto& [name, bytes] : t.bodies) {
    auto named = [&](const std::string& in) { return in.find(name) != std::string::npos; };
    auto in_a_body = std::any_of(t.bodies.begin(), t.bodies.end(), [&](auto& b) { return named(b.second); });
    if (!in_a_body && std::none_of(t.lines.begin(), t.lines.end(), named))
      continue; // what an accepted verdict stood at: nobody goes on from it
    auto good = bytes;
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    auto text = verify(log);
    if (!has(text, "event ") || !has(text, name) || !has(text, "other bytes"))
      CAF_ERROR("not seen in " << good << ": " << text);
    bytes = good;
  }
}

CAF_TEST(a usage or a status that the reply does not tell is seen) {
  play();
  const auto log = t.log();
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (log[i].type != event_type::call_ended)
      continue;
    for (auto& [name, member] : usage_counts) {
      if (member == &usage::cost_nano_usd || member == &usage::unpriced)
        continue; // told by the prices of then, which nobody has later
      auto bad = log;
      bad[i].use.*member += 1;
      if (!has(verify(bad), "event " + std::to_string(i + 1) + ": "))
        CAF_ERROR("not seen at " << log[i].target << ": " << name << ", " << verify(bad));
      if (log[i].target == events::model_target)
        CAF_CHECK(has(verify(bad), "the log counts the usage") && has(verify(bad), "what came back says"));
    }
  }
}

CAF_TEST(an agent that is placed elsewhere than the opening says is seen) {
  conclave::test::ledger_driver x{rules{}, {"a", "b"}};
  opening o = conclave::test::played_by({}, {"a", "b"});
  o.nodes = {"local", "far"};
  command c;
  c.text = "why?";
  for (auto& a : o.agents)
    c.placements.push_back({a.id, a.id == "a" ? "local" : "far", a.backend.type, a.backend.model});
  log_t stored;
  x.told = [&](const command& of, const decision& d) {
    auto events = d.events;
    if (!events.empty())
      events.front().cause = cause_of(of, d.events, nullptr);
    for (auto& e : events) {
      e.seq = stored.size() + 1;
      stored.push_back(e);
    }
  };
  c.opening = to_json(o);
  x.step(c);
  CAF_CHECK_EQUAL(verify(stored), "");
  for (auto nodes : {std::vector<std::string>{"local"}, {"far", "local"}, {"local", "elsewhere"}, {}}) {
    o.nodes = nodes;
    auto bad = stored;
    bad.front().detail = to_json(o);
    auto text = verify(bad);
    CAF_CHECK(has(text, "event ") && has(text, "is placed on node"));
  }
}

CAF_TEST_FIXTURE_SCOPE_END()

namespace {

struct planning_fixture : stored_run_fixture {
  planning_fixture() : stored_run_fixture(planning()) {}

  static rules planning() {
    rules r;
    r.planning_mode = true;
    return r;
  }
};

} // namespace

CAF_TEST(many calls that were not made for several reasons are made again) {
  planning_fixture plans;
  stored_run_fixture lacks;
  lacks.with.gone = {"old", "older", "oldest"};
  const std::vector<tool_call> asked{{"c1", "look", "{}"},  {"c2", "write", "{}"},  {"c3", "put", "{}"},   {"c4", "none", "{}"},
                                     {"c5", "never", "{}"}, {"c6", "old", "{}"},    {"c7", "older", "{}"}, {"c8", "oldest", "{}"},
                                     {"c9", "none", "{}"},  {"c10", "write", "{}"}, {"c11", "no", "{}"}};
  for (auto* f : {&lacks, static_cast<stored_run_fixture*>(&plans)}) {
    f->reply(test::calls(f == &plans ? std::vector<tool_call>(asked.begin(), asked.begin() + 4)
                                     : std::vector<tool_call>(asked.begin() + 3, asked.begin() + 9)));
    f->reply(test::calls({{"a1", "new_answer", R"({"content":"42"})"}}));
    CAF_CHECK_EQUAL(f->t.x.count(event_type::new_answer), 1U);
    CAF_CHECK_EQUAL(f->verify(f->t.log()), "");
    CAF_CHECK_EQUAL(f->runs.prompts.first, "");
    CAF_CHECK_EQUAL(f->runs.states.first, "");
    CAF_CHECK_EQUAL(f->runs.prompts.compared, 2U);
  }
}

CAF_TEST(calls that a run does not make after a crash are made again) {
  planning_fixture f;
  f.reply_and_crash(test::calls({{"c1", "look", "{}"}, {"c2", "none", "{}"}}));
  f.reply(test::calls({{"a1", "new_answer", R"({"content":"42"})"}}));
  CAF_CHECK_EQUAL(f.t.x.count(event_type::run_continued), 2U);
  CAF_CHECK_EQUAL(f.t.x.count(event_type::new_answer), 1U);
  CAF_CHECK_EQUAL(f.verify(f.t.log()), "");
  CAF_CHECK_EQUAL(f.runs.prompts.first, "");
  CAF_CHECK_EQUAL(f.runs.states.first, "");
  CAF_CHECK_EQUAL(f.runs.prompts.compared, 2U);
}
