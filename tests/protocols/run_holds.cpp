// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.run_holds

// What a policy keeps on hold, and an answer that waits for a snapshot of its workspace.

#include "caf/test/unit_test.hpp"
#include "support/run_driver.hpp"

#include <set>

using namespace conclave;
using namespace conclave::test;

namespace {

run::policy_ruling may_call(const run::setting&, const run::state& s) {
  return s.task.question == "expensive" ? run::policy_ruling{run::policy_answer::wait, "may it cost that much?"}
                                        : run::policy_ruling{};
}
run::policy_ruling may_write(const run::setting&, const run::state&, const tool_call& c) {
  return c.name == "write" ? run::policy_ruling{run::policy_answer::wait, "may it write " + c.arguments + "?"}
                           : run::policy_ruling{};
}
run::policy_ruling may_tell(const run::setting&, const run::state&, const tool_call&, tool_result& r) {
  return run_driver::says(r.text, "secret") && !r.is_error
             ? run::policy_ruling{run::policy_answer::wait, "may it tell " + r.text + "?"}
             : run::policy_ruling{};
}

/// The product's rules and one that asks.
const std::vector<run::policy>& asks() {
  static const auto all = [] {
    auto out = run::policies();
    out.insert(out.begin(), {"approval", may_call, may_write, may_tell});
    return out;
  }();
  return all;
}

struct holds_driver : run_driver {
  /// What is left after a crash: the state as it is stored, and its conversation.
  void crash(const std::string& stored, std::vector<message> talk) {
    std::string error;
    run::state again;
    CAF_REQUIRE(run::from_json(stored, again, error));
    again.talk = std::move(talk);
    s = std::move(again);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(run_holds_tests, holds_driver)

CAF_TEST(a tool call on hold begins when it may and others go on meanwhile) {
  with.policies = &asks();
  start();
  reply(calls({{"c1", "write", "{}"}, {"c2", "put", "{}"}, {"c3", "look", "{}"}}));
  auto asked = the<run::ask_policy>();
  CAF_CHECK(asked.run == 7 && asked.policy == "approval" && asked.what == "may it write {}?");
  auto r = the<run::report>();
  CAF_REQUIRE_EQUAL(r.begun.size(), 1u); // the other one of its source waits behind it
  CAF_CHECK(r.begun[0].target == "look" && r.ask);
  put(run::policy_said{7, asked.call, true, ""}); // while that is being asked for
  CAF_CHECK(last.empty());
  rule();
  r = the<run::report>();
  CAF_CHECK(r.begun.size() == 1 && r.begun[0].target == "write");
  put(run::policy_said{7, asked.call, false, "too late"});
  CAF_CHECK(last.empty());
  rule();
  CAF_CHECK(the<run::send_tool>().what.id == "c1");
}

CAF_TEST(a tool call on hold that is denied is not announced and the model is told) {
  with.policies = &asks();
  start();
  reply(calls({{"c1", "write", "{}"}}));
  CAF_CHECK(!the<run::report>().ask && the<run::report>().begun.empty()); // its call's end is durable meanwhile
  put(run::policy_said{7, the<run::ask_policy>().call, false, "ask me tomorrow" + std::string(10'000, '!')});
  CAF_CHECK(the<run::report>().begun[0].target == "model");
  CAF_CHECK(s.talk.back().is_error && says(s.talk.back().text, "not carried out: ask me tomorrow")
            && s.talk.back().text.size() < 5'000);
  rule();
  reply(calls({{"c2", "write", "{\"n\":2}"}}));
  put(run::policy_said{7, the<run::ask_policy>().call, false, ""});
  CAF_CHECK(says(s.talk.back().text, "the policy 'approval' is against it"));
}

CAF_TEST(a result on hold is durable and is told or withheld as was decided) {
  with.policies = &asks();
  for (auto go : {true, false}) {
    start(task(go ? 7 : 8));
    reply(calls({{"c1", "look", "{\"secret\":1}"}}));
    rule();
    tool(s.calls, "the secret");
    auto r = the<run::report>();
    CAF_CHECK(!r.ask && r.ended.size() == 1 && r.ended[0].result.text == "the secret");
    put(run::policy_said{s.task.run, the<run::ask_policy>().call, go, "not for you"});
    CAF_CHECK(the<run::report>().begun[0].target == "model");
    CAF_CHECK(s.talk.back().is_error == !go && says(s.talk.back().text, go ? "the secret" : "withheld: not for you"));
  }
}

CAF_TEST(a result that was withheld stays so after a crash) {
  with.policies = &asks();
  start();
  reply(calls({{"c1", "look", "{\"secret\":1}"}, {"c2", "write", "{}"}, {"c3", "look", "{}"}}));
  auto write = the<run::ask_policy>().call;
  std::vector<known_end> ends{{1, true, the<run::report>().ended[0].reply, {}}};
  auto started = the<run::report>().begun;
  rule();
  tool(2, "the secret");
  ends.push_back({2, true, {}, the<run::report>().ended[0].result});
  put(run::policy_said{7, the<run::ask_policy>().call, false, "not for you"});
  put(run::policy_said{7, write, true, ""});
  CAF_REQUIRE(the<run::report>().ask);
  for (auto& more : the<run::report>().begun)
    started.push_back(more);
  for (auto& open : started)
    ends.push_back({open.call, false, {}, {}, open.effect});
  crash(run::to_json(s), s.talk);
  put(run::continued{task(9), ends, false, {}});
  CAF_CHECK(got<run::ask_policy>().empty());
  CAF_CHECK(says(s.pending.at(0).result.text, "withheld: not for you"));
}

CAF_TEST(a model call on hold goes on or fails its run with the text) {
  with.policies = &asks();
  for (auto go : {true, false}) {
    auto t = task(go ? 7 : 8);
    t.question = "expensive";
    put(run::started{t});
    put(run::prepared{t.run, {}});
    auto asked = the<run::ask_policy>();
    CAF_CHECK(asked.run == t.run && got<run::report>().empty() && s.stage == run::stage::on_hold);
    put(run::policy_said{t.run, asked.call + 1, true, ""});
    CAF_CHECK(last.empty());
    put(run::policy_said{t.run, asked.call, go, "the budget is used up"});
    auto r = the<run::report>();
    CAF_CHECK(go ? r.begun.size() == 1 : r.handed_in.code == ec::denied && r.handed_in.reason == "the budget is used up");
    put(run::cancelled{"x"});
  }
}

CAF_TEST(a cancel ends every hold) {
  with.policies = &asks();
  auto t = task();
  t.question = "expensive";
  put(run::started{t});
  put(run::prepared{7, {}});
  auto asked = the<run::ask_policy>().call;
  put(run::cancelled{"deadline"});
  CAF_CHECK(the<run::report>().handed_in.code == ec::cancelled);
  the<run::over>();
  put(run::policy_said{7, asked, true, ""});
  CAF_CHECK(last.empty());
  start(task(8));
  reply(calls({{"c1", "write", "{}"}}));
  asked = the<run::ask_policy>().call;
  put(run::cancelled{"deadline"});
  CAF_CHECK(the<run::report>().handed_in.code == ec::cancelled && s.pending.empty());
  put(run::policy_said{8, asked, true, ""});
  CAF_CHECK(last.empty());
}

CAF_TEST(holds that are open at a crash are asked about again) {
  with.policies = &asks();
  start();
  reply(calls({{"c1", "write", "{}"}, {"c2", "look", "{}"}, {"c3", "look", "{\"secret\":1}"}, {"c4", "look", "{\"n\":4}"}}));
  auto r = the<run::report>();
  std::vector<known_end> ends{{1, true, r.ended[0].reply, {}}};
  auto stored = run::to_json(s); // with a call on hold
  auto talk = s.talk;
  rule();
  tool(3, "the secret");
  ends.push_back({3, true, {}, the<run::report>().ended[0].result});
  CAF_CHECK_EQUAL(the<run::ask_policy>().what, "may it tell the secret?");
  crash(stored, talk);
  put(run::continued{task(9), ends, false, {}});
  auto asked = got<run::ask_policy>();
  CAF_REQUIRE_EQUAL(asked.size(), 2u);
  std::set<std::string> what{asked[0].what, asked[1].what};
  CAF_CHECK((what == std::set<std::string>{"may it tell the secret?", "may it write {}?"}));
  CAF_CHECK(asked[0].run == 9 && asked[0].call != asked[1].call);
}

CAF_TEST(an answer with a workspace waits for its snapshot) {
  auto begin = [&](std::uint64_t run) {
    put(run::started{task(run)});
    put(run::prepared{run, {}, "w1"});
    rule();
    reply(calls({answer}));
    CAF_CHECK(the<run::take_snapshot>().run == run && the<run::take_snapshot>().workspace == "w1");
    CAF_CHECK(!the<run::report>().ask && !the<run::report>().has_verdict && the<run::report>().ended.size() == 1);
    put(run::snapshot_taken{run + 1, "s0", ""});
    CAF_CHECK(last.empty());
  };
  begin(7);
  put(run::snapshot_taken{7, "s1", ""});
  CAF_CHECK(the<run::report>().handed_in.text == "42" && the<run::report>().handed_in.files.snapshot == "s1"
            && the<run::report>().ask);
  put(run::snapshot_taken{7, "s2", ""});
  CAF_CHECK(last.empty());
  rule(ruling_kind::refused, "no"); // the next answer has another one
  CAF_CHECK(s.handed_in.files.snapshot.empty());
  rule();
  reply(calls({answer}));
  CAF_CHECK(!the<run::take_snapshot>().workspace.empty());
  put(run::snapshot_taken{7, "s3", ""});
  CAF_CHECK(the<run::report>().handed_in.files.snapshot == "s3");
  rule();
  begin(8);
  put(run::snapshot_taken{8, "", "the disk is full"});
  CAF_CHECK(the<run::report>().handed_in.text == "42" && the<run::report>().handed_in.files.snapshot.empty());
  CAF_CHECK_EQUAL(the<run::report>().handed_in.files.why, "the disk is full"); // the event that follows tells it, and nothing else
  CAF_CHECK(got<run::tell>().empty());
  rule();
  begin(9);
  put(run::cancelled{"deadline"});
  CAF_CHECK(the<run::report>().handed_in.code == ec::cancelled && the<run::report>().handed_in.text == "42");
}

CAF_TEST(a snapshot is taken of no vote and of no failure) {
  put(run::started{task(7, true)});
  put(run::prepared{7, {}, "w1"});
  rule();
  reply(calls({{"v", "vote", R"({"agent_id":"agent1","reason":"right"})"}}));
  CAF_CHECK(got<run::take_snapshot>().empty() && the<run::report>().handed_in.kind == verdict_kind::vote);
}

CAF_TEST(an answer that is handed in again after a crash keeps its snapshot) {
  put(run::started{task()});
  put(run::prepared{7, {}, "w1"});
  rule();
  reply(calls({answer}));
  std::vector<known_end> ends{{1, true, the<run::report>().ended[0].reply, {}}};
  put(run::snapshot_taken{7, "s1", ""});
  crash(run::to_json(s), s.talk);
  put(run::continued{task(8), ends, false, {}});
  CAF_CHECK(got<run::take_snapshot>().empty());
  CAF_CHECK(the<run::report>().handed_in.files.snapshot == "s1" && the<run::report>().handed_in.text == "42");
}

CAF_TEST_FIXTURE_SCOPE_END()
