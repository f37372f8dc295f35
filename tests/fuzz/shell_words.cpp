// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Command lines of any bytes: what is understood stays the same within brackets and written anew, and no list lets more through
// than it says.

#include "protocols/shell_words.hpp"

#include "fuzz/fuzz.hpp"
#include "protocols/command_filter.hpp"
#include "protocols/command_forms.hpp"

#include <algorithm>

using namespace conclave;

namespace {

/// Whether all commands of one line are in the other, in their order.
bool holds_all(const shell::command_line& line, const shell::command_line& of) {
  auto at = line.commands.begin();
  for (auto& c : of.commands) {
    at = std::find_if(at, line.commands.end(), [&c](auto& other) { return other.whole_text() == c.whole_text(); });
    if (at == line.commands.end())
      return false;
    ++at;
  }
  return true;
}

std::string quoted(const std::string& word) {
  std::string out = "'";
  for (auto c : word)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

void check_brackets(const std::string& text, const shell::command_line& line) {
  if (!line.doubt.empty() || line.commands.empty() || text.ends_with('\\'))
    return;
  for (auto& wrapped : {"( " + text + "\n)", // "((" may begin a sum
                        "{ " + text + "\n}", "if " + text + "\nthen :; fi"}) {
    auto again = shell::parse(wrapped);
    if (again.doubt.find("nested") != std::string::npos)
      continue;
    FUZZ_REQUIRE(again.doubt.empty());
    FUZZ_REQUIRE(holds_all(again, line));
  }
}

void check_words(const shell::command_line& line) {
  for (auto& c : line.commands) {
    std::string written;
    for (auto& w : c.words)
      written += quoted(w.text) + " ";
    if (c.words.empty() || written.find('\0') != std::string::npos)
      continue;
    auto again = shell::parse(written);
    FUZZ_REQUIRE(again.doubt.empty());
    FUZZ_REQUIRE(again.commands.size() == 1);
    FUZZ_REQUIRE(again.commands[0].text() == c.text());
  }
}

void check_filter(const std::string& text, const shell::command_line& line) {
  static const command_filter only_x({"x( y)*"}, {}, false), nothing({}, {".*"}, false), words({}, {}, true);
  if (!only_x.judge(text)) {
    FUZZ_REQUIRE(line.doubt.empty());
    for (auto& c : line.commands)
      FUZZ_REQUIRE(c.whole_text().starts_with('x'));
  }
  auto forms = shell::all_forms(text);
  FUZZ_REQUIRE(nothing.judge(text).has_value() == (!forms.commands.empty() || !forms.possible.empty()));
  FUZZ_REQUIRE(forms.commands.size() >= line.commands.size() || forms.cut);
  if (auto fault = words.judge(text))
    FUZZ_REQUIRE(fuzz::is_clean_line(fault->text));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  auto line = shell::parse(text);
  FUZZ_REQUIRE(line.commands.size() <= shell::max_commands + 1);
  check_brackets(text, line);
  check_words(line);
  check_filter(text, line);
  return 0;
}
