// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A stored log alone: the state of its task, what its runs were about, and every decision made again.

#define CAF_SUITE protocols.replay

#include "protocols/replay.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/sha256.hpp"
#include "support/stored_task.hpp"

#include <ctime>
#include <map>
#include <random>

using namespace conclave;
using namespace conclave::ledger;
using conclave::test::ledger_driver;
using conclave::test::log_t;
using conclave::test::play;
using conclave::test::played_by;
using conclave::test::stored_task;

namespace {

/// None of them as by default.
rules odd_rules() {
  rules r;
  r.patience_ms = 70'000;
  r.max_answers_per_agent = 2;
  r.max_answers_global = 5;
  r.max_failed_runs = 2;
  r.max_runs = 30;
  r.max_answer_bytes = 300;
  r.max_reason_chars = 60;
  r.coordination_ms = 900'000;
  r.initial_run_ms = 100'000;
  r.later_run_ms = 200'000;
  r.presentation_ms = 50'000;
  r.backoff_ms = 700;
  r.backoff_cap_ms = 9'000;
  r.cancel_grace_ms = 900;
  return r;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

event of(event_type type, const std::string& agent, std::uint64_t run) {
  event e;
  e.type = type;
  e.agent = agent;
  e.run = run;
  return e;
}

event call(bool ended, const std::string& agent, std::uint64_t run, std::int64_t number, const std::string& target,
           std::vector<std::string> said, const std::string& state = "", std::uint64_t kept = 0) {
  auto e = of(ended ? event_type::call_ended : event_type::call_started, agent, run);
  e.number = number;
  e.target = target;
  e.said = std::move(said);
  e.state = state;
  e.kept = kept;
  e.reason = ended ? "finished" : "";
  return e;
}

std::string error_of(log_t log) {
  return restore(log).error;
}

} // namespace

CAF_TEST(a log alone restores the state it led to with rules that are not the defaults) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    auto r = odd_rules();
    r.pacing = seed % 3 == 0 ? pacing::eager : pacing::barrier;
    r.strategy = seed % 2 == 0 ? strategy::winner_reuse : strategy::winner_present;
    r.skip_coordination = seed % 10 == 9;
    stored_task t{r, {"zeta", "alpha", "agent1"}};
    play(t, seed, seed);
    auto back = restore(t.log());
    CAF_CHECK_EQUAL(back.error, "");
    CAF_CHECK(back.state == t.x.s);
    CAF_CHECK(back.opening == played_by(r, {"zeta", "alpha", "agent1"}));
    CAF_CHECK_EQUAL(back.seq, t.lines.size());
    auto log = t.log();
    CAF_CHECK_EQUAL(back.last_ms, log.back().time_ms);
  }
}

CAF_TEST(every decision is made again from what is stored) {
  std::size_t refused = 0, kept = 0, ended = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    auto r = seed % 2 == 0 ? odd_rules() : rules{};
    r.pacing = seed % 3 == 0 ? pacing::eager : pacing::barrier;
    r.strategy = seed % 4 == 0 ? strategy::winner_reuse : strategy::winner_present;
    stored_task t{r, {"a", "b", "c", "d"}};
    play(t, seed);
    auto log = t.log();
    CAF_CHECK_EQUAL(t.verify(log), "");
    refused += t.x.count(event_type::refused);
    kept += t.bodies.size();
    ended += t.x.s.phase == phase::done ? 1 : 0;
  }
  CAF_CHECK(refused > 30 && kept > 30 && ended > 30);
}

CAF_TEST(the first difference is named whatever was changed) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.answer("a", "an answer that is long enough not to be written into its cause, as short ones are");
  t.x.fail("b", ec::unavailable, "503");
  t.x.fire(timer_kind::backoff, "b");
  t.x.answer("b", "a second one");
  t.x.vote("a", "agent2", "better");
  t.x.vote("b", "agent2", "mine");
  t.x.present("the final words");
  CAF_REQUIRE(t.x.s.phase == phase::done);
  auto log = t.log();
  CAF_CHECK_EQUAL(t.verify(log), "");
  using change = void (*)(event&);
  const change changes[] = {[](event& e) { e.text += "x"; },
                            [](event& e) { e.agent = e.agent == "a" ? "b" : "a"; },
                            [](event& e) { e.reason += "x"; },
                            [](event& e) { e.number += 1; },
                            [](event& e) { e.labels.push_back("agent9.9"); },
                            [](event& e) { e.epoch += 1; },
                            [](event& e) { e.run += 1; },
                            [](event& e) { e.flag = !e.flag; },
                            [](event& e) { e.ms += 1; },
                            [](event& e) { e.type = event_type::backoff_over; },
                            [](event& e) { e.round += 1; },
                            [](event& e) { e.target += "x"; }};
  for (std::size_t i = 1; i < log.size(); ++i)
    for (auto f : changes) {
      auto bad = log;
      f(bad[i]);
      // What a cause refers to instead of repeating it is what was handed in: there is nothing else that it could differ from.
      auto given = bad[i].text != log[i].text && log[i].text.size() > 48
                   && (log[i].type == event_type::session_start || log[i].type == event_type::new_answer);
      if (bad[i] == log[i] || given)
        continue;
      auto text = t.verify(bad);
      if (text.empty())
        CAF_ERROR("not seen: " << wire::to_json(bad[i]) << " instead of " << wire::to_json(log[i]));
      CAF_CHECK(has(text, "event ") || has(text, "cannot be verified"));
    }
  auto bad = log;
  bad[4].reason += "?";
  CAF_CHECK(has(t.verify(bad), "event 5: the log says {"));
  // An event too few, or too many, in a decision.
  auto cut = log;
  cut.pop_back();
  CAF_CHECK(has(t.verify(cut), "event " + std::to_string(log.size()) + ": this build decides"));
  auto more = log;
  more.pop_back();
  more.push_back(log[log.size() - 2]);
  more.push_back(log.back());
  for (std::size_t i = 0; i < more.size(); ++i)
    more[i].seq = i + 1;
  CAF_CHECK(!t.verify(more).empty());
}

CAF_TEST(a log without causes is refused and not passed) {
  stored_task t{rules{}, {"a", "b"}};
  play(t, 1);
  auto log = t.log();
  auto bare = log;
  for (auto& e : bare)
    e.cause.clear();
  CAF_CHECK(has(t.verify(bare), "does not say what caused it"));
  // One of version 1 has no opening either.
  bare.erase(bare.begin());
  for (std::size_t i = 0; i < bare.size(); ++i)
    bare[i].seq = i + 1;
  CAF_CHECK(has(t.verify(bare), "task_opened"));
  CAF_CHECK(has(t.verify({}), "empty"));
}

CAF_TEST(a cause that cannot be read is a difference and no crash) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.answer("a", std::string(100, 'x') + std::string(300'000, 'y')); // refused: its text is a body
  auto log = t.log();
  CAF_CHECK_EQUAL(t.verify(log), "");
  t.bodies.clear();
  CAF_CHECK(has(t.verify(log), "event " + std::to_string(log.size()) + ": its cause cannot be read"));
  for (auto* cause :
       {"{}", R"({"kind":"of the future"})", R"({"kind":7})", R"({"kind":"answer","text":{"in":9,"as":"text"}})",
        R"({"kind":"answer","text":{"in":0,"as":"seq"}})", R"({"kind":"answer","text":{"in":-1,"as":"text"}})",
        R"({"kind":"answer","text":{"body":"../../etc"}})", R"({"kind":"answer","more":1})", R"({"kind":"timer","timer":["run"]})",
        R"({"kind":"timer","timer":["run","a",-1,5]})", R"({"kind":"fail","jitter":99999999999})", R"({"kind":"fail","run":"1"})",
        R"({"kind":"end_call","usage":{"in":7}})", R"({"kind":"end_call","said":[1]})",
        R"({"kind":"end_call","said":{"in":0,"as":"text"}})", R"({"kind":"answer","now":18446744073709551615})"}) {
    log.back().cause = cause;
    command c;
    CAF_CHECK(!read_cause({log.back()}, nullptr, c));
    CAF_CHECK(has(t.verify(log), "its cause cannot be read"));
  }
}

CAF_TEST(every field of a command comes back from its cause) {
  command c;
  c.kind = command_kind::end_call;
  c.now_ms = 77;
  c.agent = "a";
  c.run = 2;
  c.text = std::string(60, 't');
  c.target = std::string(60, 'g');
  c.reason = std::string(60, 'r');
  c.step = "tools";
  c.code = ec::timeout;
  c.truncated = true;
  c.jitter_permille = 250;
  c.agents = {"a", "b"};
  c.timer = {timer_kind::closing, "b", 18446744073709551615ull, -5};
  c.call = 3;
  c.status = "finished";
  c.hash = "85944171f73967e8";
  c.use = {1, 2, 3, 4, 5, 6};
  c.said = {"x", "y"};
  c.state = std::string(64, 'a');
  c.kept = 4;
  c.fence = 5;
  c.opening = to_json(played_by({}, {"a"}));
  std::map<std::string, std::string> bodies;
  auto keep = [&](const std::string& text) { return bodies.emplace(wire::sha256(text), text).first->first; };
  auto find = [&](const std::string& name) { return bodies.count(name) > 0 ? &bodies[name] : nullptr; };
  // What the events hold themselves is not written once more; 0 to 2 of these hold it.
  for (int n = 0; n < 3; ++n) {
    log_t events(3);
    for (auto& e : events)
      e.time_ms = 77 + n;
    auto& last = events.back();
    events.front().said = c.said; // else what the run stood at is of no effect, and not written
    events.front().state = c.state;
    if (n > 0) {
      last.text = c.text;
      last.use = c.use;
      last.said = c.said;
      last.detail = c.opening;
    }
    if (n > 1) {
      last.reason = c.reason;
      last.target = c.target;
      last.labels = c.agents;
      last.state = c.state;
    }
    bodies.clear();
    events.front().cause = cause_of(c, events, keep);
    CAF_CHECK_EQUAL(bodies.size(), n == 0 ? 4u : n == 1 ? 2u : 0u);
    command back;
    CAF_REQUIRE(read_cause(events, find, back));
    CAF_CHECK_EQUAL(cause_of(back, events, keep), events.front().cause);
    CAF_CHECK(back.text == c.text && back.target == c.target && back.reason == c.reason && back.opening == c.opening);
    CAF_CHECK(back.kind == c.kind && back.now_ms == 77 && back.agents == c.agents && back.said == c.said && back.use == c.use);
    CAF_CHECK(back.timer == c.timer && back.jitter_permille == 250 && back.truncated && back.code == ec::timeout);
    CAF_CHECK(back.run == 2 && back.call == 3 && back.kept == 4 && back.fence == 5 && back.state == c.state);
    CAF_CHECK(back.agent == "a" && back.step == "tools" && back.status == c.status && back.hash == c.hash);
  }
}

CAF_TEST(the cause of a call repeats nothing that its event tells) {
  command c;
  c.kind = command_kind::begin_call;
  c.agent = "a";
  c.run = 3;
  c.call = 7;
  c.target = "mcp__s__read";
  c.hash = "00ff";
  c.said = {std::string(64, '1'), std::string(64, '2')};
  c.state = std::string(64, '3');
  c.kept = 5;
  c.effect = call_effect::repeatable;
  c.jitter_permille = 12;
  c.now_ms = 99;
  auto e = events::call_started({c.agent, c.run, c.call, c.target}, c.hash, {c.said, c.state, c.kept}, call_effect::repeatable);
  e.time_ms = c.now_ms;
  e.cause = cause_of(c, {e}, {});
  CAF_CHECK_EQUAL(e.cause, R"({"as":"event","hash":"00ff","jitter":12,"kind":"begin_call","repeatable":true})");
  command back;
  CAF_REQUIRE(read_cause({e}, {}, back));
  CAF_CHECK_EQUAL(cause_of(back, {e}, {}), e.cause);
  CAF_CHECK_EQUAL(back.call, 7u);
  CAF_CHECK_EQUAL(back.state, c.state);
  // What differs from the event stands there in full.
  auto other = e;
  other.target = "elsewhere";
  CAF_CHECK(cause_of(c, {other}, {}).find(R"("target":"mcp__s__read")") != std::string::npos);
  // It stands for a call alone.
  other.type = event_type::new_answer;
  CAF_CHECK(!read_cause({other}, {}, back));
}

CAF_TEST(causes of version 2 are read for ever) {
  event e, f;
  e.time_ms = 9;
  e.cause = R"({"agent":"a","kind":"answer","run":3,"step":"tools","text":{"as":"text","in":1}})";
  f.text = "the answer";
  command c;
  CAF_REQUIRE(read_cause({e, f}, nullptr, c));
  CAF_CHECK(c.kind == command_kind::answer && c.agent == "a" && c.run == 3 && c.step == "tools" && c.text == "the answer"
            && c.now_ms == 9);
  e.cause = R"({"agent":"a","jitter":7,"kind":"timer","now":5,"timer":["run","a",3,100]})";
  CAF_REQUIRE(read_cause({e}, nullptr, c));
  CAF_CHECK(c.timer == (timer_key{timer_kind::run, "a", 3, 100}) && c.now_ms == 5 && c.jitter_permille == 7);
  // What no event holds is inline where nobody keeps bodies.
  c = {};
  c.kind = command_kind::fail;
  c.text = std::string(500, 'x');
  e.cause = cause_of(c, {e}, nullptr);
  command back;
  CAF_CHECK(read_cause({e}, nullptr, back) && back.text == c.text);
}

CAF_TEST(a log that cannot be gone on with says why) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.answer("a", "one");
  const auto good = t.log();
  CAF_CHECK_EQUAL(error_of(good), "");
  CAF_CHECK(has(error_of({}), "empty"));
  auto log = good;
  log.erase(log.begin());
  for (std::size_t i = 0; i < log.size(); ++i)
    log[i].seq = i + 1;
  CAF_CHECK(has(error_of(log), "task_opened")); // of version 1
  log = good;
  log.erase(log.begin() + 3);
  CAF_CHECK(has(error_of(log), "event 4 is missing, event 5 stands there"));
  log = good;
  log[2].seq = 2;
  CAF_CHECK(has(error_of(log), "event 3 is missing"));
  log = good;
  log.push_back(good.front());
  log.back().seq = log.size();
  CAF_CHECK(has(error_of(log), "once more"));
  log = good;
  event future;
  CAF_REQUIRE(wire::from_json(R"({"v":9,"seq":)" + std::to_string(log.size() + 1) + R"(,"type":"agent_\u001bmoved"})", future));
  log.push_back(future);
  CAF_CHECK(has(error_of(log), "'agent_?moved'"));
  for (auto i = 0; i < 20; ++i) {
    log.push_back(future);
    log.back().seq = log.size();
    log.back().extra = R"({"type":"t)" + std::to_string(i) + "\"}";
  }
  CAF_CHECK(has(error_of(log), "and others") && error_of(log).size() < 300);
  log = good;
  log.front().detail = R"({"v":2})";
  CAF_CHECK(has(error_of(log), "newer version"));
  log.front().detail.clear();
  CAF_CHECK(has(error_of(log), "cannot be read"));
  log = good;
  log[1].labels = {"a"};
  CAF_CHECK(has(error_of(log), "event 2 names other agents"));
  log = good;
  log.push_back(of(event_type::task_ended, "", 0));
  log.push_back(of(event_type::backoff_over, "a", 0));
  log[log.size() - 2].seq = log.size() - 1;
  log.back().seq = log.size();
  CAF_CHECK(has(error_of(log), "behind the end"));
}

CAF_TEST(what was done with the files behind the end of a task changes nothing of it) {
  std::size_t ended = 0;
  for (unsigned seed = 0; seed < 20; ++seed) {
    stored_task t{odd_rules(), {"a", "b"}};
    play(t, seed);
    const auto log = t.log();
    auto more = log;
    for (auto e : {events::changes_applied({"/home/u", 3, "abcdef"}), events::changes_undone({"/home/u", 3, "abcdef"}),
                   events::changes_applied({"/home/u", 3, "c0ffee", "mine"})}) {
      e.seq = more.size() + 1;
      e.time_ms = more.back().time_ms + 86'400'000;
      more.push_back(std::move(e));
    }
    if (log.back().type != event_type::task_ended) {
      CAF_CHECK(has(error_of(more), "before it had ended"));
      CAF_CHECK(has(t.verify(more), "before it had ended"));
      continue;
    }
    ++ended;
    auto was = restore(log), is = restore(more);
    CAF_CHECK_EQUAL(is.error, "");
    CAF_CHECK(is.state == was.state);
    CAF_CHECK_EQUAL(is.last_ms, was.last_ms);
    CAF_CHECK_EQUAL(is.seq, was.seq + 3);
    CAF_CHECK_EQUAL(t.verify(more), "");
    CAF_CHECK(unfinished(more).empty());
    CAF_CHECK(played(more) == played(log));
    auto astray = more;
    astray.push_back(of(event_type::backoff_over, "a", 0));
    astray.back().seq = astray.size();
    CAF_CHECK(has(error_of(astray), "behind the end"));
    astray = more;
    std::swap(astray[log.size() - 1], astray[log.size()]); // an apply, then the end
    std::swap(astray[log.size() - 1].seq, astray[log.size()].seq);
    CAF_CHECK(has(error_of(astray), "before it had ended"));
    astray = more;
    astray[2].reason += "x"; // what stands before is compared as ever
    CAF_CHECK(!t.verify(astray).empty());
  }
  CAF_CHECK(ended > 5);
}

CAF_TEST(a long log is restored in time that grows with its length) {
  auto measured = [](std::size_t n) {
    stored_task t{rules{}, {"a", "b", "c"}};
    auto lines = t.lines;
    for (std::size_t i = 0; lines.size() < n; ++i) {
      auto e = call(i % 2 == 1, "a", 1, static_cast<std::int64_t>(1 + i / 2), "model", {std::string(64, 'a'), std::string(64, 'b')},
                    i % 2 == 0 ? std::string(64, 'c') : "", 2);
      e.time_ms = t.x.now;
      e.seq = lines.size() + 1;
      e.use = {1200, 300, 50, 10, 1, 0};
      e.cause = R"({"agent":"a","call":7,"kind":"end_call","run":1,"said":{"as":"said","in":0},"target":"model"})";
      lines.push_back(wire::to_json(e));
    }
    auto begin = std::clock(); // of this process: others may be busy
    log_t log(lines.size());
    auto good = true;
    for (std::size_t i = 0; i < lines.size(); ++i)
      good = wire::from_json(lines[i], log[i]) && good;
    auto r = restore(log);
    auto open = unfinished(log);
    auto ms = 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    CAF_CHECK(good);
    CAF_CHECK_EQUAL(r.error, "");
    CAF_CHECK_EQUAL(open.size(), 3u);
    CAF_MESSAGE(n << " events: " << ms << " ms");
    return ms;
  };
  measured(1'000);
  auto some = measured(2'000), more = measured(8'000);
  CAF_CHECK(more < 12 * some + 100);
}
