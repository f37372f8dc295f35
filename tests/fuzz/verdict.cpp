// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a model hands in, by tools, by schema, by text. Lines "name<TAB>arguments" are tool calls; everything is also read as text.

#include "protocols/wire/verdict.hpp"

#include "fuzz/fuzz.hpp"
#include "protocols/wire/arguments.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/resolve.hpp"
#include "protocols/wire/thinking.hpp"

#include <algorithm>
#include <set>

using namespace conclave;

namespace {

void check(const completion& c, const wire::choice& may) {
  const std::vector<std::string> known{"mcp__s__t"};
  auto j = wire::judge(c, may, known);
  std::multiset<std::string> expected, answered;
  for (auto& call : c.calls)
    if (call.name != known.front())
      expected.insert(call.id);
  for (auto& r : j.ok ? j.ignored : j.results) {
    answered.insert(r.id);
    FUZZ_REQUIRE(r.is_error && !r.text.empty());
  }
  if (!j.ok) {
    FUZZ_REQUIRE(answered == expected); // every call has exactly one result
    FUZZ_REQUIRE(expected.empty() == !j.correction.empty());
    return;
  }
  FUZZ_REQUIRE(answered.size() + 1 == expected.size() && j.results.empty() && j.correction.empty());
  auto blank = [](const std::string& x) { return x.find_first_not_of(" \t\r\n\v\f") == std::string::npos; };
  if (j.handed_in.kind == verdict_kind::answer)
    FUZZ_REQUIRE(may.may_answer && !blank(j.handed_in.text) && c.status != completion_status::truncated);
  else
    FUZZ_REQUIRE(j.handed_in.kind == verdict_kind::vote && !may.ids.empty() && !blank(j.handed_in.target));
}

void check(const wire::decided& d, const wire::choice& may) {
  if (d.kind == wire::decision_kind::vote)
    FUZZ_REQUIRE(std::find(may.ids.begin(), may.ids.end(), d.target) != may.ids.end());
  else
    FUZZ_REQUIRE(d.target.empty() && (d.kind == wire::decision_kind::unclear || may.may_answer));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::text_of(data, size);
  completion c;
  c.text = text;
  for (std::size_t at = 0; at < text.size() && c.calls.size() < 20;) {
    auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    if (auto tab = line.find('\t'); tab != std::string::npos)
      c.calls.push_back({"id" + std::to_string(c.calls.size()), line.substr(0, tab), line.substr(tab + 1)});
  }
  for (auto& may : {wire::choice{true, {}}, wire::choice{true, {"agent1", "agent3"}}, wire::choice{false, {"agent2"}}}) {
    for (auto status : {completion_status::finished, completion_status::truncated}) {
      c.status = status;
      check(c, may);
    }
    check(wire::read_decision(text, may), may);
    check(wire::read_text(text, may), may);
  }
  auto exact = wire::read_arguments(text, wire::reading::lossless), best = wire::read_arguments(text, wire::reading::best);
  FUZZ_REQUIRE(!exact || (exact->is_object() && best == exact));
  FUZZ_REQUIRE(!best || best->is_object());
  auto settled = wire::settled_arguments(text);
  FUZZ_REQUIRE(wire::settled_arguments(settled) == settled);
  wire::thinking_filter::parts whole, pieces;
  wire::thinking_filter a, b;
  a.feed(text, whole);
  for (auto byte : text)
    b.feed({&byte, 1}, pieces);
  a.finish(whole);
  b.finish(pieces);
  FUZZ_REQUIRE(whole.text == pieces.text && whole.reasoning == pieces.reasoning);
  const std::vector<std::string> names{"new_answer", "vote", "mcp__s__t"};
  auto name = wire::resolve_tool(text, names);
  FUZZ_REQUIRE(name == text || std::find(names.begin(), names.end(), name) != names.end());
  FUZZ_REQUIRE(wire::parse(wire::decision_schema({true, {text}}), true));
  for (auto& t : wire::workflow_tools({true, {text}}))
    FUZZ_REQUIRE(wire::parse(t.parameters, true));
  return 0;
}
