// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.agent_tools

// A tool source whose list changes while its agent works.

#include "support/agent_fixture.hpp"

using namespace conclave;

namespace {

struct changing_fixture : test::agent_fixture {
  void changes_to(std::vector<std::string> names) {
    tool->names = std::move(names);
    ++*tool->version;
  }

  /// What the model was offered with its n-th request, but for what every run offers.
  std::string offered(std::size_t n) const {
    std::string out;
    for (auto& t : model->asked.at(n).tools)
      if (t.name.starts_with("mcp__"))
        out += (out.empty() ? "" : " ") + t.name.substr(std::string("mcp__t__").size());
    return out;
  }

  completion look(const std::string& name, const std::string& id) { return calls({{id, "mcp__t__" + name, "{}"}}); }
  completion answer() { return calls({{"c9", "new_answer", R"({"content":"42"})"}}); }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(agent_tools_tests, changing_fixture)

CAF_TEST(a list that changed is read once before the next model call of each run) {
  spawn_with("tools");
  CAF_CHECK_EQUAL(tool->lists, 1u);
  model->replies = {look("look", "c1"), look("look", "c2"), answer(), answer()};
  tool->on_call = [this] {
    if (tool->called.size() == 1)
      for (int i = 0; i < 100; ++i)
        changes_to({"look", "more"});
  };
  run(task(false));
  CAF_CHECK_EQUAL(tool->lists, 2u);
  CAF_REQUIRE_EQUAL(model->asked.size(), 3u);
  CAF_CHECK_EQUAL(offered(0), "look");
  CAF_CHECK_EQUAL(offered(1), "look more");
  CAF_CHECK_EQUAL(offered(2), "look more");
  CAF_CHECK_EQUAL(tool->told.size(), 1u);
  changes_to({"more"}); // between two runs
  auto t = task(false);
  t.run = 8;
  run(t);
  CAF_CHECK_EQUAL(tool->lists, 3u);
  CAF_CHECK_EQUAL(offered(3), "more");
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 2u);
  check_call_ids();
}

CAF_TEST(a call of a tool that is gone gets an error result that says so) {
  spawn_with("tools");
  model->replies = {look("look", "c1"), look("look", "c2"), answer()};
  tool->on_call = [this] { changes_to({"other"}); };
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 3u);
  auto& last = model->asked[2].messages.back();
  CAF_CHECK(last.is_error && last.text == "Error: there is no tool named 'mcp__t__look' any more.");
  CAF_CHECK_EQUAL(tool->called.size(), 1u);
  CAF_REQUIRE_EQUAL(tool->told.size(), 2u);
  CAF_CHECK_EQUAL(tool->told[0], "MCP server 't' offers other tools now: 1 new (mcp__t__other), 1 gone (mcp__t__look)");
}

CAF_TEST(a list that is the same after a change is no news) {
  spawn_with("tools");
  model->replies = {look("look", "c1"), answer()};
  tool->on_call = [this] { changes_to({"look"}); };
  run(task(false));
  CAF_CHECK_EQUAL(tool->lists, 2u);
  CAF_CHECK(tool->told.empty());
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(a source that cannot list its tools again leaves them as they were) {
  spawn_with("tools");
  model->replies = {look("look", "c1"), answer()};
  tool->on_call = [this] {
    changes_to({});
    tool->list_error = ec::timeout;
  };
  run(task(false));
  CAF_REQUIRE_EQUAL(model->asked.size(), 2u);
  CAF_CHECK_EQUAL(offered(1), "look");
  CAF_REQUIRE_EQUAL(tool->told.size(), 1u);
  CAF_CHECK(tool->told[0].find("MCP server 't' could not list them again") != std::string::npos);
}

CAF_TEST(a source that never lists its tools again keeps no run waiting) {
  spawn_with("tools");
  model->replies = {look("look", "c1"), look("look", "c2"), answer()};
  tool->on_call = [this] {
    tool->hang_list = tool->called.size() == 1;
    changes_to({"other"});
  };
  run(task(false));
  CAF_CHECK_EQUAL(model->asked.size(), 1u);
  advance_time(std::chrono::seconds(4));
  settle();
  CAF_CHECK_EQUAL(model->asked.size(), 1u);
  advance_time(std::chrono::seconds(1));
  settle();
  CAF_REQUIRE_EQUAL(model->asked.size(), 3u);
  CAF_CHECK_EQUAL(offered(1), "look");
  CAF_CHECK_EQUAL(offered(2), "other");
  CAF_REQUIRE_EQUAL(tool->told.size(), 2u);
  CAF_CHECK_EQUAL(tool->told[0], "its tools are offered as they were, MCP server 't' has not listed them again within 5 s");
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(a run that is cancelled while its tools are listed leaves the list to the next) {
  spawn_with("tools");
  model->replies = {look("look", "c1"), answer()};
  tool->on_call = [this] {
    changes_to({"other"});
    tool->hang_list = true;
  };
  run(task(false));
  CAF_CHECK_EQUAL(model->asked.size(), 1u);
  caf::anon_send(aut, cancel_run{{"t", 1, 7}, "writer", "too late"});
  settle();
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].code == ec::cancelled);
  auto t = task(false);
  t.run = 8;
  run(t);
  CAF_CHECK_EQUAL(model->asked.size(), 1u); // it waits for the same listing
  tool->hang_list = false;
  caf::anon_send(source, cancel_tools{});
  settle();
  CAF_CHECK_EQUAL(tool->lists, 2u);
  CAF_REQUIRE_EQUAL(model->asked.size(), 2u);
  CAF_CHECK_EQUAL(offered(1), "other");
  CAF_CHECK_EQUAL(boss->verdicts.size(), 2u);
}

CAF_TEST_FIXTURE_SCOPE_END()
