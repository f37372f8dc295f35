// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.load_config_explain

#include "app/load_config.hpp"
#include "caf/test/unit_test.hpp"
#include "tests/app/load_config_support.hpp"

#include <random>

using namespace conclave;

namespace {

/// Returns whether the file is refused in this line and column, with this remedy.
bool told(const std::string& text, int line, int column, const std::string& part) {
  auto r = load(text);
  auto begin = "t.yaml:" + std::to_string(line) + ": cannot be read: column " + std::to_string(column) + ": ";
  bool good = !r.ok() && r.problems.size() == 1 && all(r).starts_with(begin) && says(r, part);
  if (!good)
    CAF_MESSAGE("wanted " << begin << part << "\n" << all(r));
  return good;
}

} // namespace

CAF_TEST(the slips of a file are told where they are and what to do) {
  CAF_CHECK(told("agents:\n  - id: a\n    backend: {type: claude, api_key: ${X}}\n", 3, 38, "a reference needs quotes: \"${X}\""));
  CAF_CHECK(told("a: [${HOME_DIR:-x}, b]\n", 1, 5, "\"${HOME_DIR:-x}\""));
  CAF_CHECK(told("a: \"C:\\Users\"\n", 1, 7, "write '...' instead"));
  CAF_CHECK(told("a: \"\\d+\"\n", 1, 5, "write '...' instead"));
  CAF_CHECK(told("a:\n  model: @cf/meta/llama\n", 2, 10, "put the text in quotes"));
  CAF_CHECK(told("a: `x`\n", 1, 4, "put the text in quotes"));
  CAF_CHECK(told("a: %x\n", 1, 4, "put the text in quotes"));
  CAF_CHECK(told("a: **bold** text\n", 1, 4, "put the text in quotes"));
  CAF_CHECK(told("system_message: You are: x\n", 1, 24, "put the whole text in quotes"));
  CAF_CHECK(told("a:\n  b: hi: there\n  c: 1\n", 2, 8, "put the whole text in quotes"));
  CAF_CHECK(told("a: {system_message: You are: x}\n", 1, 28, "put the whole text in quotes"));
  CAF_CHECK(told("agents:\n  - id: a\n    backend:\n      type: x\n     model: y\n", 5, 6, "indented by 5 blanks"));
  CAF_CHECK(told("agents:\n- id: a\n  backend:\n    type: x\n      model: y\n", 5, 7, "indented deeper than the line above"));
  CAF_CHECK(told("a: 1\n  b: 2\n", 2, 3, "indented deeper"));
  CAF_CHECK(told("agents:\n  - id: a\n   backend: x\n", 3, 4, "indented by 3 blanks"));
  CAF_CHECK(told("a:\n\tb: 1\n", 2, 1, "indent with blanks"));
  CAF_CHECK(told("a: \"hello\nb: 1\n", 1, 4, "the quote (\") that opens here is not closed"));
  CAF_CHECK(told("a: 'hello\nb: 'x'\n", 1, 4, "is not closed"));
  CAF_CHECK(told("a: 'hello\nb: 1\n", 1, 4, "is not closed"));
  CAF_CHECK(told("a: 'don't do it'\n", 1, 9, "written twice"));
  CAF_CHECK(told("a: \"hi\" there\n", 1, 9, "put the whole text in quotes"));
  CAF_CHECK(told("a: [1, 2\nb: 3\n", 1, 4, "the bracket '[' that opens here is not closed"));
  CAF_CHECK(told("a:\n  - {b: 1\nc: 3\n", 2, 5, "the bracket '{'"));
  CAF_CHECK(told("a: [1, 2\n", 1, 4, "is not closed"));
  CAF_CHECK(told("a: {b: [1, 2}\n", 1, 13, "']' has to close"));
  CAF_CHECK(told("a: {b: 1}}\n", 1, 10, "closes nothing"));
  CAF_CHECK(told("agents:\n  - id:a\n    backend: {type: x}\n", 2, 7, "a blank is missing behind ':'"));
  CAF_CHECK(told("a: {{ x }}\n", 1, 5, "put a text in quotes"));
  CAF_CHECK(told("{ /* c */ \"a\": 1\n", 1, 3, "comments begin with '#'"));
  CAF_CHECK(told("a:\n  b:1\n  c: 2\n", 2, 4, "a blank is missing behind ':'"));
  CAF_CHECK(told("a: 1\nb\nc: 2\n", 2, 1, "no 'key: value'"));
  CAF_CHECK(told("agents:\n  -id: a\n   backend: x\n", 2, 4, "a blank is missing behind '-'"));
  CAF_CHECK(told("a:\n  c: 1\n  - b\n", 3, 3, "a list item ('- ') among keys"));
  CAF_CHECK(told("a:\n  - b\n  c: 1\n", 3, 3, "a key among list items"));
  CAF_CHECK(told("a: |\nhello\nb: 1\n", 2, 1, "indent it deeper than its key"));
  CAF_CHECK(told("a: |x\n  hi\n", 1, 5, "begins in the next line"));
  CAF_CHECK(told("```yaml\na: 1\n```\n", 1, 1, "a fence of Markdown"));
  CAF_CHECK(told("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n", 1, 1, "a merge"));
  CAF_CHECK(told("a: \u201chi\u201d: x\n", 1, 8, "typographic"));
  CAF_CHECK(told("{\n// hi\n\"a\": 1}\n", 2, 1, "comments begin with '#'"));
  CAF_CHECK(told("{\"a\": 1\n \"b\": 2}\n", 2, 2, "a comma is missing"));
  CAF_CHECK(told("a: *none\n", 1, 4, "no such name"));
  CAF_CHECK(told("a:\n  - id: x\n    text: >\n  Be brief.\n", 4, 3, "indent it deeper than its key"));
  CAF_CHECK(told("a: (type: local)\n", 1, 9, "{...}"));
  CAF_CHECK(told("[agents]\nid = \"a\"\n", 2, 4, "not 'key = value'"));
  CAF_CHECK(told("a: {type: ollama model: m}\n", 1, 23, "a comma is missing"));
  CAF_CHECK(told("a:\n  backend: type: ollama\n", 2, 16, "keys of a map begin in the line below"));
  CAF_CHECK(told("a:\n- b:\n    c: 1\n   d: 2\n", 4, 4, "(0, 2, 4 would)"));
  CAF_CHECK(told("a: {u: http://x/y?a=b, k: v}\n", 1, 18, "put the whole text in quotes"));
  CAF_CHECK(told("a: 1\n---\nb: 2\n", 2, 1, "a second document"));
  CAF_CHECK(told("a: 1\nagents: - id: x\n", 2, 9, "a list begins on a line of its own"));
}

CAF_TEST(a file that parses into something else is told what is missing) {
  CAF_CHECK(says(load("agent:\n  backend:\n    type:local\n"), "a blank is missing behind 'type:'"));
  CAF_CHECK(says(load("agents:\n  id: a\n"), "begin each item with '- '"));
  CAF_CHECK(says(load("{/* x */ \"agents\": []}"), "comments begin with '#'"));
  CAF_CHECK(says(load("agent: {backend: {type:local}}\n"), "a blank is missing behind 'type:'"));
  CAF_CHECK(says(load("agents:\n\u00a0\u00a0- id: a\n"), "a no-break space"));
  CAF_CHECK(says(load("agent:\n  backend:\n\u00a0\u00a0\u00a0 type: local\n"), "a no-break space"));
  CAF_CHECK(says(load("agent: {backend: {type: \u201clocal\u201d}}\n"), "typographic"));
  CAF_CHECK(says(load("agent: {backend: {type: local}, system_message: Hi\"}\n"), "opens nowhere"));
  CAF_CHECK(says(load_config("@examples/basic/multi/three_agents_default"), "configs/"));
  CAF_CHECK(says(load(std::string{"\xFF\xFE"
                                  "a\0:\0 \0b\0",
                                  10}),
                 "iconv -f UTF-16"));
  CAF_CHECK(says(load("a: caf\xE9\n"), "not UTF-8"));
  CAF_CHECK(says(load("agents:\n  - id: a\n    system_message: >\n    You are nice: very\n"), "is indented deeper than its key"));
  CAF_CHECK(says(load("%PDF-1.4\n"), "pdftotext"));
}

CAF_TEST(line ends and marks of other systems are read) {
  const std::string unix_text = "agents:\n  - id: a\n    backend: {type: local}\n";
  auto with_ends = [&](const std::string& end) {
    std::string out;
    for (auto c : unix_text)
      out += c == '\n' ? end : std::string(1, c);
    return out;
  };
  for (const auto& text :
       {unix_text, with_ends("\r\n"), with_ends("\r"), "\xEF\xBB\xBF" + unix_text, "\xEF\xBB\xBF" + with_ends("\r\n")}) {
    auto r = load(text);
    CAF_CHECK_EQUAL(all(r), "");
    CAF_CHECK_EQUAL(r.config.agents.size(), 1u);
  }
  CAF_CHECK(told("a: 1\r\n  b: 2\r\n", 2, 3, "indented deeper"));
}

CAF_TEST(what is legal stays legal) {
  for (const auto* text : {"x-a: \"one\n  two\"\n", "x-a: 'it''s'\n", "x-a: \"\"\n", "x-a: |+\n  a: b\n\n", "x-a: >-\n  {\n",
                           "x-a: it's [a] {b}\n", "x-a: a # \"\n", "x-a: \"# end of the file\"\n", "x-a: ${X} y\n"}) {
    auto r = load(std::string{text} + "agent: {backend: {type: local}}\n");
    CAF_CHECK(!says(r, "cannot be read"));
  }
  auto one = load("agent: {backend: {type: local}, system_message: \"x\"}");
  CAF_CHECK_EQUAL(one.config.agents.at(0).system_message, "x");
  auto two = load("agent:\n  backend: {type: local}\n  system_message: |\n    x\n    y");
  CAF_CHECK_EQUAL(two.config.agents.at(0).system_message, "x\ny\n");
}

CAF_TEST(the line is shown with a mark and without keys and controls) {
  auto r = load("a: 1\nb: {api_key: sk-abcdefgh12345678, k: ${X}}\n");
  CAF_CHECK(says(r, "\n    b: {api_key: *******************, k: ${X}}\n                                         ^"));
  CAF_CHECK(!says(r, "abcdefgh"));
  for (const auto* line :
       {"b: {\"Authorization\": \"Bearer abcd1234efgh\", k: ${X}}", "b: [sk-proj-abcd1234efgh, ${X}]",
        "b: {u: \"https://me:abcd1234efgh@h/\", k: ${X}}", "b: {u: \"https://h/?key=abcd1234efgh&x=1\", k: ${X}}",
        "b: {password: \"x abcd1234efgh\", k: ${X}}", "b: {api_key: \"${X:-abcd1234efgh}\", k: ${X}}"}) {
    auto shown = load(line);
    CAF_CHECK(says(shown, "a reference needs quotes"));
    CAF_CHECK(!says(shown, "abcd1234efgh"));
  }
  auto wide = load("\u00e4\u00f6: {k: ${X}}\n");
  CAF_CHECK(says(wide, "column 9: "));
  CAF_CHECK(says(wide, "\n    \u00e4\u00f6: {k: ${X}}\n            ^"));
  auto text = all(load("a: \u202e\u2066{ x: @y }: ${Z}\n"));
  CAF_CHECK(text.find("\u202e") == std::string::npos);
  std::string far = "{";
  for (int i = 0; i < 3'000; ++i)
    far += "\"k" + std::to_string(i) + "\": 1, ";
  auto cut = all(load(far + "\"x\": ${X}}"));
  CAF_CHECK(cut.size() < 500);
  CAF_CHECK(cut.find("\n    ...") != std::string::npos);
}

CAF_TEST(a hostile text is explained in linear time) {
  for (const auto& piece :
       {std::string{"'\n"}, std::string{"\"\n'\n"}, std::string{"- "}, std::string{"[{"}, std::string{"a:\n "}, std::string{"\\"},
        std::string{"a: 'b\n"}, std::string{" \t"}, std::string{"|\n"}, std::string{"*a &b !c "}}) {
    std::string text;
    while (text.size() < 200'000)
      text += piece;
    load(text + "\n: @ ]}");
    load("a: \"" + text);
    load("a: [" + text);
  }
  std::minstd_rand random{7};
  const std::string alphabet = "[]{}:,-\"'#|>&*!@%$? \n\n\t aB1\\";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto n = random() % 30; n > 0; --n)
      text += alphabet[random() % alphabet.size()];
    load(text);
  }
  CAF_CHECK(!load("a: [:,}").ok());
  std::string stairs;
  for (std::size_t depth = 0; depth < 1000; ++depth)
    stairs += std::string(depth, ' ') + "a:\n";
  CAF_CHECK(!load(stairs + "b: @").ok());
}
