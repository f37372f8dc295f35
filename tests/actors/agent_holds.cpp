// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.agent_holds

// What a policy waits with, and who decides about it.

#include "protocols/run_machine.hpp"
#include "support/agent_fixture.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>

using namespace conclave;
using namespace conclave::test;

namespace {

run::policy_ruling may_call(const run::setting&, const run::state&, const tool_call& c) {
  return {run::policy_answer::wait, "may it call " + c.name + "?", ec::denied};
}

const std::vector<run::policy>& asks() {
  static const auto all = [] {
    auto out = run::policies();
    out.push_back({"approval", nullptr, may_call, nullptr});
    return out;
  }();
  return all;
}

struct holds_fixture : agent_fixture {
  std::vector<run::ask_policy> asked;
  std::vector<policy_say> say;

  holds_fixture() {
    policies = &asks();
    ask = [this](const run::ask_policy& a, policy_say s) {
      asked.push_back(a);
      say.push_back(std::move(s));
    };
  }

  void run_with_call() {
    spawn_with("tools");
    model->replies = {calls({{"c1", "mcp__t__look", "{}"}}), calls({{"a", "new_answer", R"({"content":"42"})"}})};
    run(task(false));
  }

  std::string told() { return model->asked.at(1).messages.back().text; }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(agent_holds_tests, holds_fixture)

CAF_TEST(a call on hold is made when somebody says so) {
  run_with_call();
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK(asked[0].run == 7 && asked[0].policy == "approval" && asked[0].what == "may it call mcp__t__look?");
  CAF_CHECK(tool->called.empty() && boss->verdicts.empty());
  std::thread([&] { say[0](true, ""); }).join(); // whichever thread it is
  settle();
  CAF_CHECK_EQUAL(tool->called.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
  say[0](false, "changed my mind");
  settle();
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
  check_call_ids();
}

CAF_TEST(a call on hold that is denied is not made and the model is told why) {
  run_with_call();
  say.at(0)(false, "not on a Friday");
  settle();
  CAF_CHECK(tool->called.empty());
  CAF_CHECK(told().find("not on a Friday") != std::string::npos);
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(without anybody who decides a call is denied with a text that says so) {
  ask = nullptr;
  run_with_call();
  CAF_CHECK(tool->called.empty());
  CAF_CHECK(told().find("the policy 'approval' waits for a decision, and nobody here can take it") != std::string::npos);
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(who decides may fail and the call is denied) {
  ask = [](const run::ask_policy&, const policy_say&) { throw std::runtime_error("no window"); };
  run_with_call();
  CAF_CHECK(told().find("no window") != std::string::npos && tool->called.empty());
}

CAF_TEST(who decides at once is heard) {
  ask = [](const run::ask_policy&, const policy_say& s) { s(true, ""); };
  run_with_call();
  CAF_CHECK_EQUAL(tool->called.size(), 1u);
  CAF_CHECK_EQUAL(boss->verdicts.size(), 1u);
}

CAF_TEST(a cancel ends the hold of a call and what is said later has no effect) {
  run_with_call();
  caf::anon_send(aut, cancel_run{{"t", 1, 7}, "writer", "deadline"});
  settle();
  CAF_REQUIRE_EQUAL(boss->verdicts.size(), 1u);
  CAF_CHECK(boss->verdicts[0].code == ec::cancelled);
  say.at(0)(true, "");
  settle();
  CAF_CHECK(tool->called.empty());
}

CAF_TEST(what is said after the agent is gone has no effect) {
  run_with_call();
  kill(aut);
  say.at(0)(true, "");
  settle();
  CAF_CHECK(tool->called.empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
