// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Long results of tools, long conversations, and runs that plan.

#define CAF_SUITE protocols.run_results

#include "protocols/run_results.hpp"

#include "caf/test/unit_test.hpp"
#include "support/run_driver.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::test;

namespace {

/// 20,000 characters of two bytes each, every one at its own place.
std::string long_text() {
  std::string out;
  for (int i = 0; i < 20'000; ++i)
    out += {static_cast<char>(0xC3), static_cast<char>(0x80 + i % 64)};
  return out;
}

std::string part(const std::string& text, std::size_t from, std::size_t count) {
  return text.substr(2 * from, 2 * count);
}

struct results_driver : run_driver {
  results_driver() { with.tools[run::read_result_name] = run::read_result_tool(); }

  void round(const std::string& result, const std::string& name = "look") {
    reply(calls({{"c" + std::to_string(s.calls), name, "{\"n\":" + std::to_string(s.calls) + "}"}}));
    rule();
    tool(s.calls, result);
  }

  std::string read(const std::string& arguments) { return run::read_result(with, s, {"x", "read_result", arguments}).text; }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(run_results_tests, results_driver)

CAF_TEST(a result of just the characters that may be shown is shown as it is) {
  for (auto more : {0, 1}) {
    tool_result r{"c", std::string(15'000 + static_cast<std::size_t>(more), 'x'), false};
    CAF_CHECK_EQUAL(run::excerpt(r, 15'000, "r1.1") == r, more == 0);
  }
  auto text = long_text();
  tool_result r{"c", text, true};
  CAF_CHECK(run::excerpt(r, 20'000, "r1.1") == r); // characters, not bytes
  auto cut = run::excerpt(r, 15'000, "r1.1");
  CAF_CHECK(cut.is_error && cut.text.size() < 2 * 15'000);
  CAF_CHECK(cut.text.starts_with(part(text, 0, 9'000)) && cut.text.ends_with(part(text, 16'000, 4'000)));
  CAF_CHECK(says(cut.text, "of 20000 characters are left out here; read them: read_result {\"id\":\"r1.1\",\"offset\":"));
}

CAF_TEST(a shortened result keeps its picture and its texts are not sent twice) {
  tool_result r{"c", std::string(20'000, 'x') + "\n[image]", false};
  r.parts = {{content_kind::text, std::string(20'000, 'x'), "", "", ""}, {content_kind::image, "[image]", "image/png", "AAAA", ""}};
  auto cut = run::excerpt(r, 15'000, "r1.1");
  CAF_REQUIRE_EQUAL(cut.parts.size(), 2u);
  CAF_CHECK(cut.parts[0].text == cut.text && cut.parts[1] == r.parts[1]);
}

CAF_TEST(the log gets the whole of a long result and the model reads it on) {
  start();
  auto text = long_text();
  round(text);
  CAF_CHECK(the<run::report>().ended[0].result.text == text);
  CAF_CHECK(s.talk.back().text.size() < 2 * 15'000 && says(s.talk.back().text, "\"id\":\"r1.1\""));
  CAF_CHECK_EQUAL(read(R"({"id":"r1.1","offset":10000,"limit":3})"),
                  "[characters 10000 to 10003 of 20000]\n" + part(text, 10'000, 3));
  CAF_CHECK_EQUAL(read(R"({"id":"r1.1","offset":"19999"})"), "[characters 19999 to 20000 of 20000]\n" + part(text, 19'999, 1));
  std::string all;
  for (std::size_t at = 0; at < 20'000; at += 9'000)
    all += read("{\"id\":\"r1.1\",\"limit\":9000,\"offset\":" + std::to_string(at) + "}").substr(all.empty() ? 33 : 0);
  CAF_CHECK(read(R"({"id":"r1.1","limit":99999999})").size() < 2 * 15'000);
  for (auto* bad : {"{}", R"({"id":"r9.9"})", R"({"id":"r1.1","offset":20000})", R"({"id":"r1.1","offset":-1})",
                    R"({"id":"r1.1","limit":"many"})", "no JSON"})
    CAF_CHECK(read(bad).starts_with("Error: "));
}

CAF_TEST(what is read on is no long result of its own) {
  start();
  round(long_text());
  rule();
  round(std::string(20'000, 'y'), run::read_result_name); // more than it ever gives
  CAF_CHECK_EQUAL(s.long_results.size(), 1u);
  CAF_CHECK_EQUAL(s.talk.back().text.size(), 20'000u);
}

CAF_TEST(after a crash a long result is found in the log) {
  start();
  auto text = long_text();
  round(text);
  auto stored = run::to_json(s);
  CAF_CHECK(stored.size() < 2'000);
  run::state again;
  std::string error;
  CAF_REQUIRE(run::from_json(stored, again, error));
  again.talk = s.talk;
  again.kept = s.talk.size();
  known_end model{1, true, calls({{"c1", "look", "{}"}}), {}, call_effect::once},
      look{2, true, {}, {"c1", text, false}, call_effect::none};
  s = again;
  put(run::continued{task(8), {model, look}, false, {}});
  CAF_CHECK_EQUAL(read(R"({"id":"r1.1","offset":10,"limit":1})"), "[characters 10 to 11 of 20000]\n" + part(text, 10, 1));
  s = again;
  put(run::continued{task(8), {model}, false, {}}); // lost: said, and no crash
  CAF_CHECK(says(read(R"({"id":"r1.1"})"), "is kept (any more)"));
}

CAF_TEST(a long conversation loses its oldest rounds whole and keeps its task) {
  with.agent.backend.max_mcp_message_history = 20;
  start();
  for (int i = 0; i < 30; ++i) {
    round("seen " + std::to_string(i));
    rule();
    CAF_REQUIRE(s.talk.size() <= 20u);
    CAF_CHECK(s.talk[0].from == role::system && s.talk[1].from == role::user && s.talk[2].from == role::assistant);
    CAF_CHECK(s.kept <= s.talk.size() && s.talk.back().text == "seen " + std::to_string(i));
    std::size_t calls = 0, results = 0;
    for (auto& m : s.talk) {
      calls += m.calls.size();
      results += m.from == role::tool ? 1 : 0;
    }
    CAF_CHECK_EQUAL(calls, results);
  }
  with.agent.backend.max_mcp_message_history = 0;
  start(task(8));
  for (int i = 0; i < 30; ++i) {
    round("seen " + std::to_string(i));
    rule();
  }
  CAF_CHECK_EQUAL(s.talk.size(), 62u);
}

CAF_TEST(calls of other sources wait as well unless the user lifts the order) {
  add_tool("send", 2, false, false);
  auto batch = [] { return calls({{"c1", "write", "{}"}, {"c2", "send", "{}"}, {"c3", "put", "{}"}, {"c4", "look", "{}"}}); };
  auto begun_now = [this] {
    std::string out;
    for (auto& b : the<run::report>().begun)
      out += b.target + " ";
    return out;
  };
  start();
  reply(batch());
  CAF_CHECK_EQUAL(begun_now(), "write look ");
  rule();
  tool(2);
  CAF_CHECK_EQUAL(begun_now(), "send ");
  with.agent.backend.concurrent_tool_execution = true;
  start(task(8));
  reply(batch());
  CAF_CHECK_EQUAL(begun_now(), "write send look "); // put is of write's source
}

CAF_TEST(a run that plans calls no tool and goes on and the log has what it wanted) {
  auto t = task();
  t.planning = true;
  t.planning_instruction = "Only plan, please.";
  start(t);
  CAF_CHECK(says(s.talk[0].text, "Only plan, please."));
  reply(calls({{"c1", "write", "{}"}, {"c2", "look", "{}"}}));
  auto r = the<run::report>();
  CAF_REQUIRE_EQUAL(r.begun.size(), 2u); // what they are does not matter: together
  CAF_CHECK(r.begun[0].target == "write" && r.begun[0].effect == call_effect::none && r.begun[1].target == "look");
  rule();
  CAF_CHECK(got<run::send_tool>().empty());
  for (auto& no : got<run::refuse_tool>())
    put(run::tool_done{no.call, no.result, no.status, {}});
  r = the<run::report>();
  CAF_CHECK(r.begun.size() == 1 && r.begun[0].target == "model");
  for (auto i = s.talk.size() - 2; i < s.talk.size(); ++i)
    CAF_CHECK(s.talk[i].is_error && says(s.talk[i].text, "E_PLANNING, blocked_by: planning_mode"));
  for (auto& e : r.ended)
    CAF_CHECK(e.status == "denied:E_PLANNING" && says(e.result.text, "E_PLANNING"));
  rule();
  s.task.planning_reads = true;
  reply(calls({{"c3", "write", "{\"a\":1}"}, {"c4", "look", "{\"a\":1}"}}));
  CAF_REQUIRE_EQUAL(the<run::report>().begun.size(), 2u);
  rule();
  CAF_CHECK_EQUAL(the<run::send_tool>().what.name, "look");
  CAF_CHECK_EQUAL(got<run::refuse_tool>().size(), 1u);
}

CAF_TEST(while it plans its files are read by our tools and not by a server of their name) {
  add_tool("mcp__filesystem__read_text_file", 3, true, true);
  with.agent.backend.workspace.cwd = "w";
  auto t = task();
  t.planning = true;
  start(t);
  auto read = [](const char* id) { return calls({{id, "mcp__filesystem__read_text_file", "{}"}}); };
  reply(read("c1"));
  CAF_CHECK(!the<run::report>().begun.empty() && the<run::report>().begun.back().target == "mcp__filesystem__read_text_file");
  with.agent.backend.mcp_servers.emplace_back().name = "filesystem";
  auto again = task(9);
  again.planning = true;
  start(again);
  reply(read("c2"));
  rule();
  CAF_CHECK_EQUAL(the<run::refuse_tool>().status, "denied:E_PLANNING");
}

CAF_TEST_FIXTURE_SCOPE_END()
