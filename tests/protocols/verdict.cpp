// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// How the shape of a reply is judged (docs/protocol.md 3.2), and the two lower steps of the ladder (7.1).

#define CAF_SUITE protocols.verdict

#include "protocols/wire/verdict.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/json_util.hpp"

using namespace conclave;
using namespace conclave::wire;

namespace {

const choice first{true, {}};
const choice both{true, {"agent1", "agent3"}};
const choice vote_only{false, {"agent2"}};

completion reply(std::vector<tool_call> calls, std::string text = "") {
  completion c;
  c.calls = std::move(calls);
  c.text = std::move(text);
  return c;
}

const tool_call good_vote{"v", "vote", R"({"agent_id":"agent3","reason":"clear"})"};
const tool_call good_answer{"a", "new_answer", R"({"content":"4"})"};

judgement judged(const completion& c, const choice& may = both) {
  return judge(c, may, {"mcp__s__t"});
}

/// Ids of the error results in order; each call id once.
std::string ids(const std::vector<tool_result>& results) {
  std::string out;
  for (auto& r : results) {
    CAF_CHECK(r.is_error && !r.text.empty());
    out += (out.empty() ? "" : " ") + r.id;
  }
  return out;
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string decided_as(const decided& d) {
  return d.kind == decision_kind::vote ? d.target : d.kind == decision_kind::answer ? "answer" : "unclear";
}

} // namespace

CAF_TEST(the tools offered follow what may be handed in) {
  auto names = [](const choice& c) {
    std::string out;
    for (auto& t : workflow_tools(c))
      out += t.name + " ";
    return out;
  };
  CAF_CHECK_EQUAL(names(first), "new_answer ");
  CAF_CHECK_EQUAL(names(both), "new_answer vote ");
  CAF_CHECK_EQUAL(names(vote_only), "vote ");
  auto tools = workflow_tools(both);
  auto answer = *parse(tools[0].parameters), vote = *parse(tools[1].parameters);
  CAF_CHECK_EQUAL(dump(answer["required"]), R"(["content"])");
  CAF_CHECK_EQUAL(dump(vote["required"]), R"(["agent_id","reason"])");
  CAF_CHECK_EQUAL(dump(vote["properties"]["agent_id"]["enum"]), R"(["agent1","agent3"])");
  CAF_CHECK(is_workflow_tool("vote") && is_workflow_tool("new_answer") && !is_workflow_tool("mcp__s__vote"));
}

CAF_TEST(a vote and an answer are taken as they are) {
  auto j = judged(reply({good_vote}));
  CAF_CHECK(j.ok && j.handed_in.kind == verdict_kind::vote && j.ignored.empty());
  CAF_CHECK_EQUAL(j.handed_in.target + "/" + j.handed_in.reason + "/" + j.handed_in.step, "agent3/clear/tools");
  j = judged(reply({good_answer}, "some words beside it"));
  CAF_CHECK(j.ok && j.handed_in.kind == verdict_kind::answer && j.handed_in.text == "4");
  CAF_CHECK(judged(reply({{"v", "vote", R"({"agent_id":"agent1"})"}})).ok); // a reason may be missing
}

CAF_TEST(plain text gets one correction and no result) {
  auto j = judged(reply({}, "I think 4."));
  CAF_CHECK(!j.ok && j.results.empty());
  CAF_CHECK(says(j.correction, "new_answer") && says(j.correction, "agent1, agent3"));
  CAF_CHECK(!says(judged(reply({}), first).correction, "vote"));
  CAF_CHECK(!says(judged(reply({}), vote_only).correction, "new_answer"));
}

CAF_TEST(two votes are both answered with an error and none counts) {
  auto j = judged(reply({good_vote, {"w", "vote", R"({"agent_id":"agent1"})"}, {"x", "mcp__s__t", "{}"}}));
  CAF_CHECK(!j.ok && j.correction.empty());
  CAF_CHECK_EQUAL(ids(j.results), "v w"); // the tool of a server was carried out and has its result
  CAF_CHECK(says(j.results[0].text, "2 vote calls") && !says(j.results[1].text, "2 vote calls"));
}

CAF_TEST(a vote and an answer at once are both rejected) {
  CAF_CHECK_EQUAL(ids(judged(reply({good_vote, good_answer})).results), "v a");
}

CAF_TEST(of two answers the first is taken and the second answered) {
  auto j = judged(reply({good_answer, {"b", "new_answer", R"({"content":"5"})"}}));
  CAF_CHECK(j.ok && j.handed_in.text == "4");
  CAF_CHECK_EQUAL(ids(j.ignored), "b");
}

CAF_TEST(an unknown tool beside a valid vote is answered and alone it is a correction) {
  auto j = judged(reply({{"u", "search", "{}"}, good_vote}));
  CAF_CHECK(j.ok && j.handed_in.target == "agent3");
  CAF_CHECK_EQUAL(ids(j.ignored), "u");
  CAF_CHECK(says(j.ignored[0].text, "no tool named 'search'"));
  CAF_CHECK_EQUAL(ids(judged(reply({{"u", "search", "{}"}})).results), "u");
}

CAF_TEST(a vote with nothing to vote for names new_answer) {
  auto j = judged(reply({good_vote}), first);
  CAF_CHECK(!j.ok && says(j.results[0].text, "new_answer"));
}

CAF_TEST(a vote for nobody lists the ids and other ids are left to the ledger) {
  for (auto* arguments : {R"({"agent_id":""})", R"({"agent_id":" "})", R"({"reason":"x"})", R"({"agent_id":7})"}) {
    auto j = judged(reply({{"v", "vote", arguments}}));
    CAF_CHECK(!j.ok && says(j.results[0].text, "agent1, agent3"));
  }
  CAF_CHECK_EQUAL(judged(reply({{"v", "vote", R"({"agent_id":"agent9"})"}})).handed_in.target, "agent9");
}

CAF_TEST(blank answers are refused and a missing content is the text streamed beside it) {
  for (auto* arguments : {R"({"content":""})", R"({"content":" \n\t"})", R"({"content":null})", R"({"content":5})"})
    CAF_CHECK_EQUAL(ids(judged(reply({{"a", "new_answer", arguments}}, "streamed")).results), "a");
  for (auto* arguments : {"", "  ", "{}"}) {
    CAF_CHECK_EQUAL(judged(reply({{"a", "new_answer", arguments}}, "streamed")).handed_in.text, "streamed");
    CAF_CHECK(!judged(reply({{"a", "new_answer", arguments}}, " ")).ok);
  }
}

CAF_TEST(arguments that are no JSON object are told to the model) {
  for (auto* arguments : {"{", "[]", "null", "4", R"({"content":"a","content":"b"})", R"({"content":"a"}{"content":"b"})",
                          "undefined", R"(content="a b")", R"({"content":"cut in the mid)", "[1, 2"}) {
    auto j = judged(reply({{"a", "new_answer", arguments}}, "streamed"));
    CAF_CHECK(!j.ok && says(j.results[0].text, "not a valid JSON object"));
  }
}

CAF_TEST(an answer that is not quite JSON is taken and not asked for again) {
  for (auto* arguments :
       {"{\"content\":\"one\ntwo\"}", R"({}{"content":"one\ntwo"})", R"({"content":"one\ntwo"}{"content":"one\ntwo"})",
        R"("{\"content\":\"one\\ntwo\"}")", "```json\n{\"content\":\"one\\ntwo\"}\n```", R"({"content":"one\ntwo",})",
        R"("one\ntwo")", R"({"name":"new_answer","parameters":{"content":"one\ntwo"}})",
        R"({"arguments":"{\"content\":\"one\\ntwo\"}"})", R"({"new_answer":{"content":"one\ntwo"}})",
        R"({"content":["one\n",{"type":"text","text":"two"}]})", "\none\ntwo", R"({"content":"<think>why</think>\none\ntwo"})",
        R"({"content":"why\n</think>\none\ntwo"})"})
    CAF_CHECK_EQUAL(judged(reply({{"a", "new_answer", arguments}})).handed_in.text, "one\ntwo");
  CAF_CHECK_EQUAL(judged(reply({{"v", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"a\nb\"}"}})).handed_in.reason, "a\nb");
  CAF_CHECK_EQUAL(judged(reply({{"v", "vote", R"("agent1")"}})).handed_in.target, "agent1");
  CAF_CHECK(!judged(reply({{"a", "new_answer", R"({"content":"<think>only thought"})"}})).ok);
}

CAF_TEST(an agent written in another way is voted for in every step) {
  for (auto* id : {"Agent 3", "agent_3", "AGENT3", "agent-3", "agent3.1"}) {
    CAF_CHECK_EQUAL(judged(reply({{"v", "vote", R"({"agent_id":")" + std::string(id) + "\"}"}})).handed_in.target, "agent3");
    CAF_CHECK_EQUAL(decided_as(read_decision(R"({"action":"vote","agent_id":")" + std::string(id) + "\"}", both)), "agent3");
    CAF_CHECK_EQUAL(decided_as(read_text("VOTE: " + std::string(id), both)), "agent3");
  }
  CAF_CHECK_EQUAL(decided_as(read_text("VOTE: Agent 9", both)), "answer");
}

CAF_TEST(an answer cut by the token limit is refused with that reason) {
  auto c = reply({{"a", "new_answer", R"({"content":"unfin)"}});
  c.status = completion_status::truncated;
  CAF_CHECK(says(judged(c).results[0].text, "token limit"));
  c.calls = {good_answer};
  CAF_CHECK(says(judged(c).results[0].text, "token limit"));
  c.calls = {good_vote};
  CAF_CHECK(judged(c).ok);
}

CAF_TEST(an answer beyond the limit asks for a vote) {
  auto j = judged(reply({good_answer}), vote_only);
  CAF_CHECK(!j.ok && says(j.results[0].text, "agent2") && !says(j.results[0].text, "new_answer"));
}

CAF_TEST(the schema of a decision offers what may be done with the action first) {
  CAF_CHECK_EQUAL(dump((*parse(decision_schema(both)))["properties"]["action"]["enum"]), R"(["vote","new_answer"])");
  CAF_CHECK_EQUAL(dump((*parse(decision_schema(vote_only)))["properties"]["action"]["enum"]), R"(["vote"])");
  auto text = decision_schema(both);
  CAF_CHECK(text.find("\"action\"") < text.find("\"agent_id\""));
  CAF_CHECK_EQUAL(dump((*parse(text))["properties"]["agent_id"]["enum"]), R"(["agent1","agent3"])");
}

CAF_TEST(a decision is found in whatever stands around it) {
  struct {
    const char *text, *expected;
  } table[] = {
      {R"({"action":"vote","agent_id":"agent3"})", "agent3"},
      {R"({"action":"new_answer","agent_id":"agent1"})", "answer"},
      {"```json\n{\"action\": \"vote\", \"agent_id\": \"agent1\"}\n```", "agent1"},
      {R"(I use {braces} and "quotes {". {"action":"vote","agent_id":"agent1"} done.)", "agent1"},
      {R"({"action":"new_answer"} no, wait: {"action":"vote","agent_id":"agent3"})", "agent3"},
      {R"({"decision":{"action":"vote","agent_id":"agent3"}})", "agent3"},
      {R"({"note":"a } brace","action":"vote","agent_id":"agent1"})", "agent1"},
      {R"({"action":"vote","agent_id":"agent9"})", "unclear"},
      {R"({"action":"vote"})", "unclear"},
      {R"({"action":"dance","agent_id":"agent1"})", "unclear"},
      {R"({"action":"vote","agent_id":"agent1")", "unclear"},
      {"agent1", "unclear"},
      {"", "unclear"},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.text);
    CAF_CHECK_EQUAL(decided_as(read_decision(t.text, both)), t.expected);
  }
  CAF_CHECK_EQUAL(decided_as(read_decision(R"({"action":"new_answer"})", vote_only)), "unclear");
}

CAF_TEST(a text full of braces costs little and a decision at its end is found) {
  std::string braces(16u << 20, '{');
  CAF_CHECK_EQUAL(decided_as(read_decision(braces, both)), "unclear");
  CAF_CHECK_EQUAL(decided_as(read_decision(std::string(16u << 20, 'x') + R"({"action":"vote","agent_id":"agent1"})", both)),
                  "agent1");
}

CAF_TEST(a vote in plain text is a line of its own) {
  struct {
    const char *text, *expected;
  } table[] = {
      {"VOTE: agent1", "agent1"},
      {"Reasons first.\nVOTE: agent3\n", "agent3"},
      {"VOTE:agent1.\r\n", "agent1"},
      {"**VOTE: agent1**", "agent1"},
      {"**Vote:** agent3", "agent3"},
      {"VOTE: `agent3`", "agent3"},
      {"VOTE: <agent1>", "agent1"},
      {"VOTE: agent1\nVOTE: agent3", "agent3"},
      {"| VOTE: agent1", "answer"}, // quoted from another's answer
      {"My VOTE: agent1", "answer"},
      {"VOTE: agent9", "answer"},
      {"VOTE: agent1 because it is best", "answer"},
      {"VOTE:", "answer"},
      {"The answer is 4.", "answer"},
      {"", "unclear"},
      {" \n\t", "unclear"},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.text);
    CAF_CHECK_EQUAL(decided_as(read_text(t.text, both)), t.expected);
  }
  CAF_CHECK_EQUAL(decided_as(read_text("VOTE: agent1", first)), "answer");
  CAF_CHECK_EQUAL(decided_as(read_text("The answer is 4.", vote_only)), "unclear");
}

CAF_TEST(an answer that speaks of a vote is an answer) {
  struct {
    const char *text, *expected;
  } table[] = {
      {"The step wants a line such as\nVOTE: agent1\nand nothing else.", "answer"},
      {"VOTE: agent1\nBecause it is complete.", "answer"},
      {"Reply so:\n```\nVOTE: agent1\n```", "answer"},
      {"Reply so:\n```text\nVOTE: agent1", "answer"}, // the fence never ends
      {"Reply so:\n~~~~\n~~~\nVOTE: agent1\n~~~~\n", "answer"},
      {"Reply so:\n\n    VOTE: agent1\n", "answer"},
      {"Reply so:\n\tVOTE: agent1", "answer"},
      {"Reply so:\n> VOTE: agent1", "answer"},
      {"Reply so:\n| VOTE: agent1", "answer"},
      {"It said: \"Fine.\nVOTE: agent1\"", "answer"},
      {"It said: \"Fine.\nVOTE: agent1.\"", "answer"},
      {"It said: `Fine.\nVOTE: agent1`", "answer"},
      {"It said: ``Fine.\nVOTE: agent1``.", "answer"},
      {"Reasons.\n`VOTE: agent3`", "agent3"},
      {"Reply so:\n- VOTE: agent1", "answer"},
      {"Both are wrong, I vote for agent1.", "answer"},
      {"I vote for agent1.", "answer"},
      {"See the code:\n```\nx\n```\nVOTE: agent3", "agent3"},
      {"Use `a`.\n```a``` is inline.\n\n**VOTE:** agent3\n\n", "agent3"},
      {"```\nVOTE: agent1\n```", "agent1"}, // the whole reply, dressed up
      {"    VOTE: agent1", "agent1"},
      {"`VOTE: agent1`", "agent1"},
      {"__VOTE: 'agent1'__", "agent1"},
      {"Reasons.\r\n\r\nVOTE: Agent 3\r\n", "agent3"},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.text);
    CAF_CHECK_EQUAL(decided_as(read_text(t.text, both)), t.expected);
  }
}
