// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.run_failover

#include "caf/test/unit_test.hpp"
#include "support/run_driver.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

struct failover_driver : run_driver {
  failover_driver() {
    with.agent.backend.type = "openai";
    with.agent.backend.model = "first";
    with.agent.backend.decision = "auto";
    backend_config b;
    b.type = "claude";
    b.model = "second";
    b.params = R"({"temperature":1})";
    b.max_tokens = 99;
    b.timeout_ms = 5'000;
    with.agent.failover.push_back(b);
    b.type = "local";
    b.model = "third";
    with.agent.failover.push_back(b);
  }

  void lose(ec code) { put(run::model_failed{s.model_call, code, "the breaker is open"}); }
};

const tool_call answer{"a", "new_answer", R"({"content":"42"})"};

} // namespace

CAF_TEST_FIXTURE_SCOPE(run_failover_tests, failover_driver)

CAF_TEST(a backend that is out is followed by the next with the same conversation) {
  for (auto code :
       {ec::unauthorized, ec::unavailable, ec::timeout, ec::rate_limited, ec::bad_reply, ec::bad_request, ec::bad_config}) {
    failover_driver d;
    d.start();
    auto talk = d.s.talk;
    d.reply(broken(code, "POST https://a/v1: it is out"));
    auto r = d.the<run::report>();
    CAF_CHECK(r.ended.size() == 1 && r.begun.size() == 1 && !r.has_verdict);
    CAF_CHECK_EQUAL(r.backend, 1u);
    CAF_CHECK_EQUAL(r.moved,
                    "goes on with claude second at api.anthropic.com instead of openai first: POST https://a/v1: it is out");
    d.rule();
    auto sent = d.the<run::send_model>().request;
    CAF_CHECK(sent.model == "second" && sent.messages == talk && sent.max_output_tokens == 99 && sent.total_timeout_ms == 5'000);
    CAF_CHECK_EQUAL(sent.params, R"({"temperature":1})");
    CAF_CHECK_EQUAL(sent.max_requests, max_vain_requests); // what the other one cost is not its fault
  }
}

CAF_TEST(a call that could not be sent goes to the next backend) {
  start();
  lose(ec::breaker_open);
  CAF_CHECK_EQUAL(the<run::report>().backend, 1u);
  rule();
  CAF_CHECK_EQUAL(the<run::send_model>().request.model, "second");
}

CAF_TEST(a server that refuses the seal of another model says no more than that an argument is invalid) {
  start();
  auto turn = calls({{"c1", "look", "{}"}});
  turn.opaque = R"([{"thoughtSignature":"c2VhbA=="}])";
  turn.opaque_dialect = "gemini";
  reply(std::move(turn));
  rule();
  tool(2);
  rule();
  auto refusal = "Request contains an invalid argument. (INVALID_ARGUMENT)";
  reply(broken(ec::bad_request, refusal));
  CAF_CHECK(says(the<run::tell>().text, refusal));
  CAF_CHECK_EQUAL(the<run::report>().backend, 0u);
  rule();
  reply(broken(ec::bad_request, refusal)); // it was about something else
  CAF_CHECK_EQUAL(the<run::report>().backend, 1u);
}

CAF_TEST(turns that another provider sealed go on as their text and calls) {
  start();
  auto turn = calls({{"c1", "look", "{}"}});
  turn.opaque = R"([{"type":"reasoning","encrypted_content":"c2VhbA=="}])";
  turn.opaque_dialect = "openai_responses";
  reply(std::move(turn));
  rule();
  tool(2);
  rule();
  auto sealed = [&] { return std::count_if(s.talk.begin(), s.talk.end(), [](auto& m) { return !m.opaque.empty(); }); };
  CAF_REQUIRE_EQUAL(sealed(), 1);
  auto refusal = "The encrypted content for item rs_1 could not be verified.";
  reply(broken(ec::bad_request, refusal));
  CAF_CHECK(says(the<run::tell>().text, refusal));
  auto r = the<run::report>();
  CAF_CHECK(r.begun.size() == 1u && r.backend == 0 && sealed() == 0);
  CAF_CHECK(s.talk[2].calls.size() == 1u && s.talk[3].text == "seen");
  rule();
  CAF_CHECK_EQUAL(s.kept, s.talk.size());
  reply(broken(ec::bad_request, refusal)); // of which there is nothing any more: as any other refusal
  CAF_CHECK_EQUAL(the<run::report>().backend, 1u);
}

CAF_TEST(nobody is asked a second time once part of the reply was used) {
  for (auto code : {ec::stream_broken, ec::timeout, ec::unavailable}) {
    failover_driver d;
    d.start();
    auto c = broken(code, "it broke off");
    c.semantic = true;
    c.text = "half";
    d.reply(std::move(c));
    auto r = d.the<run::report>();
    CAF_CHECK(r.has_verdict && r.handed_in.code == code && r.backend == 0);
  }
}

CAF_TEST(what is no fault of the backend leads to no other) {
  for (auto code : {ec::cancelled, ec::denied, ec::context_overflow, ec::version_mismatch}) {
    failover_driver d;
    d.start();
    d.reply(broken(code, "x"));
    CAF_CHECK_EQUAL(d.s.memory.backend, 0u);
  }
  start();
  put(run::cancelled{"x"});
  lose(ec::unavailable); // in the middle of being cancelled
  CAF_CHECK(the<run::report>().has_verdict && s.memory.backend == 0);
}

CAF_TEST(results of tools stay in the conversation that the next backend gets) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  put(run::tool_done{the<run::send_tool>().call, {"c1", "seen", false}, "finished", {}});
  rule();
  auto talk = s.talk;
  lose(ec::breaker_open);
  rule();
  auto sent = the<run::send_model>().request;
  CAF_CHECK(sent.model == "second" && sent.messages == talk && talk.back().tool_call_id == "c1");
  lose(ec::unavailable); // a model that begins at another step goes on in the middle of a run as the run stands
  rule();
  sent = the<run::send_model>().request;
  CAF_CHECK(sent.model == "third" && sent.messages == talk && sent.schema.empty());
}

CAF_TEST(at the beginning of a run the next backend is asked as it takes it) {
  auto t = task(7, true);
  start(t);
  lose(ec::unavailable);
  rule();
  CAF_CHECK(the<run::send_model>().request.schema.empty());
  lose(ec::unavailable);
  rule();
  auto sent = the<run::send_model>().request;
  CAF_CHECK(sent.model == "third" && !sent.schema.empty()); // a local model decides by schema
}

CAF_TEST(the last backend fails the run and the next run stays with it) {
  start();
  lose(ec::unavailable);
  rule();
  lose(ec::unavailable);
  CAF_CHECK_EQUAL(the<run::report>().backend, 2u);
  rule();
  lose(ec::unavailable);
  CAF_CHECK(the<run::report>().has_verdict);
  put(run::started{task(8)});
  put(run::prepared{8, {}});
  rule();
  CAF_CHECK_EQUAL(the<run::send_model>().request.model, "third");
}

CAF_TEST(a backend that cannot even be described gives way to the next) {
  put(run::started{task()});
  put(run::unprepared{7, ec::unauthorized, "no key: set OPENAI_API_KEY"});
  CAF_CHECK_EQUAL(got<run::prepare>().size(), 1u);
  auto r = the<run::report>();
  CAF_CHECK(r.backend == 1 && !r.ask && says(r.moved, "no key: set OPENAI_API_KEY"));
  put(run::prepared{7, {}});
  rule();
  CAF_CHECK_EQUAL(the<run::send_model>().request.model, "second");
}

CAF_TEST(which backend answers survives a crash) {
  start();
  lose(ec::unavailable);
  rule();
  auto stored = run::to_json(s);
  run::state again;
  std::string error;
  CAF_REQUIRE(run::from_json(stored, again, error));
  CAF_CHECK_EQUAL(again.memory.backend, 1u);
  again.talk = s.talk;
  s = std::move(again);
  put(run::continued{task(9), {}, false, {}});
  rule();
  CAF_CHECK_EQUAL(the<run::send_model>().request.model, "second");
  s.memory.backend = 4'000'000'000; // of a damaged store: the last one
  put(run::model_failed{s.model_call, ec::unavailable, "x"});
  CAF_CHECK(the<run::report>().has_verdict);
}

CAF_TEST(the error of the last backend hid those before it) {
  start();
  reply(broken(ec::unauthorized, "401 bad key"));
  rule();
  reply(broken(ec::bad_request, "404 no such model"));
  rule();
  put(run::model_failed{s.model_call, ec::unavailable, "no local model"});
  auto told = the<run::report>().handed_in;
  CAF_CHECK_EQUAL(told.reason, "openai first: 401 bad key; claude second: 404 no such model; local third: no local model");
  CAF_CHECK(told.code == ec::unavailable);
  put(run::started{task(8)}); // each run that fails says so, and none says more
  put(run::prepared{8, {}});
  rule();
  put(run::model_failed{s.model_call, ec::timeout, "too slow"});
  CAF_CHECK_EQUAL(the<run::report>().handed_in.reason,
                  "openai first: 401 bad key; claude second: 404 no such model; local third: too slow");
}

CAF_TEST(an error that no other backend mends is told alone) {
  start();
  lose(ec::unavailable);
  rule();
  put(run::model_failed{s.model_call, ec::version_mismatch, "another version"});
  CAF_CHECK_EQUAL(the<run::report>().handed_in.reason, "another version");
}

CAF_TEST(a backend that cannot be asked was moved to and told of twice) {
  with.unusable = {"", "no key: set ANTHROPIC_API_KEY", ""};
  start();
  lose(ec::unavailable);
  auto r = the<run::report>();
  CAF_CHECK_EQUAL(r.backend, 2u);
  CAF_CHECK_EQUAL(r.moved, "goes on with local third instead of openai first: the breaker is open");
  rule();
  CAF_CHECK_EQUAL(the<run::send_model>().request.model, "third");
  lose(ec::timeout);
  CAF_CHECK_EQUAL(the<run::report>().handed_in.reason, "openai first: the breaker is open; claude second: no key: set "
                                                       "ANTHROPIC_API_KEY; local third: the breaker is open");
}

CAF_TEST(where no other backend can be asked the agent stays with its own) {
  with.unusable = {"", "no key", "no model"};
  start();
  lose(ec::unavailable);
  auto r = the<run::report>();
  CAF_CHECK(r.backend == 0 && r.handed_in.code == ec::unavailable && s.memory.backend == 0);
  CAF_CHECK_EQUAL(r.handed_in.reason, "openai first: the breaker is open; claude second: no key; local third: no model");
}

CAF_TEST(a backend that a budget has no room for ended the chain) {
  start();
  reply(calls({{"c1", "look", "{}"}}));
  rule();
  put(run::tool_done{the<run::send_tool>().call, {"c1", "seen", false}, "finished", {}});
  auto talk = s.talk;
  rule(ruling_kind::refused, "the budget of writer might be exceeded", ec::budget_exceeded);
  auto r = the<run::report>();
  CAF_CHECK(r.backend == 1 && r.begun.size() == 1 && !r.has_verdict);
  CAF_CHECK(says(r.moved, "instead of openai first: the model call was refused: the budget of writer might be exceeded"));
  CAF_CHECK_EQUAL(r.begun[0].reserve.output_tokens, 99); // its own estimate is judged
  CAF_CHECK_EQUAL(s.kept, 2u);                           // what was said with the refused call is not in the log
  rule();
  CAF_CHECK(the<run::send_model>().request.messages == talk);
  lose(ec::unavailable);
  rule(ruling_kind::refused, "used up", ec::budget_exceeded);
  auto v = the<run::report>().handed_in;
  CAF_CHECK(v.code == ec::budget_exceeded && says(v.reason, "openai first: the model call was refused: the budget of writer"));
}

CAF_TEST(a refusal of another kind leads to no other backend) {
  put(run::started{task()});
  put(run::prepared{7, {}});
  rule(ruling_kind::refused, "made before");
  CAF_CHECK(the<run::report>().has_verdict && s.memory.backend == 0);
}

CAF_TEST_FIXTURE_SCOPE_END()
