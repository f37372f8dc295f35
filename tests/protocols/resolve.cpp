// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.resolve

#include "protocols/wire/resolve.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;
using namespace conclave::wire;

namespace {

const std::vector<std::string> offered{"new_answer", "vote", "mcp__s__get_x", "a.b"};
const std::vector<std::string> shown{"agent1", "agent2", "agent12"};

} // namespace

CAF_TEST(a decorated name leads to the tool that is meant) {
  for (auto* name : {"new_answer",
                     "new_answer<|channel|>commentary",
                     "functions.new_answer:0",
                     "new_answer:12",
                     "default_api.new_answer",
                     "functions.new_answer",
                     "tools/new_answer",
                     "functions::new_answer",
                     "`new_answer`",
                     " new_answer ",
                     "new_answer()",
                     "<|channel|>commentary to=functions.new_answer<|message|>",
                     "New_Answer",
                     "new-answer",
                     "newAnswer",
                     "functions.new_answer<|channel|>json:0",
                     "default_api:new_answer",
                     "functions_new_answer",
                     "new_answer commentary json",
                     "<tool_call>new_answer",
                     "<tool_call>\n<function=new_answer>",
                     "new_answer</tool_call>",
                     "tool_call.new_answer",
                     "call:new_answer"})
    CAF_CHECK_EQUAL(resolve_tool(name, offered), "new_answer");
  CAF_CHECK_EQUAL(resolve_tool("functions.mcp__s__get_x:3", offered), "mcp__s__get_x");
  CAF_CHECK_EQUAL(resolve_tool("a.b", offered), "a.b");
}

CAF_TEST(a name that leads to none or to several stays as it is) {
  for (auto* name : {"", "answer", "forum.vote", "vote_now", "devote", "functions.", "vote code review", "my_vote", "<|channel|>",
                     "functions.search:0", "vote vote"})
    CAF_CHECK_EQUAL(resolve_tool(name, offered), name);
  CAF_CHECK_EQUAL(resolve_tool("GET", {"get", "Get"}), "GET");
  CAF_CHECK_EQUAL(resolve_tool("functions.f", {"f", "functions.f"}), "functions.f");
}

CAF_TEST(an agent written in another way is the shown one) {
  for (auto* id : {"agent1", "Agent 1", "agent_1", "AGENT1", "agent-1", "Agent #1", "<agent1>", "\"agent1\".", "agent1.2",
                   "Agent 1.3", "**agent1**", "@agent1"})
    CAF_CHECK_EQUAL(resolve_agent(id, shown), "agent1");
  CAF_CHECK_EQUAL(resolve_agent("Agent 12", shown), "agent12");
}

CAF_TEST(an agent that is not clear stays as it is) {
  for (auto* id :
       {"", "1", "agent", "agent9", "agent 1 2", "agent 1 and agent 2", "agent1 agent2", "ada", "agent 1,2", "not agent1"})
    CAF_CHECK_EQUAL(resolve_agent(id, shown), id);
  CAF_CHECK_EQUAL(resolve_agent("AGENT1", {"agent1", "Agent1"}), "AGENT1");
}

CAF_TEST(a name that was resolved goes back resolved) {
  completion c;
  c.calls = {{"x", "functions.vote:0", "{}"}, {"y", "other", "{}"}};
  c.opaque =
      R"({"tool_calls":[{"extra":1,"function":{"name":"functions.vote:0"},"id":"x"},{"function":{"name":"other"},"id":"y"}]})";
  resolve_calls(c, offered);
  CAF_CHECK_EQUAL(c.calls[0].name + " " + c.calls[1].name, "vote other");
  CAF_CHECK_EQUAL(c.opaque,
                  R"({"tool_calls":[{"extra":1,"function":{"name":"vote"},"id":"x"},{"function":{"name":"other"},"id":"y"}]})");
  c.calls = {{"x", "vote<|channel|>json", "{}"}};
  c.opaque = R"([{"signature":"s","type":"thinking"},{"id":"x","name":"vote<|channel|>json","type":"tool_use"}])";
  resolve_calls(c, offered);
  CAF_CHECK_EQUAL(c.opaque, R"([{"signature":"s","type":"thinking"},{"id":"x","name":"vote","type":"tool_use"}])");
  c.calls = {{"x", "vote<|channel|>json", "{}"}};
  c.opaque = R"([{"type":"reasoning"},{"call_id":"x","id":"y","name":"vote<|channel|>json","type":"function_call"}])";
  resolve_calls(c, offered);
  CAF_CHECK_EQUAL(c.opaque, R"([{"type":"reasoning"},{"call_id":"x","id":"y","name":"vote","type":"function_call"}])");
  auto bytes = c.opaque = R"([ {"type": "tool_use", "id": "x", "name": "vote"} ])";
  c.calls = {{"x", "vote", "{}"}};
  resolve_calls(c, offered);
  CAF_CHECK_EQUAL(c.opaque, bytes); // byte for byte where nothing is to be mended
}
