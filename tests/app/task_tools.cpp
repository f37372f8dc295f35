// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.task_tools

#include "app/task_tools.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/attachments.hpp"
#include "support/engine_fixture.hpp"
#include "transports/event_store.hpp"

#include <stdexcept>

using namespace conclave;
using namespace conclave::test;

namespace {

const std::string long_text(40'000, 'x');

/// An engine with two tools, and a writer that calls both and then a long result once more.
struct tools_fixture : folder {
  engine_options with_tools() const {
    auto o = options();
    native_tool look, fail;
    look.spec = {"look", "looks", ""};
    look.read_only = true;
    look.run = [](const std::string&) { return long_text; };
    fail.spec = {"fail", "fails", ""};
    fail.run = [](const std::string&) -> std::string { throw std::runtime_error("no paper"); };
    o.tools = {look, fail};
    return o;
  }

  static run_config calling_team() {
    auto out = team();
    auto& script = out.agents[0].backend.script;
    script.insert(script.begin(), 2, {});
    script[0].calls = {{"c1", "look", R"({"at":1})"}, {"c2", "fail", "{}"}};
    script[1].calls = {{"c3", "read_result", R"({"id":"r1.1","offset":5,"limit":7})"}};
    return out;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(task_tools_tests, tools_fixture)

CAF_TEST(a host sees what was called and what came of it) {
  engine eng{with_tools()};
  CAF_REQUIRE_EQUAL(eng.error(), "");
  auto o = eng.ask(calling_team(), {"q", {}});
  CAF_REQUIRE_EQUAL(o.answer, "final");
  auto seen = tools_of(eng.store(), o.task);
  CAF_CHECK_EQUAL(seen.error, "");
  CAF_REQUIRE_EQUAL(seen.calls.size(), 3u);
  auto& look = seen.calls[0];
  CAF_CHECK(look.agent == "writer" && look.tool == "look" && look.arguments == R"({"at":1})" && look.status == "finished");
  CAF_CHECK(look.result.text == long_text && !look.result.is_error && look.effect == call_effect::none && look.source == "look");
  CAF_CHECK(look.run > 0 && look.call > 0 && look.begun_ms > 0 && look.ended_ms >= look.begun_ms);
  auto& fail = seen.calls[1];
  CAF_CHECK(fail.status == "error" && fail.result.is_error && fail.result.text.find("no paper") != std::string::npos
            && fail.effect == call_effect::once);
  CAF_CHECK_EQUAL(seen.calls[2].result.text, "[characters 5 to 12 of 40000]\nxxxxxxx");
  CAF_CHECK(seen.sources
            == (std::vector<tool_source_use>{
                {"writer", "native", "look", 1, 0}, {"writer", "native", "fail", 1, 1}, {"writer", "built_in", "conclave", 1, 0}}));
  CAF_CHECK_EQUAL(tools_of(eng.store(), "nothing").error, "there is no task nothing");
}

CAF_TEST(a host may give files as bytes and is told what is wrong with one) {
  engine eng{options()};
  question q{"What is this?", {}};
  q.attachments.emplace_back();
  q.attachments[0].name = "made here";
  q.attachments[0].data = wire::encode_base64(std::string("\x89PNG\r\n\x1A\n") + "dots");
  auto o = eng.ask(team(), q);
  CAF_CHECK_EQUAL(o.error, "");
  CAF_CHECK_EQUAL(o.answer, "final");
  std::string error;
  auto log = eng.store().read(o.task, 0, error);
  CAF_REQUIRE(!log.empty());
  CAF_CHECK(log[0].json.find("made here") != std::string::npos && log[0].json.find(q.attachments[0].data) == std::string::npos);
  q.attachments[0].data = wire::encode_base64("no picture");
  o = eng.ask(team(), q);
  CAF_CHECK(o.code == ec::bad_config && o.error.find("made here: is neither an image") == 0);
  q.attachments[0].data = "!";
  CAF_CHECK(eng.ask(team(), q).error.find("no base64") != std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE_END()
