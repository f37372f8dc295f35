// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.arguments

#include "protocols/wire/arguments.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave::wire;

namespace {

std::string read(const std::string& text, reading how) {
  auto v = read_arguments(text, how);
  return v ? dump(*v) : "nothing";
}

} // namespace

CAF_TEST(arguments that are not quite JSON are read where nothing is lost) {
  for (std::string text : {R"({"a":"x\ny"})", "{\"a\":\"x\ny\"}", "```json\n{\"a\":\"x\\ny\"}\n```", "```\n{\"a\":\"x\\ny\"}```",
                           R"({}{"a":"x\ny"})", R"({"a":"x\ny"}{"a":"x\ny"})", R"({"a":"x\ny"} {})", R"("{\"a\":\"x\\ny\"}")",
                           R"({\"a\":\"x\\ny\"})", "\xEF\xBB\xBF {\"a\":\"x\\ny\"}\r\n", R"("\"{\\\"a\\\":\\\"x\\\\ny\\\"}\"")"})
    CAF_CHECK_EQUAL(read(text, reading::lossless), R"({"a":"x\ny"})");
  CAF_CHECK_EQUAL(read("{\"a\":\"x\ty\x01\"}", reading::lossless), R"({"a":"x\ty\u0001"})");
  CAF_CHECK_EQUAL(read(R"({"a":"ok \ud83d tail"})", reading::lossless), "{\"a\":\"ok \xEF\xBF\xBD tail\"}");
  CAF_CHECK_EQUAL(read(R"({"a":"\ud83d\ude00"})", reading::lossless), "{\"a\":\"\xF0\x9F\x98\x80\"}");
  CAF_CHECK_EQUAL(read(" \n", reading::lossless), "{}");
  CAF_CHECK_EQUAL(read("{}{}", reading::lossless), "{}");
}

CAF_TEST(what would have to be guessed is left alone for tools of others) {
  for (std::string text : {"{\"a\":1,}", "{'a':1}", "{a:1}", "{\"a\":1", "{\"a\":\"x", "{\"a\":\"b \"c\" d\"}", "Sure: {\"a\":1}",
                           "[1]", "null", "4", "\"text\"", "{\"a\":1}{\"a\":2}", R"({"a":1,"a":2})", "{\"a\":\"\\x\"}"}) {
    CAF_CHECK_EQUAL(read(text, reading::lossless), "nothing");
    CAF_CHECK_EQUAL(settled_arguments(text), text);
  }
}

CAF_TEST(a verdict is read as well as can be) {
  struct {
    std::string text, expected;
  } table[] = {
      {R"({"content":"He said "hi", loud."})", R"({"content":"He said \"hi\", loud."})"},
      {"{'content': 'it\\'s \"so\"', 'n': True, 'm': None}", R"({"content":"it's \"so\"","m":null,"n":true})"},
      {R"({content: "x",})", R"({"content":"x"})"},
      {R"({"content":"a \(b\) \x"})", R"({"content":"a \\(b\\) \\x"})"},
      {R"({"content":"x")", R"({"content":"x"})"},
      {R"(I vote: {"agent_id":"agent1"} now)", R"({"agent_id":"agent1"})"},
      {R"({"content":"{\"a\": 1}"})", R"({"content":"{\"a\": 1}"})"},
      {"{\"content\":\"f(\"x\")\"}", "{\"content\":\"f(\\\"x\\\")\"}"},
      {"{\"content\":\"a\xFF\"}", "{\"content\":\"a\xEF\xBF\xBD\"}"},
  };
  for (auto& t : table) {
    CAF_MESSAGE(t.text);
    CAF_CHECK_EQUAL(read(t.text, reading::best), t.expected);
  }
}

CAF_TEST(a verdict that is cut or contradicts itself is not guessed) {
  for (std::string text : {R"({"content":"half an ans)", "{", "{{{", R"({"agent_id":"agent1"}{"agent_id":"agent2"})", "", "words"})
    CAF_CHECK_EQUAL(read(text, reading::best), text.empty() ? "{}" : "nothing");
  CAF_CHECK_EQUAL(read(std::string(100'000, '{'), reading::best), "nothing");
}

CAF_TEST(arguments full of quotes and braces cost little) {
  for (auto* piece : {"\"", "{", "}", "\" ", "'", "\",", "{}", "\\", "{\"a\":1}", "\"}", "a:"}) {
    std::string text = "{\"a\":";
    while (text.size() < 50'000)
      text += piece;
    read(text, reading::best);
    read(piece + text, reading::best);
  }
  CAF_CHECK(true);
}
