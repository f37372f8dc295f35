// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.thinking

#include "protocols/wire/thinking.hpp"

#include "caf/test/unit_test.hpp"

#include <string>

using namespace conclave::wire;

namespace {

/// "reasoning|text", the same in pieces of every size.
std::string told_apart(const std::string& text) {
  auto read = [&](std::size_t size) {
    thinking_filter f;
    thinking_filter::parts p;
    for (std::size_t at = 0; at < text.size(); at += size)
      f.feed(std::string_view{text}.substr(at, size), p);
    f.finish(p);
    return p.reasoning + "|" + p.text;
  };
  auto whole = read(text.size() + 1);
  for (std::size_t size = 1; size < text.size(); ++size)
    if (auto got = read(size); got != whole)
      return "in pieces of " + std::to_string(size) + ": " + got;
  return whole;
}

std::string lone(std::string text) {
  std::string reasoning;
  move_untagged(text, reasoning);
  return reasoning + "|" + text;
}

} // namespace

CAF_TEST(a leading block is reasoning in the tags of any model) {
  for (std::string text :
       {"<think>why</think>\n\nIt is 42.", " \n<Thinking>why</THINKING>It is 42.", "<thought>why</thought>\nIt is 42.",
        "<reasoning>why</reasoning>It is 42.", "[THINK]why[/THINK]It is 42.", "<seed:think>why</seed:think>It is 42.",
        "\xE2\x97\x81think\xE2\x96\xB7why\xE2\x97\x81/think\xE2\x96\xB7It is 42.", "<think>w</think>\n<think>hy</think>It is 42.",
        "<|START_THINKING|>why<|END_THINKING|>It is 42.", "<think type=\"x\">why</think>\nIt is 42.",
        "<think\n>why</think >It is 42.", "\xEF\xBB\xBF<think>why</think>It is 42.",
        "\xE2\x80\x8B\n<think>why</think>\xC2\xA0\nIt is 42.",
        "<|channel|>analysis<|message|>why<|end|><|start|>assistant<|channel|>final<|message|>It is 42."})
    CAF_CHECK_EQUAL(told_apart(text), "why|It is 42.");
  CAF_CHECK_EQUAL(told_apart("<think></think>It is 42."), "|It is 42.");
  CAF_CHECK_EQUAL(told_apart("<think>a </thin b</think>c"), "a </thin b|c");
  CAF_CHECK_EQUAL(told_apart("<think>a </think b <c</think>d"), "a </think b <c|d");
}

CAF_TEST(a block that is never closed is reasoning to its end) {
  CAF_CHECK_EQUAL(told_apart("<think>Let me see"), "Let me see|");
  CAF_CHECK_EQUAL(told_apart("<think>Let me see </thi"), "Let me see </thi|");
  CAF_CHECK_EQUAL(told_apart("<think>"), "|");
}

CAF_TEST(other text is left as it is) {
  for (std::string text : {"It is 42.", "", "  ", " \n It is 42. ", "<thi", "<thinker>x</thinker>", "<think of it",
                           "<think of a<b>", "<think />It is 42.", "\xEF\xBB\xBFIt is 42.", "\xC2\xA0", "<b>bold</b>", "[THIN",
                           "The tag <think>x</think> is shown.", "`<think>`", "```\n<think>\n```"})
    CAF_CHECK_EQUAL(told_apart(text), "|" + text);
}

CAF_TEST(what stands before a lone closing tag is reasoning) {
  CAF_CHECK_EQUAL(lone("Let me see.\n</think>\n\nIt is 42."), "Let me see.\n|It is 42.");
  CAF_CHECK_EQUAL(lone("Let me see.\r\n  </THINK> \r\nIt is 42."), "Let me see.\r\n|It is 42.");
  CAF_CHECK_EQUAL(lone("a\n```\ncode\n```\n</think>\nb"), "a\n```\ncode\n```\n|b");
  CAF_CHECK_EQUAL(lone("\n</think>\n\nIt is 42."), "\n|It is 42.");
}

CAF_TEST(a closing tag in a line or twice or in a fence or after its opening is text) {
  for (std::string text : {"Close it with </think> then.", "a\n</think>\nb\n</think>\nc", "a\n```\n</think>\n```\nb",
                           "see <think>\nx\n</think>\ny", "a </think>\nb", "~~~\n</think>\n~~~\n"})
    CAF_CHECK_EQUAL(lone(text), "|" + text);
}

CAF_TEST(many tags and blanks cost little) {
  std::string tags, lines;
  for (int i = 0; i < 300'000; ++i)
    tags += "<think>x</think>";
  for (int i = 0; i < 300'000; ++i)
    lines += "</think>\n";
  CAF_CHECK_EQUAL(without_thinking(tags), "");
  CAF_CHECK_EQUAL(without_thinking(lines).size(), lines.size());
  CAF_CHECK_EQUAL(without_thinking(std::string(1u << 22, ' ')).size(), 1u << 22);
}
