// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.agent

#include "support/agent_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

CAF_TEST_FIXTURE_SCOPE(agent_tests, agent_fixture)

CAF_TEST(an answer by tool is handed in once) {
  spawn_with("tools");
  model->replies = {calls({{"c1", "new_answer", R"({"content":"42"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::answer);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "42");
  CAF_CHECK_EQUAL(boss->verdicts[0].run, 7u);
}

CAF_TEST(a model call is announced before it is sent and its end is reported) {
  spawn_with("tools");
  model->replies = {calls({{"c1", "new_answer", R"({"content":"42"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->notices.size(), 2u);
  CAF_CHECK(!boss->notices[0].ended);
  CAF_CHECK(!boss->notices[0].hash.empty());
  CAF_CHECK(boss->notices[1].ended);
  CAF_CHECK_EQUAL(boss->notices[1].status, "finished");
}

CAF_TEST(a superseded run sends nothing to the model) {
  spawn_with("tools");
  boss->go = false;
  run(task(false));
  CAF_CHECK_EQUAL(model->asked.size(), 0u);
  CAF_CHECK_EQUAL(boss->verdicts.size(), 0u);
}

CAF_TEST(S12 plain text gets one correction and the history stays) {
  spawn_with("tools");
  model->replies = {text("It is 42."), calls({{"c1", "new_answer", R"({"content":"42"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 2u);
  auto& second = model->asked[1].messages;
  CAF_REQUIRE(second.size() > model->asked[0].messages.size());
  CAF_CHECK(second.back().from == role::user);
  CAF_CHECK_EQUAL(second[second.size() - 2].text, "It is 42.");
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(S13 plain text three times fails the run) {
  spawn_with("tools");
  model->replies = {text("a"), text("b"), text("c"), text("d")};
  run(task(false));
  CAF_CHECK_EQUAL(model->asked.size(), 3u);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::failed);
}

CAF_TEST(S14 two votes are corrected and every call id gets one result) {
  spawn_with("tools");
  model->replies = {
      calls({{"c1", "vote", R"({"agent_id":"agent1","reason":"a"})"}, {"c2", "vote", R"({"agent_id":"agent2","reason":"b"})"}}),
      calls({{"c3", "vote", R"({"agent_id":"agent1","reason":"a"})"}})};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::vote);
  CAF_CHECK_EQUAL(boss->verdicts[0].target, "agent1");
  check_call_ids();
}

CAF_TEST(S15 a vote and an answer together fail the run on the third time) {
  spawn_with("tools");
  for (int i = 0; i < 4; ++i) {
    auto n = std::to_string(i);
    model->replies.push_back(
        calls({{"v" + n, "vote", R"({"agent_id":"agent1","reason":"a"})"}, {"a" + n, "new_answer", R"({"content":"x"})"}}));
  }
  run(task(true));
  CAF_CHECK_EQUAL(model->asked.size(), 3u);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::failed);
  check_call_ids();
}

CAF_TEST(S17 an unknown tool beside a valid vote does not spoil it) {
  spawn_with("tools");
  model->replies = {calls({{"c1", "nonsense", "{}"}, {"c2", "vote", R"({"agent_id":"agent2","reason":"a"})"}})};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].target, "agent2");
}

CAF_TEST(S17 an unknown tool alone gets an error result and a correction) {
  spawn_with("tools");
  model->replies = {calls({{"c1", "nonsense", "{}"}}), calls({{"c2", "new_answer", R"({"content":"42"})"}})};
  run(task(false));
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
  check_call_ids();
}

CAF_TEST(tools of ours run before the model is asked again) {
  spawn_with("tools");
  model->replies = {calls({{"c1", "mcp__t__look", R"({"at":"sky"})"}}), calls({{"c2", "new_answer", R"({"content":"blue"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(tool->called.size(), 1u);
  CAF_CHECK_EQUAL(tool->called[0], R"({"at":"sky"})");
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
  check_call_ids();
}

CAF_TEST(a call that fails because its server is gone says so and a call that is slow does not ) {
  spawn_with("tools");
  for (auto code : {ec::unavailable, ec::bad_reply, ec::timeout, ec::breaker_open}) {
    tool->error = code;
    boss->notices.clear();
    model->replies = {calls({{"c1", "mcp__t__look", "{}"}}), calls({{"c2", "new_answer", R"({"content":"blue"})"}})};
    run(task(false));
    auto lost = code == ec::unavailable || code == ec::bad_reply;
    std::size_t told = 0;
    for (auto& n : boss->notices)
      if (n.ended && n.target == "mcp__t__look") {
        ++told;
        CAF_CHECK_EQUAL(n.status, to_string(code));
        CAF_CHECK(n.trouble == (lost ? tool_trouble{"MCP server 't'", "MCP server 't' has trouble"} : tool_trouble{}));
      }
    CAF_CHECK_EQUAL(told, 1u);
  }
}

CAF_TEST(tool calls beside a verdict are carried out first) {
  spawn_with("tools");
  model->replies = {calls({{"c1", "new_answer", R"({"content":"blue"})"}, {"c2", "mcp__t__look", "{}"}})};
  run(task(false));
  CAF_CHECK_EQUAL(tool->called.size(), 1u);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "blue");
}

CAF_TEST(a refusal of the ledger goes to the model as the result of its call) {
  spawn_with("tools");
  boss->rulings = {{ruling_kind::refused, "that answer is already there", {"agent1"}}};
  model->replies = {calls({{"c1", "new_answer", R"({"content":"42"})"}}),
                    calls({{"c2", "vote", R"({"agent_id":"agent1","reason":"x"})"}})};
  run(task(true));
  CAF_CHECK_EQUAL(boss->verdicts.size(), 2u);
  CAF_REQUIRE_EQUAL(model->asked.size(), 2u);
  auto& last = model->asked[1].messages.back();
  CAF_CHECK(last.from == role::tool);
  CAF_CHECK_EQUAL(last.tool_call_id, "c1");
  CAF_CHECK(last.text.find("already there") != std::string::npos);
  check_call_ids();
}

CAF_TEST(two bare replies lead one step down and are not counted) {
  spawn_with("auto");
  model->replies = {text("It is 42."), text("I said 42."), text("The answer is 42.")};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::answer);
  CAF_CHECK_EQUAL(boss->verdicts[0].step, "schema");
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "The answer is 42.");
  CAF_REQUIRE_EQUAL(model->notes.size(), 1u);
  CAF_CHECK_EQUAL(model->notes[0], "schema");
}

CAF_TEST(the schema step needs no decision when only an answer is offered) {
  model->step = "schema";
  spawn_with("auto");
  model->replies = {text("42")};
  run(task(false));
  CAF_CHECK_EQUAL(model->asked.size(), 1u);
  CAF_CHECK(model->asked[0].schema.empty());
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(the schema step asks for a decision and takes a vote) {
  model->step = "schema";
  spawn_with("auto");
  model->replies = {text(R"({"action":"vote","agent_id":"agent2"})")};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::vote);
  CAF_CHECK_EQUAL(boss->verdicts[0].target, "agent2");
  CAF_CHECK(!model->asked[0].schema.empty());
}

CAF_TEST(a server without schemas leads to the text step) {
  model->step = "schema";
  spawn_with("auto");
  completion no;
  no.status = completion_status::broken;
  no.code = ec::bad_request;
  no.error = "response_format is not supported";
  model->replies = {no, text("I agree with the first.\nVOTE: agent1\n")};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::vote);
  CAF_CHECK_EQUAL(boss->verdicts[0].step, "text");
}

CAF_TEST(a server without tools leads to the schema step and then gets none) {
  for (auto* error : {"400, \"gemma2:2b does not support tools\"", "400, \"auto\" tool choice requires --enable-auto-tool-choice",
                      "500, \"tools param requires --jinja flag\"", "404, \"No endpoints found that support tool use\""}) {
    spawn_with("auto");
    model->asked.clear();
    boss->verdicts.clear();
    model->replies = {broken(ec::bad_request, error), text("It is 42.")};
    run(task(false));
    CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
    CAF_CHECK(boss->verdicts[0].kind == verdict_kind::answer);
    CAF_CHECK(model->asked[1].tools.empty());
    model->step = "schema";
    model->replies = {text("The end.")};
    auto t = task(true);
    t.kind = run_kind::present;
    run(t);
    CAF_CHECK(model->asked[2].tools.empty());
    model->step = "tools";
    kill(aut);
    kill(backend);
    kill(orch);
    kill(source);
    kill(sink);
  }
}

CAF_TEST(another bad request is no reason to step down) {
  spawn_with("auto");
  model->replies = {broken(ec::bad_request, "400, \"messages.0: too short\"")};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].code == ec::bad_request);
}

CAF_TEST(a conversation that is too long is shortened and sent again) {
  spawn_with("tools");
  auto overflow = broken(ec::context_overflow, "400, too long");
  model->replies = {overflow, overflow, calls({{"c1", "vote", R"({"agent_id":"agent1","reason":"a"})"}})};
  auto t = task(true);
  t.answers[0].text = std::string(20'000, 'x');
  run(t);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::vote);
  CAF_REQUIRE_EQUAL(model->asked.size(), 3u);
  auto size = [&](std::size_t i) { return model->asked[i].messages.back().text.size(); };
  CAF_CHECK(size(1) < size(0) * 2 / 3);
  CAF_CHECK(size(2) < size(1) * 2 / 3);
  // What was learned holds for the next run.
  model->replies = {calls({{"c2", "vote", R"({"agent_id":"agent1","reason":"a"})"}})};
  t.run = 8;
  run(t);
  CAF_CHECK(size(3) <= size(2));
}

CAF_TEST(tool results that are too long are cut and their calls keep them) {
  tool->result = std::string(50'000, 'r');
  spawn_with("tools");
  model->replies = {calls({{"c1", "mcp__t__look", "{}"}}), broken(ec::context_overflow, "400, too long"),
                    calls({{"c2", "new_answer", R"({"content":"blue"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "blue");
  CAF_CHECK(model->asked[2].messages.back().text.size() < 26'000);
  check_call_ids();
}

CAF_TEST(a question that is too long for the model ends the run) {
  spawn_with("tools");
  model->replies = {broken(ec::context_overflow, "400, too long")};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].code == ec::bad_request); // fatal: two more runs would meet the same
  CAF_CHECK(boss->verdicts[0].reason.find("shorten it") != std::string::npos);
  CAF_CHECK(boss->verdicts[0].reason.find("too long") != std::string::npos);
}

CAF_TEST(a reply that the server could not read is asked for again and counts as an attempt) {
  auto unread = broken(ec::bad_reply, "400, \"Failed to call a function.\"");
  unread.model_fault = true;
  spawn_with("tools");
  model->replies = {unread, unread, calls({{"c1", "new_answer", R"({"content":"blue"})"}})};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "blue");
  model->replies = {unread, unread, unread};
  auto t = task(false);
  t.run = 8;
  run(t);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 2u);
  CAF_CHECK(boss->verdicts[1].kind == verdict_kind::failed && boss->verdicts[1].code == ec::bad_reply);
  CAF_CHECK(boss->verdicts[1].reason.find("Failed to call a function") != std::string::npos);
}

CAF_TEST(a decision has room for a model that thinks and the bound of the user holds) {
  for (auto [bound, sent] : {std::pair{0, 4096}, std::pair{100'000, 4096}, std::pair{512, 512}, std::pair{8, 64}}) {
    max_tokens = bound;
    spawn_with("schema");
    model->asked.clear();
    boss->verdicts.clear();
    model->replies = {text(R"({"action":"vote","agent_id":"agent1"})")};
    run(task(true));
    CAF_REQUIRE_EQUAL(model->asked.size(), 1u);
    CAF_CHECK_EQUAL(model->asked[0].max_output_tokens, sent);
    end_all();
  }
}

CAF_TEST(a decision that does not fit beside its prompt is asked for in few tokens) {
  spawn_with("schema");
  model->replies = {broken(ec::context_overflow, "400, too long"), text(R"({"action":"vote","agent_id":"agent1"})")};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::vote);
  CAF_CHECK_EQUAL(model->asked[1].max_output_tokens, 64);
}

CAF_TEST(a decision that was spent on thought says so) {
  spawn_with("schema");
  auto thought = text("");
  thought.status = completion_status::truncated;
  thought.reasoning = "hm";
  model->replies = {thought, thought, thought};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].reason.find("on thought") != std::string::npos);
}

CAF_TEST(a tool call past the limit is not carried out) {
  spawn_with("tools", 1);
  model->replies = {calls({{"c1", "mcp__t__look", "{}"}}), calls({{"c2", "mcp__t__look", R"({"at":"sea"})"}})};
  run(task(false));
  CAF_CHECK_EQUAL(tool->called.size(), 1u);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::failed);
}

CAF_TEST(the same call a third time in a row is not carried out) {
  spawn_with("tools");
  for (auto* id : {"c1", "c2", "c3"})
    model->replies.push_back(calls({{id, "mcp__t__look", "{}"}}));
  model->replies.push_back(calls({{"c4", "new_answer", R"({"content":"blue"})"}}));
  run(task(false));
  CAF_CHECK_EQUAL(tool->called.size(), 2u);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "blue");
  check_call_ids();
}

CAF_TEST(a table at the start of an answer stays a table) {
  spawn_with("text");
  std::string table = "| City | Pop |\n|------|-----|\n| Rome | 3 |";
  model->replies = {text(table)};
  run(task(true));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, table);
}

CAF_TEST(a cancelled run reports its partial text) {
  spawn_with("tools");
  model->hang = true;
  run(task(false));
  CAF_CHECK_EQUAL(model->hanging.size(), 1u);
  caf::anon_send(aut, cancel_run{{"t", 1, 7}, "writer", "deadline"});
  settle();
  CAF_CHECK_EQUAL(model->cancels, 1);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].code == ec::cancelled);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "half a thou");
}

CAF_TEST(the end of the agent cancels its call) {
  spawn_with("tools");
  model->hang = true;
  run(task(false));
  kill(aut);
  CAF_CHECK_EQUAL(model->cancels, 1);
}

CAF_TEST(a broken call fails the run with its code and text) {
  spawn_with("tools");
  completion c;
  c.status = completion_status::broken;
  c.code = ec::unauthorized;
  c.error = "POST /v1/messages: 401";
  model->replies = {c};
  run(task(false));
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].code == ec::unauthorized);
  CAF_CHECK_EQUAL(boss->verdicts[0].reason, "POST /v1/messages: 401");
}

CAF_TEST(the presenter gets no workflow tools and its text is handed in) {
  spawn_with("tools");
  model->replies = {text("  It is 42.\n")};
  auto t = task(true);
  t.kind = run_kind::present;
  t.may_vote = t.may_answer = false;
  t.own_id = "agent1";
  run(t);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::presented);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "It is 42.");
  for (auto& tool_spec : model->asked[0].tools)
    CAF_CHECK(tool_spec.name == "mcp__t__look" || tool_spec.name == "read_result");
}

CAF_TEST(a paused turn goes on with what was said and counts as one text) {
  spawn_with("tools");
  model->replies = {paused("It "), paused("is "), text("42.")};
  auto t = task(true);
  t.kind = run_kind::present;
  t.may_vote = t.may_answer = false;
  t.own_id = "agent1";
  run(t);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "It is 42.");
  CAF_REQUIRE_EQUAL(model->asked.size(), 3u);
  CAF_CHECK_EQUAL(model->asked[2].messages.size(), model->asked[0].messages.size() + 2);
  auto& back = model->asked[1].messages.back();
  CAF_CHECK(back.from == role::assistant && back.text.empty());
  CAF_CHECK_EQUAL(back.opaque, R"([{"type":"server_tool_use"}])");
  CAF_CHECK_EQUAL(back.opaque_dialect, "anthropic");
  CAF_CHECK_EQUAL(boss->notices[1].status, "paused");
}

CAF_TEST(a turn that pauses for ever fails after eight continuations) {
  spawn_with("tools");
  for (int i = 0; i < 20; ++i)
    model->replies.push_back(paused("x"));
  run(task(false));
  CAF_CHECK_EQUAL(model->asked.size(), 9u);
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].kind == verdict_kind::failed && boss->verdicts[0].code == ec::bad_reply);
  CAF_CHECK_EQUAL(boss->verdicts[0].text, "xxxxxxxxx");
}

CAF_TEST_FIXTURE_SCOPE_END()
