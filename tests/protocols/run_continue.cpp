// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.run_continue

// A run that goes on after a crash.

#include "caf/test/unit_test.hpp"
#include "support/run_driver.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::test;

namespace {

struct crash_fixture : run_driver {
  bodies kept;

  /// Another machine, with what was stored.
  void crash(std::vector<known_end> ends, ruling refusal = {}) {
    run::state back;
    std::string error;
    auto planning = s.task.planning; // comes with the task
    CAF_REQUIRE(run::from_json(run::to_json(s), back, error));
    for (auto& m : s.talk) {
      back.talk.emplace_back();
      CAF_REQUIRE(run::find_message(run::keep_message(m, kept.keep()), kept.find(), back.talk.back(), error));
    }
    s = back;
    run::continued c;
    c.task = task(8, s.task.may_vote);
    c.task.planning = planning;
    for (auto& p : s.pending) // as the log has them
      if (std::none_of(ends.begin(), ends.end(), [&](auto& e) { return e.call == p.number; }))
        ends.push_back({p.number, false, {}, {}, begun[p.number]});
    c.ends = std::move(ends);
    c.refused = refusal.kind == ruling_kind::refused;
    c.refusal = refusal;
    put(std::move(c));
  }

  static known_end ended(std::uint64_t call, completion c) { return {call, true, std::move(c), {}}; }
  static known_end ended(std::uint64_t call, std::string result) { return {call, true, {}, {"", std::move(result), false}}; }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(run_continue_tests, crash_fixture)

CAF_TEST(a model call that was under way is announced anew with the same conversation) {
  start();
  reply(text("It is 42."));
  auto talk = s.talk;
  auto hash = the<run::report>().begun[0].hash;
  crash({ended(1, text("It is 42."))});
  auto r = the<run::report>();
  CAF_CHECK(r.run == 8 && r.begun.size() == 1 && r.begun[0].call == 3 && r.ended.empty() && r.begun[0].hash == hash);
  rule();
  auto sent = the<run::send_model>().request;
  CAF_CHECK(sent.messages == talk && sent.run == 8 && sent.call == 3);
}

CAF_TEST(a model call whose end is known is not made again) {
  start();
  reply(text("It is 42."));
  crash({ended(1, text("It is 42.")), ended(2, calls({answer}))});
  auto r = the<run::report>();
  CAF_CHECK(r.ended.empty() && r.has_verdict && r.handed_in.text == "42" && r.run == 8);
}

CAF_TEST(a tool call that may have had its effect is told to the model) {
  auto c = calls({{"c1", "look", "{}"}, {"c2", "write", "{}"}, {"c3", "write", "{}"}});
  start();
  reply(c);
  crash({ended(1, c)});
  auto r = the<run::report>(); // the third had not begun
  CAF_REQUIRE_EQUAL(r.begun.size(), 2u);
  CAF_CHECK(r.begun[0].target == "look" && r.begun[0].call == 4 && r.begun[1].target == "write" && r.begun[1].call == 5);
  rule();
  auto sent = got<run::send_tool>();
  CAF_CHECK(sent[0].key == "t/writer/2"); // as it was
  CAF_CHECK(sent[1].key == "t/writer/5" && sent[1].what.id == "c3");
  tool(4);
  tool(5);
  auto& told = s.talk[s.talk.size() - 2];
  CAF_CHECK(told.tool_call_id == "c2" && told.is_error && says(told.text, "may have had its effect") && says(told.text, "check"));
}

CAF_TEST(a call that is idempotent is repeated under its old key over any number of crashes) {
  auto c = calls({{"c1", "put", "{}"}});
  start();
  reply(c);
  for (int i = 0; i < 3; ++i) {
    crash({ended(1, c)});
    CAF_CHECK(the<run::report>().begun[0].target == "put");
  }
  rule();
  CAF_CHECK(the<run::send_tool>().key == "t/writer/2" && the<run::send_tool>().call == 5);
}

CAF_TEST(a run fails over an unknown outcome where that is asked for) {
  with.unknown = run::on_unknown::fail;
  auto c = calls({{"c1", "write", "{}"}});
  start();
  reply(c);
  crash({ended(1, c)});
  auto r = the<run::report>();
  CAF_CHECK(r.begun.empty() && !r.ask && r.handed_in.kind == verdict_kind::failed);
  CAF_CHECK(says(r.handed_in.reason, "'write'") && says(r.handed_in.reason, "not known"));
  CAF_CHECK(is_fatal(r.handed_in.code)); // asked again, the agent would write once more
}

CAF_TEST(a call that planning refuses is no unknown outcome and is refused again) {
  with.unknown = run::on_unknown::fail;
  auto t = task();
  t.planning = true;
  start(t);
  auto c = calls({{"c1", "write", "{}"}});
  reply(c);
  for (int i = 0; i < 2; ++i) {
    CAF_CHECK(the<run::report>().begun[0].effect == call_effect::none);
    crash({ended(1, c)});
  }
  rule();
  CAF_CHECK(got<run::send_tool>().empty() && the<run::refuse_tool>().call == 4);
}

CAF_TEST(a call is repeated where that is asked for) {
  with.unknown = run::on_unknown::repeat;
  auto c = calls({{"c1", "write", "{}"}});
  start();
  reply(c);
  crash({ended(1, c)});
  CAF_CHECK(the<run::report>().begun[0].target == "write");
}

CAF_TEST(results that are known are not asked for again) {
  auto c = calls({{"c1", "write", "{}"}, {"c2", "look", "{}"}});
  start();
  reply(c);
  rule();
  crash({ended(1, c), ended(2, "written"), ended(3, "seen")});
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  CAF_CHECK(s.talk[s.talk.size() - 2].text == "written" && s.talk.back().text == "seen" && s.talk.back().tool_call_id == "c2");
}

CAF_TEST(names are read as they were although the tools are others) {
  with.agent.backend.decision = "tools";
  auto c = calls({{"c1", "functions.write", "{}"}, {"c2", "Look", "{}"}});
  start();
  reply(c);
  add_tool("functions.write", 2, true, true);
  crash({ended(1, c), ended(3, "seen")});
  auto& told = s.talk[s.talk.size() - 2];
  CAF_CHECK(told.tool_call_id == "c1" && says(told.text, "may have had its effect"));
  CAF_CHECK(s.talk[s.talk.size() - 3].calls[0].name == "write");
}

CAF_TEST(a tool that is absent now gives an error result and a notice) {
  auto c = calls({{"c1", "put", "{}"}, {"c2", "look", "{}"}});
  start();
  reply(c);
  with.tools.erase("put");
  crash({ended(1, c), ended(3, "seen")});
  CAF_CHECK(says(the<run::tell>().text, "'put'"));
  CAF_CHECK(s.talk[s.talk.size() - 2].is_error && the<run::report>().begun[0].target == "model");
}

CAF_TEST(a call is judged by what its tool was when it was made) {
  auto c = calls({{"c1", "write", "{}"}});
  for (auto [read_only, idempotent] : {std::pair{true, false}, std::pair{false, true}, std::pair{true, true}}) {
    add_tool("write", 1, false, false);
    start(task(8));
    reply(c);
    rule();
    add_tool("write", 1, read_only, idempotent); // so it says now
    crash({ended(1, c)});
    CAF_CHECK(the<run::report>().begun[0].target == "model");
    CAF_CHECK(says(s.talk.back().text, "may have had its effect"));
    add_tool("write", 1, false, false);
    s = {};
  }
  // The other way round: it was harmless then.
  for (auto* name : {"look", "put"}) {
    c = calls({{"c1", name, "{}"}});
    start(task(8));
    reply(c);
    rule();
    add_tool(name, 1, false, false);
    crash({ended(1, c)});
    CAF_CHECK(the<run::report>().begun[0].target == name);
    CAF_CHECK(the<run::report>().begun[0].effect == call_effect::once); // from here on it is what it is now
    rule();
    crash({ended(1, c)});
    CAF_CHECK(says(s.talk.back().text, "may have had its effect"));
    s = {};
  }
}

CAF_TEST(a call of which the log does not say what it was is not made again) {
  auto c = calls({{"c1", "look", "{}"}});
  start();
  reply(c);
  rule();
  crash({ended(1, c), {2, false, {}, {}}});
  CAF_CHECK(says(s.talk.back().text, "may have had its effect"));
}

CAF_TEST(a run fails over an unknown outcome although the tool is gone) {
  with.unknown = run::on_unknown::fail;
  for (auto* name : {"write", "put"}) {
    auto c = calls({{"c1", name, "{}"}});
    start(task(8));
    reply(c);
    rule();
    auto tools = with.tools;
    with.tools.erase(name);
    crash({ended(1, c)});
    with.tools = tools;
    auto r = the<run::report>();
    CAF_CHECK(r.begun.empty() && r.handed_in.kind == verdict_kind::failed && is_fatal(r.handed_in.code));
    CAF_CHECK(says(r.handed_in.reason, name) && says(r.handed_in.reason, "not known"));
    s = {};
  }
}

CAF_TEST(a call of a read only tool that is gone is said to have had no effect) {
  auto c = calls({{"c1", "look", "{}"}});
  for (auto unknown : {run::on_unknown::tell, run::on_unknown::fail, run::on_unknown::repeat}) {
    with.unknown = unknown;
    start(task(8));
    reply(c);
    rule();
    auto tools = with.tools;
    with.tools.erase("look");
    crash({ended(1, c)});
    with.tools = tools;
    CAF_CHECK(the<run::report>().begun[0].target == "model");
    CAF_CHECK(says(the<run::tell>().text, "'look'") && !says(the<run::tell>().text, "may have"));
    CAF_CHECK(s.talk.back().is_error && says(s.talk.back().text, "no effect") && !says(s.talk.back().text, "may have"));
    s = {};
  }
}

CAF_TEST(a call that cannot be repeated because its tool is gone is told) {
  for (auto* name : {"write", "put"}) {
    with.unknown = run::on_unknown::repeat;
    auto c = calls({{"c1", name, "{}"}});
    start(task(8));
    reply(c);
    rule();
    auto tools = with.tools;
    with.tools.erase(name);
    crash({ended(1, c)});
    with.tools = tools;
    CAF_CHECK(says(the<run::tell>().text, "may have had its effect") && says(s.talk.back().text, "may have had its effect"));
    s = {};
  }
}

CAF_TEST(a verdict whose refusal is known goes on from it) {
  start();
  reply(calls({answer}));
  crash({ended(1, calls({answer}))}, {ruling_kind::refused, "it is there already", {}});
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  CAF_CHECK(s.talk.back().tool_call_id == "a" && says(s.talk.back().text, "there already") && s.attempt == 2);
}

CAF_TEST(a verdict without a ruling is handed in again with its text) {
  start();
  reply(calls({answer}));
  crash({ended(1, calls({answer}))});
  auto v = the<run::report>().handed_in;
  CAF_CHECK(v.text == "42" && v.kind == verdict_kind::answer);
  rule();
  the<run::over>();
}

CAF_TEST(a refusal of tool calls that was recorded holds) {
  auto c = calls({{"c1", "write", "{}"}});
  start();
  reply(c);
  crash({ended(1, c)}, {ruling_kind::refused, "too dear", {}});
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  CAF_CHECK(says(s.talk.back().text, "too dear"));
}

CAF_TEST(a turn that was paused before its tools keeps its text) {
  start();
  auto c = text("first ");
  c.status = completion_status::paused;
  reply(c);
  rule();
  c = calls({{"c1", "look", "{}"}});
  c.text = "second";
  reply(c);
  crash({ended(2, c), ended(3, "seen")});
  CAF_CHECK(s.talk[s.talk.size() - 2].text == "first second");
}

CAF_TEST(what the log lacks fails the run and does not crash) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  auto tools = s;
  crash({});
  CAF_CHECK(says(the<run::report>().handed_in.reason, "the reply to call 1 is not in the log"));
  s = tools;
  crash({ended(1, text("another one"))});
  CAF_CHECK(the<run::report>().handed_in.kind == verdict_kind::failed);
  start(task(9));
  reply(calls({answer}));
  crash({});
  CAF_CHECK(the<run::report>().handed_in.code == ec::bad_reply);
}

CAF_TEST(a state that was stored after a cancel ends) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  s.cancelled = true;
  crash({});
  CAF_CHECK(the<run::report>().handed_in.code == ec::cancelled);
  CAF_CHECK(got<run::cancel_all_tools>().empty());
}

CAF_TEST(a state without a run starts anew and keeps what the agent learned) {
  s.memory.learned_budget = 300;
  s.calls = 5;
  crash({});
  CAF_CHECK(the<run::prepare>().run == 8);
  put(run::prepared{8, {}});
  CAF_CHECK(the<run::report>().begun[0].call == 6 && s.budget_bytes == 300);
}

CAF_TEST(the connection hears again what was learned of it) {
  with.agent.backend.decision = "auto";
  start();
  reply(text("a"));
  rule();
  reply(text("b"));
  crash({});
  CAF_CHECK(the<run::remember>().note.step == "schema");
}

CAF_TEST(states that make no sense do not crash) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  auto good = s;
  for (int i = 0; i < 40; ++i) {
    s = good;
    s.stage = static_cast<run::stage>(i % 5);
    s.handing_in = i % 2 == 1;
    if (i % 3 == 0)
      s.pending.clear();
    for (auto& p : s.pending)
      p.at = static_cast<std::uint32_t>(i % 4) * 1'000'000'000U;
    s.iterations = s.attempt = s.repeats = i % 7 == 0 ? UINT32_MAX : 0;
    s.calls = i % 7 == 1 ? UINT64_MAX : 3;
    s.memory.vain = i % 7 == 2 ? INT64_MAX : -5;
    s.kept = i % 7 == 3 ? SIZE_MAX : 0;
    crash({ended(1, calls({{"c1", "look", "{}"}}))});
    rule();
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
