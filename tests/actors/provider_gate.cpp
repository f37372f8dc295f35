// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.provider_gate

// Several callers with one key, as the agents of a team are, and a clock that the test owns.

#include "actors/provider_gate.hpp"

#include "support/fixture.hpp"
#include "support/simulated_outside.hpp"

#include <map>

#undef allow // a macro of the test DSL

using namespace conclave;
using std::chrono::milliseconds;
using std::chrono::seconds;
using says = gate_answer::says;
using came = leave_gate::came;

namespace {

using caller_actor = gate_guest_actor::extend<caf::reacts_to<enter_gate>, caf::reacts_to<leave_gate>>;

struct gate_fixture : conclave::test::fixture {
  provider_gate_actor gate;
  std::vector<caller_actor> callers;
  std::vector<std::string> passed; ///< "caller.id", in order
  std::vector<std::string> waits, refused;
  std::int64_t order = 0;

  void open(breaker_policy policy = {}, rate_limits limits = {}, std::size_t n = 4) {
    test::simulated_world world;
    world.unix_ms = 1'795'694'400'000; // 2026-11-26 12:00
    gate = spawn_provider_gate(sys, "api.example", policy, limits, std::make_shared<test::simulated_outside>(sys, world));
    for (std::size_t i = 0; i < n; ++i)
      callers.push_back(sys.spawn([this, i](caller_actor::pointer me) -> caller_actor::behavior_type {
        return {[this, i](const gate_answer& a) {
                  auto who = std::to_string(i) + "." + std::to_string(a.id);
                  (a.what == says::go      ? passed
                   : a.what == says::waits ? waits
                                           : refused)
                      .push_back(who + (a.what == says::go ? "" : ": " + a.text));
                },
                [this, me](enter_gate& e) {
                  e.guest = me;
                  me->send(gate, std::move(e));
                },
                [this, me](const leave_gate& l) { me->send(gate, l); }};
      }));
  }

  ~gate_fixture() {
    for (auto& c : callers)
      kill(c);
    kill(gate);
  }

  std::int64_t now() const { return std::chrono::duration_cast<milliseconds>(sched.clock().now().time_since_epoch()).count(); }

  void enter(std::size_t caller, std::uint64_t id, std::string model = "m", std::int64_t limit = 600'000) {
    enter_gate e;
    e.id = id;
    e.model = std::move(model);
    e.since_ms = now() + ++order; // one after the other
    e.until_ms = now() + limit;
    caf::anon_send(callers[caller], std::move(e));
    settle();
  }

  void leave(std::size_t caller, std::uint64_t id, came what, std::int64_t wait_ms = 0) {
    leave_gate l;
    l.id = id;
    l.what = what;
    l.wait_ms = wait_ms;
    l.since_ms = now();
    l.failure = what == came::answered ? "" : "POST /v1: it failed";
    caf::anon_send(callers[caller], l);
    settle();
  }

  void pass(milliseconds t) {
    advance_time(t);
    settle();
  }
};

using texts = std::vector<std::string>;

} // namespace

CAF_TEST_FIXTURE_SCOPE(provider_gate_tests, gate_fixture)

CAF_TEST(a wait the server asked one caller for holds for all and ends in the order of their calls) {
  open();
  enter(0, 1);
  leave(0, 1, came::paced, 12'000);
  passed.clear();
  for (std::size_t i : {2, 0, 3, 1})
    enter(i, 7);
  CAF_CHECK(passed.empty());
  CAF_CHECK_EQUAL(waits.front(), "2.7: waiting 12 s for the rate limit of api.example");
  CAF_CHECK_EQUAL(waits.size(), 4u);
  pass(milliseconds(11'999));
  CAF_CHECK(passed.empty());
  pass(milliseconds(1));
  CAF_CHECK_EQUAL(passed, (texts{"2.7", "0.7", "3.7", "1.7"}));
  CAF_CHECK_EQUAL(waits.size(), 4u);
}

CAF_TEST(the head of a refusal paces before its end has come) {
  open();
  enter(0, 1);
  caf::anon_send(gate, gate_head{"m", {}, 5'000});
  settle();
  enter(1, 1);
  CAF_CHECK_EQUAL(passed, (texts{"0.1"}));
  leave(0, 1, came::paced, 5'000);
  pass(seconds(5));
  CAF_CHECK_EQUAL(passed, (texts{"0.1", "1.1"}));
}

CAF_TEST(requests a minute are shared and nobody overtakes) {
  open({}, {2, 0, 0});
  for (std::size_t i = 0; i < 4; ++i)
    enter(i, 1);
  CAF_CHECK_EQUAL(passed, (texts{"0.1", "1.1"}));
  CAF_CHECK_EQUAL(waits, (texts{"2.1: waiting 60 s for `rpm: 2` of `rate_limits` (api.example)",
                                "3.1: waiting 60 s for `rpm: 2` of `rate_limits` (api.example)"}));
  for (std::size_t i = 0; i < 2; ++i)
    leave(i, 1, came::answered);
  enter(0, 2);
  pass(seconds(60));
  CAF_CHECK_EQUAL(passed, (texts{"0.1", "1.1", "2.1", "3.1"}));
  pass(seconds(60));
  CAF_CHECK_EQUAL(passed.back(), "0.2");
}

CAF_TEST(a limit that another caller brings counts from then on) {
  open({}, {100, 0, 0});
  caf::anon_send(gate, gate_limits{{1, 0, 0}});
  settle();
  enter(0, 1);
  enter(1, 1);
  CAF_CHECK_EQUAL(passed, (texts{"0.1"}));
}

CAF_TEST(what a server tells of one model holds up no other) {
  open();
  caf::anon_send(gate, gate_head{"m", {{"requests", wire::rate_unit::requests, -1, 0, 30'000}}, -1});
  settle();
  enter(0, 1, "m");
  enter(1, 1, "other");
  enter(2, 1, "m");
  CAF_CHECK_EQUAL(passed, (texts{"1.1"}));
  pass(seconds(30));
  CAF_CHECK_EQUAL(passed, (texts{"1.1", "0.1", "2.1"}));
}

CAF_TEST(a wait beyond the deadline or beyond what is waited is refused at once) {
  open({}, {0, 0, 1});
  enter(0, 1);
  enter(1, 1, "m", INT64_C(360'000'000));
  CAF_CHECK_EQUAL(refused, (texts{"1.1: `rpd: 1` of `rate_limits` (api.example): the next request goes at 2026-11-27 12:00, later "
                                  "than a call waits"}));
  refused.clear();
  caf::anon_send(gate, gate_head{"m", {}, 20'000});
  pass(seconds(86'400 - 10));
  caf::anon_send(gate, gate_head{"m", {}, 20'000});
  settle();
  enter(2, 1, "m", 15'000);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(refused[0].find("after the deadline of this call") != std::string::npos);
}

CAF_TEST(who stands behind others is not kept beyond the deadline of its call) {
  open({}, {1, 0, 0});
  enter(0, 1);
  enter(1, 1, "m", 100'000);
  enter(2, 1, "m", 61'000); // its turn comes after two minutes
  pass(seconds(60));
  CAF_CHECK_EQUAL(passed, (texts{"0.1", "1.1"}));
  pass(milliseconds(1'000));
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(refused[0].starts_with("2.1: "));
}

CAF_TEST(an open breaker lets nobody through and then exactly one) {
  open();
  for (std::uint64_t i = 0; i < 5; ++i) {
    enter(i % 4, i);
    leave(i % 4, i, came::failed);
    pass(milliseconds(1));
  }
  passed.clear();
  for (std::size_t i = 0; i < 4; ++i)
    enter(i, 10);
  CAF_CHECK(passed.empty());
  CAF_CHECK_EQUAL(refused.size(), 4u);
  CAF_CHECK_EQUAL(refused[0], "0.10: POST /v1: it failed (failed too often lately, tried again at 12:01:01)");
  pass(seconds(60));
  for (std::size_t i = 0; i < 4; ++i)
    enter(i, 20);
  CAF_CHECK_EQUAL(passed, (texts{"0.20"}));
  leave(0, 20, came::answered);
  for (std::size_t i = 0; i < 4; ++i)
    enter(i, 30);
  CAF_CHECK_EQUAL(passed.size(), 5u);
}

CAF_TEST(a probe that fails has no second try) {
  open();
  for (std::uint64_t i = 0; i < 5; ++i) {
    enter(0, i);
    leave(0, i, came::failed);
    pass(milliseconds(1));
  }
  pass(seconds(60));
  passed.clear();
  enter(0, 9);
  leave(0, 9, came::retried);
  enter(0, 9);
  CAF_CHECK_EQUAL(passed, (texts{"0.9"}));
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(refused[0].find("tried again at 12:03:01") != std::string::npos);
}

CAF_TEST(a probe whose caller is gone leaves the next call to probe) {
  open();
  for (std::uint64_t i = 0; i < 5; ++i) {
    enter(0, i);
    leave(0, i, came::failed);
    pass(milliseconds(1));
  }
  pass(seconds(60));
  enter(1, 1);
  CAF_CHECK_EQUAL(passed.back(), "1.1");
  kill(callers[1]);
  settle();
  enter(2, 1);
  CAF_CHECK_EQUAL(passed.back(), "2.1");
}

CAF_TEST(a breaker that is switched off never opens) {
  breaker_policy off;
  off.enabled = false;
  open(off);
  for (std::uint64_t i = 0; i < 50; ++i) {
    enter(0, i);
    leave(0, i, came::failed);
  }
  CAF_CHECK_EQUAL(passed.size(), 50u);
}

CAF_TEST(a call that does not want any more keeps nobody waiting) {
  open({}, {1, 0, 0});
  enter(0, 1);
  enter(1, 1);
  enter(2, 1);
  leave(1, 1, came::nothing);
  pass(seconds(60));
  CAF_CHECK_EQUAL(passed, (texts{"0.1", "2.1"}));
}

CAF_TEST(who asked again while it waited was told of another wait each time) {
  open({}, {0, 0, 1});
  enter(0, 1);
  for (std::uint64_t i = 2; i < 5; ++i) {
    enter(0, i, "m", INT64_C(360'000'000));
    pass(milliseconds(2'700));
  }
  CAF_REQUIRE_EQUAL(refused.size(), 3u);
  for (auto& x : refused)
    CAF_CHECK_EQUAL(x.substr(x.find(':')), ": `rpd: 1` of `rate_limits` (api.example): the next request goes at 2026-11-27 12:00, "
                                           "later than a call waits");
}

CAF_TEST(a wait of more than two minutes opens the breaker at once) {
  open();
  enter(0, 1);
  leave(0, 1, came::shut, 500'000);
  enter(1, 1);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(refused[0].find("not tried before that wait is over, at 12:08:20") != std::string::npos);
  pass(seconds(500));
  enter(1, 2);
  enter(2, 2);
  CAF_CHECK_EQUAL(passed, (texts{"0.1", "1.2"})); // one probes
}

CAF_TEST_FIXTURE_SCOPE_END()
