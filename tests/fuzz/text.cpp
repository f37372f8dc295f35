// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Model text on its way to a terminal and into another agent's prompt: no control gets out, no structure is forged.

#include "protocols/text.hpp"

#include "fuzz/fuzz.hpp"
#include "protocols/prompts.hpp"
#include "protocols/wire/json_util.hpp"

#include <algorithm>

using namespace conclave;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void check_terminal(const std::string& text) {
  auto shown = for_terminal(text);
  FUZZ_REQUIRE(for_terminal(shown) == shown);
  FUZZ_REQUIRE(wire::parse(wire::quote(shown))->get<std::string>() == shown); // valid UTF-8
  for (unsigned char c : shown)
    FUZZ_REQUIRE((c >= 0x20 && c != 0x7F) || c == '\n' || c == '\t');
  for (int c = 0x80; c < 0xA0; ++c)
    FUZZ_REQUIRE(!has(shown, std::string("\xC2") + static_cast<char>(c)));
  for (auto* bidi : {"\xD8\x9C", "\xE2\x80\x8E", "\xE2\x80\x8F", "\xE2\x80\xAA", "\xE2\x80\xAE", "\xE2\x81\xA6", "\xE2\x81\xA9"})
    FUZZ_REQUIRE(!has(shown, bidi));
}

std::vector<std::string> lines(std::string text) {
  for (auto* brk : {"\r", "\v", "\f", "\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"})
    for (auto at = text.find(brk); at != std::string::npos; at = text.find(brk, at))
      text.replace(at, std::string(brk).size(), "\n");
  std::vector<std::string> out(1);
  for (char c : text)
    if (c == '\n')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

/// Unprefixed lines that a reader could take for structure.
std::vector<std::string> markers(const std::string& text) {
  std::vector<std::string> out;
  for (auto& line : lines(text))
    if (line.rfind('<', 0) == 0)
      out.push_back(line);
  return out;
}

void check_prompt(const std::string& text) {
  for (auto& line : lines(prompts::fence(text)))
    FUZZ_REQUIRE(line.rfind("| ", 0) == 0);
  auto build = [](const std::string& foreign, std::size_t budget) {
    start_run t;
    t.question = foreign;
    t.history = {{true, foreign}, {false, foreign}};
    t.answers = {{"agent1", "agent1.1", foreign}, {"agent2", "agent2.1", foreign}};
    t.may_vote = true;
    t.own_id = "agent2";
    t.votes = 1;
    t.vote_reasons = {foreign};
    return std::vector<std::vector<message>>{prompts::coordination(t, "", prompts::ladder::tools, budget),
                                             prompts::coordination(t, "", prompts::ladder::text, budget),
                                             prompts::decision(t, "", budget), prompts::presentation(t, "", budget)};
  };
  for (std::size_t budget : {std::size_t{0}, std::size_t{60}}) {
    auto plain = build("x", budget), hostile = build(text, budget);
    for (std::size_t i = 0; i < plain.size(); ++i)
      FUZZ_REQUIRE(markers(plain[i].back().text) == markers(hostile[i].back().text));
  }
}

void check_answer(const std::string& text) {
  start_run t;
  t.answers = {{"agent1", "agent1.1", "x"}};
  auto clean = prompts::clean_answer(text, t);
  FUZZ_REQUIRE(clean.size() <= text.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  check_terminal(text);
  check_prompt(text);
  check_answer(text);
  return 0;
}
