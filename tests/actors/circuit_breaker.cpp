// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.circuit_breaker

// The guard of a model connection around one that plays what the test queued. The policy alone: breaker.cpp.

#include "support/guard_fixture.hpp"

CAF_TEST_FIXTURE_SCOPE(guard_tests, guard_fixture)

CAF_TEST(a failing call is tried three times and no more) {
  st->replies = {broken(ec::unavailable), broken(ec::unavailable), broken(ec::unavailable), completion{}};
  call();
  CAF_CHECK_EQUAL(st->calls, 1);
  pass(milliseconds(500));
  CAF_CHECK_EQUAL(st->calls, 2);
  pass(milliseconds(1'000));
  CAF_CHECK_EQUAL(st->calls, 3);
  pass(seconds(60));
  CAF_CHECK_EQUAL(st->calls, 3);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].code == ec::unavailable);
  CAF_CHECK_EQUAL(shown->size(), 2u); // each wait is shown
}

CAF_TEST(nothing is tried again after the first semantic event) {
  auto c = broken(ec::stream_broken);
  c.semantic = true;
  c.text = "half";
  st->replies = {c};
  call();
  pass(seconds(60));
  CAF_CHECK_EQUAL(st->calls, 1);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK_EQUAL(done[0].text, "half");
}

CAF_TEST(a server that says do not retry and a fatal code are obeyed) {
  auto c = broken(ec::unavailable);
  c.retryable_hint = false;
  st->replies = {c, broken(ec::unauthorized)};
  call(1);
  call(2);
  pass(seconds(60));
  CAF_CHECK_EQUAL(st->calls, 2);
  CAF_CHECK_EQUAL(done.size(), 2u);
}

CAF_TEST(a server that asks for another try gets it whatever the code) {
  auto c = broken(ec::bad_request);
  c.retry_asked = true;
  st->replies = {c, completion{}};
  call(1);
  pass(seconds(1));
  CAF_CHECK_EQUAL(st->calls, 2);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].status == completion_status::finished);
  st->replies = {c, c, c, c};
  call(2);
  for (int i = 0; i < 5; ++i)
    pass(seconds(10));
  CAF_CHECK_EQUAL(st->calls, 5); // three tries, as ever
  CAF_REQUIRE_EQUAL(done.size(), 2u);
  CAF_CHECK(done[1].code == ec::bad_request);
}

CAF_TEST(Retry After up to two minutes is waited for and a longer one is a failure now) {
  st->replies = {broken(ec::rate_limited, 120'000), completion{}, broken(ec::rate_limited, 120'001)};
  call(1);
  pass(milliseconds(119'999));
  CAF_CHECK_EQUAL(st->calls, 1);
  pass(milliseconds(1));
  CAF_CHECK_EQUAL(st->calls, 2);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].status == completion_status::finished);
  call(2);
  CAF_CHECK_EQUAL(st->calls, 3);
  CAF_REQUIRE_EQUAL(done.size(), 2u);
  CAF_CHECK(done[1].code == ec::rate_limited);
  call(3); // the gate is shut until then
  CAF_CHECK_EQUAL(st->calls, 3);
  CAF_REQUIRE_EQUAL(failed.size(), 1u);
  CAF_CHECK(code_of(failed[0]) == ec::breaker_open);
}

CAF_TEST(a model that is being loaded is waited for and is no failure) {
  auto loading = broken(ec::unavailable);
  loading.said = "Loading model (503 unavailable_error)";
  loading.usage.requests = 1;
  for (int i = 0; i < 20; ++i)
    st->replies.push_back(loading);
  call();
  for (int i = 0; i < 100 && done.empty(); ++i)
    pass(milliseconds(1000));
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].status == completion_status::finished);
  CAF_CHECK_EQUAL(done[0].usage.requests, 20); // of the peer, which reports none for its last
  CAF_CHECK_EQUAL(shown->size(), 1u);
  CAF_CHECK(shown->front().find("waiting until the model is loaded") != std::string::npos);
  // Not for ever: the first token is due. And it closes no gate.
  for (int i = 0; i < 1000; ++i)
    st->replies.push_back(loading);
  done.clear();
  for (std::uint64_t run = 2; run < 8; ++run) {
    call(run);
    for (int i = 0; i < 310; ++i)
      pass(milliseconds(1000));
    CAF_REQUIRE_EQUAL(done.size(), run - 1);
    CAF_CHECK(done.back().code == ec::timeout);
  }
  CAF_CHECK(failed.empty());
}

CAF_TEST(a reply that the model spoilt is neither repeated nor counted) {
  auto spoilt = broken(ec::bad_reply);
  spoilt.model_fault = true;
  for (std::uint64_t run = 1; run < 8; ++run) {
    st->replies.push_back(spoilt);
    call(run);
    CAF_CHECK_EQUAL(st->calls, static_cast<int>(run));
    CAF_REQUIRE_EQUAL(done.size(), run);
  }
  CAF_CHECK(failed.empty());
}

CAF_TEST(the requests and the tokens of all tries are added up) {
  auto c = broken(ec::unavailable);
  c.usage.requests = c.usage.input_tokens = 1;
  st->replies = {c, c, c};
  call();
  for (int i = 0; i < 20; ++i)
    pass(milliseconds(1000));
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].usage.requests == 3 && done[0].usage.input_tokens == 3);
}

CAF_TEST(under a budget a try that nobody counted is the last) {
  one_bill = true;
  st->replies = {broken(ec::unavailable), completion{}};
  st->replies[0].usage.unreported = 1;
  call();
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].status == completion_status::broken && done[0].usage.unreported == 1);
}

CAF_TEST(a call that waits for its next try ends at once when cancelled) {
  st->replies = {broken(ec::rate_limited, 30'000)};
  call(1);
  call(2); // waits at the gate, for the same
  CAF_CHECK_EQUAL(done.size(), 0u);
  cancel(2);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  done.clear();
  cancel(1);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].status == completion_status::cancelled);
  pass(seconds(60));
  CAF_CHECK_EQUAL(st->calls, 1); // the old timer finds nothing
  CAF_CHECK_EQUAL(done.size(), 1u);
}

CAF_TEST(cancelling all calls of a run reaches the waiting one and the one on the wire) {
  st->hang = true;
  call(1);
  st->hang = false;
  st->replies = {broken(ec::rate_limited, 30'000)};
  call(1);
  cancel(1);
  CAF_CHECK_EQUAL(done.size(), 2u);
  CAF_CHECK_EQUAL(st->cancels, 1);
}

CAF_TEST(one outage that meets many calls at once closes nothing) {
  for (int tries = 0; tries < 3; ++tries)
    for (int i = 0; i < 8; ++i)
      st->replies.push_back(broken(ec::unavailable));
  for (std::uint64_t i = 0; i < 8; ++i)
    call(i);
  pass(seconds(1));
  pass(seconds(1));
  CAF_CHECK_EQUAL(st->calls, 24);
  CAF_REQUIRE_EQUAL(done.size(), 8u);
  for (std::uint64_t i = 0; i < 8; ++i)
    call(i); // the peer is back
  CAF_REQUIRE_EQUAL(done.size(), 16u);
  CAF_CHECK(done.back().status == completion_status::finished);
}

CAF_TEST(a wait the server asked for holds for every call) {
  st->replies = {broken(ec::rate_limited, 5'000)};
  call(1);
  call(2);
  CAF_CHECK_EQUAL(st->calls, 1);
  pass(milliseconds(4'999));
  CAF_CHECK_EQUAL(st->calls, 1);
  pass(milliseconds(1));
  CAF_CHECK_EQUAL(st->calls, 3);
  CAF_CHECK_EQUAL(done.size(), 2u);
}

CAF_TEST(a closed gate names the cause and the wait) {
  trip();
  call();
  CAF_CHECK_EQUAL(st->calls, 0);
  CAF_REQUIRE_EQUAL(failed.size(), 1u);
  auto text = text_of(failed[0]);
  CAF_CHECK(text.find("POST /v1: unavailable") != std::string::npos);
  CAF_CHECK(text.find("60 s") != std::string::npos);
}

CAF_TEST(a cancelled probe does not shut the gate for ever) {
  trip();
  pass(seconds(60));
  st->hang = true;
  call(1);
  CAF_CHECK_EQUAL(st->calls, 1);
  call(2); // beside the probe nobody gets through
  CAF_CHECK_EQUAL(st->calls, 1);
  cancel(1);
  check_gate_opens();
}

CAF_TEST(a probe refused for its own fault does not shut the gate for ever) {
  trip();
  pass(seconds(60));
  st->replies = {broken(ec::bad_request)};
  call(1);
  CAF_CHECK_EQUAL(done.size(), 1u);
  check_gate_opens();
}

CAF_TEST(a probe told to wait probes again and does not shut the gate for ever) {
  trip();
  pass(seconds(60));
  st->replies = {broken(ec::rate_limited, 2'000), completion{}};
  call(1);
  pass(seconds(2));
  CAF_CHECK_EQUAL(st->calls, 2);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].status == completion_status::finished);
  check_gate_opens();
}

CAF_TEST(a probe that could not be sent does not shut the gate for ever) {
  trip();
  pass(seconds(60));
  st->errors = {make_error(ec::bad_config, "cannot encode")};
  call(1);
  CAF_CHECK_EQUAL(failed.size(), 1u);
  check_gate_opens();
}

CAF_TEST(the end of the guard answers every call and ends what it guards) {
  st->hang = true;
  call(1);
  st->hang = false;
  st->replies = {broken(ec::rate_limited, 30'000)};
  call(2);
  kill(guard);
  CAF_REQUIRE_EQUAL(done.size(), 2u);
  CAF_CHECK(done[0].status == completion_status::cancelled);
  CAF_CHECK(done[1].status == completion_status::cancelled);
}

CAF_TEST(a wait that is a little too long is told to the second) {
  const std::pair<std::int64_t, const char*> waits[] = {{120'001, "2 min 1 s"}, {120'400, "2 min 1 s"}, {121'000, "2 min 1 s"},
                                                        {179'001, "3 min"},     {3'600'000, "60 min"},  {119'001, "120 s"}};
  for (auto& [ms, text] : waits)
    CAF_CHECK_EQUAL(wait_text(ms), text);
  st->replies = {broken(ec::rate_limited, 120'400)};
  call(1);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK(done[0].error.find("the server asks for a wait of 2 min 1 s, a call waits 2 min at most") != std::string::npos);
}

CAF_TEST(a long wait fails the call now and holds whatever else succeeds) {
  for (auto code : {ec::rate_limited, ec::unavailable}) {
    st->hang = true;
    call(1); // under way while the other is told to wait
    st->hang = false;
    st->replies = {broken(code, 7'200'001)};
    call(2);
    CAF_REQUIRE_EQUAL(done.size(), 1u);
    CAF_CHECK(done[0].error.find("the server asks for a wait of 3 h, a call waits 2 min at most") != std::string::npos);
    caf::anon_send(guard, ladder_note{});
    settle();
    CAF_CHECK_EQUAL(done.size(), 2u);
    st->calls = 0;
    call(3);
    CAF_CHECK_EQUAL(st->calls, 0);
    CAF_REQUIRE_EQUAL(failed.size(), 1u);
    CAF_CHECK(code_of(failed[0]) == ec::breaker_open);
    CAF_CHECK(text_of(failed[0]).find("not tried before that wait is over, in 3 h") != std::string::npos);
    pass(milliseconds(7'200'001));
    check_gate_opens();
    done.clear();
  }
}

CAF_TEST(a call costs no more requests than it may) {
  auto c = broken(ec::unavailable);
  c.usage.requests = 4; // with the redirects that each followed
  st->replies = {c, c, c};
  budget = 7;
  call();
  pass(seconds(60));
  CAF_CHECK_EQUAL(st->calls, 2);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK_EQUAL(done[0].usage.requests, 8); // the peer kept no count
  CAF_CHECK_EQUAL(st->allowed, (std::vector<std::int64_t>{7, 3}));
}

CAF_TEST(no try begins once the deadline of the call is over) {
  limit = 10'000;
  st->replies = {broken(ec::unavailable), broken(ec::rate_limited, 9'000), completion{}};
  call();
  pass(milliseconds(500));
  CAF_CHECK_EQUAL(st->calls, 2);
  CAF_CHECK(done.empty());
  pass(milliseconds(9'000));
  CAF_CHECK_EQUAL(st->calls, 3);
  CAF_CHECK_EQUAL(st->limits, (std::vector<std::int64_t>{10'000, 9'500, 500})); // less what the jitter gave back
  done.clear();
  st->replies = {broken(ec::rate_limited, 10'000)};
  call(2);
  CAF_REQUIRE_EQUAL(done.size(), 1u); // now, not when it is too late
  CAF_CHECK(done[0].error.find("its deadline (`timeout`) comes before another try") != std::string::npos);
}

CAF_TEST(keys of other agents are taken out of what a server says of a failure) {
  auto hidden = std::make_shared<secrets_of_tasks>();
  auto of_one = std::make_shared<known_secrets>(secrets{}), of_other = std::make_shared<known_secrets>(secrets{});
  hidden->add(of_one);
  hidden->add(of_other);
  auto own = std::exchange(guard, spawn_guarded_backend(sys, sys.spawn(peer, st), random_stream{1}, {}, hidden));
  auto told = broken(ec::unauthorized);
  told.error = "used up by keys planted-key-1 and planted-key-2";
  told.said = "planted-key-2 it is";
  secrets later; // of agents that came after the connection
  later.add_key("planted-key-1");
  of_one->add(later);
  secrets others;
  others.add_key("planted-key-2");
  of_other->add(others);
  st->replies = {told};
  call(1);
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK_EQUAL(done[0].error, "used up by keys *** and ***");
  CAF_CHECK_EQUAL(done[0].said, "*** it is");
  // What is shown while it is tried again, too.
  told.code = ec::unavailable;
  st->replies = {told};
  shown->clear();
  call(2);
  CAF_REQUIRE(!shown->empty());
  for (auto& text : *shown)
    CAF_CHECK(text.find("planted") == std::string::npos);
  // Of a task that has ended nothing is kept.
  of_other.reset();
  std::string text = "planted-key-1 planted-key-2";
  hidden->hide(text);
  CAF_CHECK_EQUAL(text, "*** planted-key-2");
  kill(guard);
  guard = own;
}

CAF_TEST(calls through two connections to one key wait for the same gate) {
  auto shared = spawn_provider_gate(sys, "api.example");
  auto second = sys.spawn(peer, st);
  auto first = spawn_guarded_backend(sys, sys.spawn(peer, st), random_stream{1}, shared);
  auto other = spawn_guarded_backend(sys, second, random_stream{1}, shared);
  auto own = std::exchange(guard, first);
  st->replies = {broken(ec::rate_limited, 12'000)};
  call(1);
  guard = other;
  call(2);
  CAF_CHECK_EQUAL(st->calls, 1);
  CAF_REQUIRE_EQUAL(shown->size(), 2u);
  CAF_CHECK_EQUAL(shown->back(), "waiting 12 s for the rate limit of api.example");
  pass(milliseconds(11'999));
  CAF_CHECK_EQUAL(st->calls, 1);
  pass(milliseconds(1));
  CAF_CHECK_EQUAL(st->calls, 3);
  cancel(3); // finds nothing
  guard = own;
  kill(first);
  kill(other);
  kill(shared);
}

CAF_TEST_FIXTURE_SCOPE_END()
