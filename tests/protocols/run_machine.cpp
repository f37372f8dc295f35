// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.run_machine

#include "caf/test/unit_test.hpp"
#include "protocols/tool_result.hpp"
#include "support/run_driver.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::test;

CAF_TEST_FIXTURE_SCOPE(run_machine_tests, run_driver)

CAF_TEST(nothing is sent before its announcement was ruled) {
  put(run::started{task()});
  CAF_CHECK(the<run::prepare>().run == 7u);
  put(run::prepared{7, {}});
  auto r = the<run::report>();
  CAF_CHECK_EQUAL(last.size(), 1u);
  CAF_CHECK(r.ask && r.ended.empty() && !r.has_verdict && r.run == 7);
  CAF_REQUIRE_EQUAL(r.begun.size(), 1u);
  CAF_CHECK(r.begun[0].call == 1 && r.begun[0].target == "model" && !r.begun[0].hash.empty());
  rule();
  auto sent = the<run::send_model>().request;
  CAF_CHECK(sent.call == 1 && sent.run == 7 && sent.messages == s.talk && sent.tools.size() == 4);
}

CAF_TEST(the end of a call and what follows from it are one report) {
  start();
  reply(calls({answer}));
  auto r = the<run::report>();
  CAF_REQUIRE(r.ended.size() == 1 && r.has_verdict && r.ask);
  CAF_CHECK(r.ended[0].call == 1 && r.ended[0].status == "finished" && r.ended[0].reply == calls({answer}));
  CAF_CHECK(r.handed_in.kind == verdict_kind::answer && r.handed_in.text == "42" && r.run == 7);
  rule();
  the<run::over>();
  CAF_CHECK(s.stage == run::stage::idle && s.talk.empty());
}

CAF_TEST(a model call that is followed by another ends with its announcement) {
  start();
  reply(text("It is 42."));
  auto r = the<run::report>();
  CAF_CHECK(r.ended.size() == 1 && r.begun.size() == 1 && r.begun[0].call == 2);
  CAF_CHECK_EQUAL(s.talk.size() - s.kept, 2u); // what was said, and the correction
  rule();
  CAF_CHECK_EQUAL(s.kept, s.talk.size());
}

CAF_TEST(a superseded run ends without a word) {
  put(run::started{task()});
  put(run::prepared{7, {}});
  rule(ruling_kind::superseded);
  CAF_CHECK_EQUAL(last.size(), 1u);
  the<run::over>();
}

CAF_TEST(a model call that may not begin fails the run with the reason) {
  put(run::started{task()});
  put(run::prepared{7, {}});
  rule(ruling_kind::refused, "the budget is used up");
  auto r = the<run::report>();
  CAF_CHECK(r.ended.empty() && r.has_verdict && !r.ask && r.handed_in.code == ec::denied);
  CAF_CHECK(says(r.handed_in.reason, "the budget is used up"));
}

CAF_TEST(tool calls that may not begin are told to the model) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule(ruling_kind::refused, "the budget is used up");
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  CAF_CHECK(s.talk.back().is_error && s.talk.back().tool_call_id == "c1" && says(s.talk.back().text, "budget is used up"));
}

CAF_TEST(inputs that do not fit have no effect) {
  auto before = s;
  auto still = [&](run::input in) {
    put(std::move(in));
    CAF_CHECK(last.empty());
    CAF_CHECK(s == before);
  };
  auto all = [&] {
    before = s;
    still(run::prepared{6, {}});
    still(run::unprepared{6, ec::timeout, "x"});
    still(run::ruled{s.awaited + 1, {}});
    still(run::ruled{0, {}});
    still(run::model_done{99, text("x")});
    still(run::model_failed{99, ec::timeout, "x"});
    still(run::tool_done{99, {}, "finished", {}});
  };
  all();
  still(run::cancelled{"x"});
  put(run::started{task()});
  all();
  put(run::prepared{7, {}});
  all();
  before = s;
  still(run::prepared{7, {}});
  still(run::model_done{1, text("x")}); // announced only
  rule();
  all();
  reply(calls({{"c1", "look", "{}"}}));
  before = s;
  still(run::tool_done{2, {}, "finished", {}}); // announced only
  rule();
  all();
  before = s;
  still(run::model_done{1, text("x")}); // ended before
}

CAF_TEST(calls that are read only begin together and others one after the other per source) {
  start();
  reply(calls({{"c1", "look", "{}"}, {"c2", "write", "{}"}, {"c3", "look", "{\"a\":1}"}, {"c4", "put", "{}"}}));
  auto r = the<run::report>();
  CAF_REQUIRE_EQUAL(r.begun.size(), 3u);
  CAF_CHECK(r.begun[0].call == 2 && r.begun[1].target == "write" && r.begun[2].arguments == "{\"a\":1}");
  rule();
  auto sent = got<run::send_tool>();
  CAF_REQUIRE_EQUAL(sent.size(), 3u);
  CAF_CHECK(sent[1].source == 1 && sent[1].what.id == "c2" && sent[1].key == "t/writer/3");
  tool(2);
  r = the<run::report>();
  CAF_CHECK(!r.ask && r.ended.size() == 1 && r.begun.empty());
  CAF_CHECK(r.ended[0].result == (tool_result{"c1", "seen", false}));
  tool(3); // now the other call of its source may begin
  r = the<run::report>();
  CAF_CHECK(r.ask && r.ended.size() == 1 && r.begun.size() == 1 && r.begun[0].target == "put");
  tool(4); // while that is being asked for
  r = the<run::report>();
  CAF_CHECK(!r.ask && r.ended.size() == 1);
  rule();
  CAF_CHECK(the<run::send_tool>().what.id == "c4");
  tool(5);
  r = the<run::report>();
  CAF_CHECK(r.ask && r.ended.size() == 1 && r.begun[0].target == "model");
  std::vector<std::string> order;
  for (auto& m : s.talk)
    if (m.from == role::tool)
      order.push_back(m.tool_call_id);
  CAF_CHECK(order == (std::vector<std::string>{"c1", "c2", "c3", "c4"}));
}

CAF_TEST(eight calls at most run side by side and one where the backend says so) {
  std::vector<tool_call> many;
  for (int i = 0; i < 20; ++i)
    many.push_back({"c" + std::to_string(i), "look", "{\"n\":" + std::to_string(i) + "}"});
  start();
  reply(calls(many));
  CAF_CHECK(the<run::report>().begun.size() == 8u);
  with.agent.backend.max_concurrent_tools = 3;
  start(task(9));
  reply(calls(many));
  CAF_CHECK(the<run::report>().begun.size() == 3u);
  with.agent.backend.parallel_tool_calls = false;
  start(task(8));
  reply(calls(many));
  CAF_CHECK(the<run::report>().begun.size() == 1u);
}

CAF_TEST(while a report awaits its ruling nothing else is begun) {
  std::vector<tool_call> many;
  for (int i = 0; i < 10; ++i)
    many.push_back({"c" + std::to_string(i), "look", "{\"n\":" + std::to_string(i) + "}"});
  start();
  reply(calls(many));
  rule();
  tool(2);
  CAF_CHECK(the<run::report>().begun.size() == 1);
  tool(3);
  CAF_CHECK(the<run::report>().begun.empty() && !the<run::report>().ask);
  rule();
  CAF_CHECK(the<run::send_tool>().call == 10 && the<run::report>().begun.size() == 1);
}

CAF_TEST(a call that a rule denies is not announced) {
  with.agent.backend.max_tool_iterations = 1;
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  tool(2);
  rule();
  CAF_CHECK(the<run::send_model>().request.tools.size() == 1); // new_answer
  reply(calls({{"c2", "look", "{\"a\":1}"}}));
  auto r = the<run::report>();
  CAF_CHECK(r.begun.empty() && r.has_verdict && says(r.handed_in.reason, "still calling tools after 1 rounds"));
}

CAF_TEST(a repetition gets an error result and the run goes on) {
  start();
  for (int i = 0; i < 2; ++i) {
    reply(calls({{"c", "look", "{}"}}));
    rule();
    tool(s.calls);
    rule();
  }
  reply(calls({{"c", "look", "{}"}}));
  auto r = the<run::report>();
  CAF_CHECK(r.begun.size() == 1 && r.begun[0].target == "model");
  CAF_CHECK(s.talk.back().is_error && says(s.talk.back().text, "the same call was just made 2 times"));
}

CAF_TEST(every rule has a name and something to say) {
  CAF_CHECK(with.policies == &run::policies());
  for (auto& p : run::policies())
    CAF_CHECK(p.name != nullptr
              && (p.before_model != nullptr || p.before_tool != nullptr || p.after_tool != nullptr || p.reserve != nullptr));
}

CAF_TEST(a result is cut and a result that was cut stays as it is) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  tool(2, std::string(max_result_text + 300, 'r'));
  auto first = the<run::report>().ended[0].result;
  CAF_CHECK(first.text.size() < max_result_text + 128 && says(first.text, "bytes left out]"));
  rule();
  reply(calls({{"c1", "look", "{\"a\":1}"}}));
  rule();
  tool(4, first.text);
  CAF_CHECK(the<run::report>().ended[0].result == first);
}

CAF_TEST(a cancel while a call is announced ends it and the run) {
  put(run::started{task()});
  put(run::prepared{7, {}});
  put(run::cancelled{"deadline"});
  auto r = the<run::report>();
  CAF_CHECK(r.has_verdict && !r.ask && r.handed_in.code == ec::cancelled);
  CAF_CHECK(r.ended.size() == 1 && r.ended[0].call == 1 && r.ended[0].status == "cancelled");
  put(run::ruled{1, {ruling_kind::accepted, "", {}}}); // too late
  CAF_CHECK(last.empty());
}

CAF_TEST(a cancel waits for the partial text) {
  start();
  put(run::cancelled{"deadline"});
  CAF_CHECK(the<run::cancel_model>().call == 1u);
  put(run::cancelled{"again"});
  CAF_CHECK(last.empty());
  auto c = text("half a thou");
  c.status = completion_status::cancelled;
  reply(c);
  auto r = the<run::report>();
  CAF_CHECK(r.ended.size() == 1 && r.handed_in.text == "half a thou" && r.handed_in.code == ec::cancelled);
}

CAF_TEST(a verdict under way counts although its run is cancelled) {
  start();
  reply(calls({answer}));
  put(run::cancelled{"deadline"});
  CAF_CHECK(last.empty());
  rule(ruling_kind::refused, "no");
  the<run::over>();
  CAF_CHECK(got<run::report>().empty());
}

CAF_TEST(a cancel leaves no tool running and their ends are reported) {
  start();
  reply(calls({{"c1", "look", "{}"}, {"c2", "write", "{}"}, {"c3", "write", "{}"}}));
  rule();
  tool(3);
  CAF_CHECK(the<run::report>().begun.size() == 1u);
  put(run::cancelled{"deadline"});
  auto r = the<run::report>();
  CAF_CHECK(r.ended.size() == 1 && r.ended[0].call == 4 && r.ended[0].status == "cancelled"); // never sent
  CAF_CHECK(the<run::cancel_all_tools>().run == 7u);
  tool(2, "late");
  r = the<run::report>();
  CAF_CHECK(r.run == 7 && !r.ask && !r.has_verdict && r.ended[0].call == 2 && r.ended[0].result.text == "late");
  tool(2, "twice");
  CAF_CHECK(last.empty());
}

CAF_TEST(a newer run does not lose the partial text of the older) {
  start();
  put(run::started{task(8)});
  CAF_CHECK(the<run::cancel_model>().run == 7 && the<run::prepare>().run == 8);
  put(run::prepared{7, {}}); // an old question's answer
  CAF_CHECK(last.empty());
  put(run::prepared{8, {}});
  auto c = text("half");
  c.status = completion_status::cancelled;
  put(run::model_done{1, c});
  auto r = the<run::report>();
  CAF_CHECK(r.run == 7 && !r.ask && r.ended[0].call == 1 && r.run == 7 && r.handed_in.text == "half");
  rule();
  CAF_CHECK(the<run::send_model>().request.run == 8);
}

CAF_TEST(a backend that is gone fails the run) {
  put(run::started{task()});
  put(run::unprepared{7, ec::unavailable, "the model connection is gone"});
  CAF_CHECK(the<run::report>().handed_in.code == ec::unavailable);
  start(task(8));
  put(run::model_failed{s.model_call, ec::breaker_open, "closed"});
  auto r = the<run::report>();
  CAF_CHECK(r.ended.size() == 1 && r.ended[0].status == "breaker_open" && r.handed_in.code == ec::breaker_open);
}

CAF_TEST(tools that are gone when their turn comes give an error result) {
  start();
  reply(calls({{"c1", "write", "{}"}, {"c2", "put", "{}"}}));
  rule();
  with.tools.erase("put");
  put(run::tools_changed{});
  CAF_CHECK(says(the<run::tell>().text, "put"));
  tool(2);
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  CAF_CHECK(s.talk.back().is_error && s.talk.back().tool_call_id == "c2");
}

static backend_info tools_step() {
  backend_info info;
  info.step = "tools";
  return info;
}

CAF_TEST(a model call waits for a list that changed once and is offered what it says) {
  with.tools_stale = true;
  put(run::started{task()});
  put(run::prepared{7, tools_step()});
  CAF_CHECK_EQUAL(got<run::list_again>().size(), 1u);
  CAF_CHECK(got<run::report>().empty() && s.stage == run::stage::listing);
  add_tool("fresh", 2, true, false);
  with.tools.erase("put");
  with.gone.insert("put");
  put(run::tools_changed{}); // still stale: it changed again, which is for the next call
  CAF_CHECK(got<run::list_again>().empty());
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  rule();
  auto offered = the<run::send_model>().request.tools;
  CAF_CHECK(std::any_of(offered.begin(), offered.end(), [](auto& t) { return t.name == "fresh"; }));
  CAF_CHECK(std::none_of(offered.begin(), offered.end(), [](auto& t) { return t.name == "put"; }));
  with.tools_stale = false;
  reply(calls({{"c1", "put", "{}"}, {"c2", "look", "{}"}}));
  CAF_CHECK(the<run::report>().begun[0].target == "look");
  rule();
  tool(2);
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  auto& said = s.talk[s.talk.size() - 2];
  CAF_CHECK(said.is_error && said.tool_call_id == "c1" && says(said.text, "no tool named 'put' any more"));
}

CAF_TEST(a run that is cancelled while its tools are listed fails at once) {
  with.tools_stale = true;
  put(run::started{task()});
  put(run::prepared{7, tools_step()});
  put(run::cancelled{"too late"});
  CAF_CHECK(the<run::report>().handed_in.code == ec::cancelled);
  put(run::tools_changed{});
  CAF_CHECK(last.empty());
}

CAF_TEST(a tool that goes while its call is announced gives an error result) {
  start();
  reply(calls({{"c1", "put", "{}"}}));
  with.tools.erase("put");
  rule();
  auto r = the<run::report>();
  CAF_CHECK(r.ended.size() == 1 && r.ended[0].status == "unavailable" && r.begun[0].target == "model");
}

CAF_TEST(an answer beside a tool call is cleaned like any other) {
  start();
  reply(calls({{"c1", "look", "{}"}, {"a", "new_answer", R"({"content":"<agent1>\n42\n<end of agent1>"})"}}));
  rule();
  tool(2);
  CAF_CHECK(the<run::report>().handed_in.text == "42");
}

CAF_TEST(calls in a reply that counts by its text have results before the next call) {
  with.agent.backend.decision = "text";
  start();
  reply(calls({{"c1", "look", "{}"}, {"c2", "nobody", "{}"}}));
  CAF_REQUIRE(s.talk.size() > 3);
  CAF_CHECK(s.talk[s.talk.size() - 3].tool_call_id == "c1" && s.talk[s.talk.size() - 2].tool_call_id == "c2");
  CAF_CHECK(s.talk.back().from == role::user);
}

CAF_TEST(a paused turn with calls of ours goes on with their results) {
  start();
  auto c = calls({{"c1", "look", "{}"}});
  c.status = completion_status::paused;
  reply(c);
  CAF_CHECK(the<run::report>().begun[0].target == "look");
}

CAF_TEST(the arguments of a call count once and not twice against what a run may hold) {
  with.agent.backend.max_run_bytes = 65'536;
  start();
  reply(calls({{"c1", "look", "{\"n\":\"" + std::string(45'000, 'z') + "\"}"}}));
  rule();
  CAF_CHECK(s.held > 45'000 && s.held < 50'000);
  tool(2);
  rule();
  CAF_CHECK(the<run::send_model>().request.messages.back().from == role::tool); // it goes on
}

CAF_TEST(a message that is shortened while a report awaits its ruling is not taken for stored) {
  with.agent.backend.max_run_bytes = 65'536;
  with.agent.backend.max_tool_result_chars = 1'000'000;
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  tool(2, std::string(30'000, 'a'));
  rule();
  reply(calls({{"c2", "look", "{\"n\":2}"}, {"c3", "write", "{}"}, {"c4", "write", "{}"}}));
  rule();
  tool(5);
  CAF_REQUIRE(s.awaited != 0);
  tool(4, std::string(60'000, 'b'));
  CAF_CHECK(s.talk[3].text.size() < 1'000);
  rule();
  CAF_CHECK_EQUAL(s.kept, 3u);
}

CAF_TEST(an image that cannot be used does not end its run and spoils no other) {
  auto see = [&](const char* id) {
    reply(calls({{id, "look", "{\"n\":" + std::to_string(s.calls) + "}"}}));
    rule();
    tool_result r{"", "seen", false};
    r.parts = {{content_kind::image, "[image]", "image/png", "iVBORw0KGgo=", ""}};
    put(run::tool_done{s.calls, std::move(r), "finished", {}});
    rule();
  };
  start();
  see("c1");
  see("c2");
  auto pictures = [&] { return std::count_if(s.talk.begin(), s.talk.end(), [](auto& m) { return !m.parts.empty(); }); };
  CAF_REQUIRE_EQUAL(pictures(), 2);
  reply(broken(ec::bad_request, "Could not process image"));
  CAF_CHECK(says(the<run::tell>().text, "Could not process image"));
  CAF_CHECK(the<run::report>().begun.size() == 1u && pictures() == 1);
  CAF_CHECK(!s.talk[3].parts.empty()); // the server has seen that one
  rule();
  reply(broken(ec::bad_request, "Could not process image"));
  CAF_CHECK_EQUAL(pictures(), 0);
  rule();
  reply(broken(ec::bad_request, "Could not process image"));
  CAF_CHECK(the<run::report>().handed_in.code == ec::bad_request);
}

CAF_TEST(a first step down the ladder is remembered and told) {
  with.agent.backend.decision = "auto";
  start();
  reply(text("It is 42."));
  rule();
  reply(text("I said 42."));
  CAF_CHECK(the<run::remember>().note.step == "schema");
  CAF_CHECK(says(the<run::tell>().text, "works without tools"));
  CAF_CHECK_EQUAL(s.kept, 0u); // another conversation
}

CAF_TEST(what was asked in vain is counted over runs of one round and forgotten in the next) {
  for (std::uint64_t run = 7; run < 9; ++run) {
    start(task(run));
    auto c = broken(ec::unavailable, "503");
    c.usage.requests = 5;
    reply(c);
  }
  put(run::started{task(9)});
  put(run::prepared{9, {}});
  CAF_CHECK(says(the<run::report>().handed_in.reason, "no usable reply to 10 requests"));
  auto t = task(10);
  t.round = 1;
  start(t);
  CAF_CHECK(the<run::send_model>().request.max_requests == 9);
}

CAF_TEST(a state between two rounds of tools is small) {
  auto t = task(7, true);
  t.task = "20261126-101112-abcd";
  start(t);
  for (int i = 0; i < 3; ++i) {
    reply(calls({{"c1", "look", "{\"n\":" + std::to_string(i) + "}"}, {"c2", "write", "{}"}}));
    CAF_CHECK(run::to_json(s).size() < 600);
    rule();
    tool(s.calls - 1, std::string(5'000, 'x'));
    tool(s.calls, std::string(5'000, 'x'));
    CAF_CHECK(run::to_json(s).size() < 600);
    CAF_MESSAGE(run::to_json(s).size());
    rule();
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
