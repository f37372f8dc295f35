// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a call may use at most, what it cost, and how a run tells both (docs/protocol.md 8.5).

#define CAF_SUITE protocols.cost

#include "protocols/cost.hpp"

#include "caf/test/unit_test.hpp"
#include "support/run_driver.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

usage counted(std::int64_t input, std::int64_t output) {
  usage u;
  u.input_tokens = input;
  u.output_tokens = output;
  return u;
}

const price dear{100, 10, 125, 1'000, 7'000, 9'000, 50'000};

} // namespace

CAF_TEST(each kind of token has its own price and none is counted twice) {
  auto u = counted(1'000, 100);
  u.cached_input_tokens = 300;
  u.cache_write_tokens = 200;
  u.audio_input_tokens = 50;
  u.audio_output_tokens = 10;
  u.reasoning_tokens = 40; // of the output, at its price
  u.hosted_calls = 2;
  put_cost(u, dear);
  CAF_CHECK_EQUAL(u.cost_nano_usd, 300 * 10 + 200 * 125 + 50 * 7'000 + 450 * 100 + 10 * 9'000 + 90 * 1'000 + 2 * 50'000);
  CAF_CHECK_EQUAL(u.unpriced, 0);
}

CAF_TEST(a part that has no price makes the cost a lower bound) {
  auto without = dear;
  without.per_hosted_call = -1;
  auto u = counted(10, 0);
  put_cost(u, without);
  CAF_CHECK_EQUAL(u.unpriced, 0);
  u.hosted_calls = 1;
  put_cost(u, without);
  CAF_CHECK(u.unpriced == 1 && u.cost_nano_usd == 1'000);
}

CAF_TEST(a price nobody knows is never zero) {
  auto u = counted(10, 10);
  u.cost_nano_usd = 5; // as a node may say
  put_cost(u, {});
  CAF_CHECK(u.unpriced == 1 && u.cost_nano_usd == 0);
  usage none;
  none.requests = 1; // refused by the server: nothing was counted, nothing is billed
  put_cost(none, {});
  CAF_CHECK_EQUAL(none.unpriced, 0);
  none.unreported = 1;
  put_cost(none, dear);
  CAF_CHECK_EQUAL(none.unpriced, 1);
}

CAF_TEST(counts that no provider can mean do not overflow) {
  auto u = counted(INT64_MAX, INT64_MAX);
  u.cached_input_tokens = INT64_MAX;
  u.audio_output_tokens = -5;
  u.hosted_calls = INT64_MAX;
  put_cost(u, price{INT64_MAX, INT64_MAX, 0, INT64_MAX, 0, 0, INT64_MAX});
  CAF_CHECK(u.cost_nano_usd > 0);
  amount sum;
  for (int i = 0; i < 5; ++i)
    add(sum, {INT64_MAX, INT64_MAX});
  CAF_CHECK(sum.tokens > 0 && sum.nano_usd > 0);
  add(sum, {-1, -1});
  CAF_CHECK(amount_of(counted(-7, 3)) == (amount{3, 0}));
}

CAF_TEST(a reserve is the bytes of the request and the bound of its reply) {
  model_request r;
  backend_config b;
  message m;
  m.text.assign(2'000, 'x');
  auto u = reserve_for(r, {m, m}, b);
  CAF_CHECK_EQUAL(u.input_tokens, 2'000 + 2 * tokens_per_message + tokens_per_request);
  CAF_CHECK_EQUAL(u.output_tokens, default_reply_tokens);
  r.max_output_tokens = 100;
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 100);
  r.params = R"({"max_completion_tokens": 70, "max_output_tokens": 300})";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 300);
  b.extra_body = R"({"generationConfig": {"maxOutputTokens": 800}})";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 800);
  b.extra_body = R"({"thinking": {"type": "enabled", "budget_tokens": 5000}})";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 5'000 + default_reply_tokens);
  b.extra_body = R"({"max_tokens": null})"; // the request has no bound but that of the parameters
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 300);
  r.params = R"({"max_tokens": 300})";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, default_reply_tokens);
  b.extra_body = R"({"max_tokens": null, "max_completion_tokens": 20})";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 20);
  r.params = R"({"generation_config": {"max_output_tokens": 400}})";
  b.extra_body = "";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 400);
  for (auto* taken : {R"({"generationConfig": null})", R"({"generationConfig": {"maxOutputTokens": null}})"}) {
    b.extra_body = taken;
    CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, default_reply_tokens);
  }
  r.params = R"({"max_completion_tokens": 70, "max_output_tokens": 300})";
  b.extra_body = R"({"max_tokens": "many"})";
  CAF_CHECK_EQUAL(reserve_for(r, {m}, b).output_tokens, 300);
  m.parts.push_back({content_kind::image, "[image]", "image/png", std::string(100'000, 'A'), ""});
  CAF_CHECK_EQUAL(reserve_for(r, {m}, {}).input_tokens
                      - reserve_for(r, {message{m.from, m.text, {}, {}, {}, false, {}, {}}}, {}).input_tokens,
                  tokens_per_picture);
}

CAF_TEST(a reserve is priced at the dearest that its tokens may be) {
  auto u = counted(1'000, 10);
  put_highest_cost(u, dear);
  CAF_CHECK_EQUAL(u.cost_nano_usd, 1'000 * 125 + 10 * 1'000);
}

CAF_TEST(what a cache keeps for an hour was priced as what it keeps for five minutes) {
  auto u = counted(1'000, 0);
  u.cache_write_tokens = 400;
  u.cache_write_1h_tokens = 300;
  put_cost(u, dear);
  CAF_CHECK_EQUAL(u.cost_nano_usd, 300 * 2 * 100 + 100 * 125 + 600 * 100);
  u.cache_write_1h_tokens = INT64_MAX; // never more than what was written
  put_cost(u, dear);
  CAF_CHECK_EQUAL(u.cost_nano_usd, 400 * 2 * 100 + 600 * 100);
  model_request r;
  backend_config b;
  r.params = R"({"cache_control":{"type":"ephemeral","ttl":"1h"}})";
  auto reserve = reserve_for(r, {}, b);
  put_highest_cost(reserve, dear);
  CAF_CHECK_EQUAL(reserve.cost_nano_usd, reserve.input_tokens * 2 * 100 + reserve.output_tokens * 1'000);
}

CAF_TEST(fees of the tools that a provider runs were not reserved) {
  model_request r;
  backend_config b;
  b.type = "claude";
  b.model = "claude-sonnet-5-5";
  b.hosted_tools = {{"web_search", R"({"max_uses":3})"}, {"url_context", R"({"max_uses":2})"}};
  auto u = reserve_for(r, {}, b);
  CAF_CHECK_EQUAL(u.hosted_calls, 5);
  auto without = u;
  without.hosted_calls = 0;
  put_highest_cost(u, dear);
  put_highest_cost(without, dear);
  CAF_CHECK_EQUAL(u.cost_nano_usd - without.cost_nano_usd, 5 * 50'000);
  auto no_fee = dear; // an unknown fee is counted once it is reported; it refuses nothing
  no_fee.per_hosted_call = -1;
  put_highest_cost(u, no_fee);
  CAF_CHECK_EQUAL(u.unpriced, 0);
  for (auto* odd : {"{}", R"({"max_uses":"3"})", R"({"max_uses":-1})", "3"}) {
    b.hosted_tools = {{"web_search", odd}, {"code_execution", R"({"max_uses":7})"}};
    CAF_CHECK_EQUAL(reserve_for(r, {}, b).hosted_calls, 0);
  }
  b.hosted_tools = {{"web_search", R"({"max_uses":9223372036854775807})"}, {"url_context", R"({"max_uses":9223372036854775807})"}};
  u = reserve_for(r, {}, b);
  put_highest_cost(u, dear);
  CAF_CHECK(u.hosted_calls > 0 && u.cost_nano_usd > 0);
  b.type = "openai";
  b.model = "gpt-6-luna";
  b.params = R"({"max_tool_calls":4})";
  CAF_CHECK_EQUAL(reserve_for(r, {}, b).hosted_calls, 4); // of all tools together
}

CAF_TEST(a request is measured in one way and at two sizes of a token) {
  model_request r;
  message m;
  m.text.assign(4'000, 'x');
  m.parts.push_back({content_kind::image, "[image]", "image/png", std::string(100'000, 'A'), ""});
  auto apart = tokens_per_request + tokens_per_message + tokens_per_picture;
  CAF_CHECK_EQUAL(input_tokens_of(r, {m}, 0, bytes_per_token), 2'000 + apart);
  CAF_CHECK_EQUAL(input_tokens_of(r, {m}, 0, usual_bytes_per_token), 1'000 + apart);
}

CAF_TEST(models that the user runs cost nothing and unknown ones have no price) {
  backend_config b;
  b.model = "no-such-model";
  for (auto* type : {"local", "scripted", "lmstudio", "vllm", "sglang"}) {
    b.type = type;
    CAF_CHECK(price_for(b, 0, 0, {}) == (price{0, 0, 0, 0, 0, 0, 0}));
  }
  b.type = "chatcompletion";
  CAF_CHECK(!price_for(b, 0, 0, {}));
  for (auto* url : {"http://localhost:11434/v1", "http://10.0.0.7:11434", "localhost:11434/v1?x=y"}) { // Ollama
    b.base_url = url;
    CAF_CHECK(price_for(b, 0, 0, {}) == no_price);
  }
  for (auto* url : {"http://localhost:1143/v1", "http://localhost/v1?at=:11434", "http://localhost:4000/:11434"}) {
    b.base_url = url;
    CAF_CHECK(!price_for(b, 0, 0, {}));
  }
  usage nobody_counted;
  nobody_counted.unreported = 1;
  put_cost(nobody_counted, no_price);
  CAF_CHECK_EQUAL(nobody_counted.unpriced, 0);
  put_cost(nobody_counted, price{0, 0, 0, 1, 0, 0, 0});
  CAF_CHECK_EQUAL(nobody_counted.unpriced, 1);
}

CAF_TEST(sums of money are read as people write them) {
  CAF_CHECK_EQUAL(dollars(0), "$0.0000");
  CAF_CHECK_EQUAL(dollars(99'999), "under $0.0001");
  CAF_CHECK_EQUAL(dollars(12'340'000), "$0.0123");
  CAF_CHECK_EQUAL(dollars(999'960'000), "$1.0000");
  CAF_CHECK_EQUAL(dollars(12'345'000'000), "$12.35");
  CAF_CHECK_EQUAL(dollars(1'234'567'890'000'000), "$1,234,567.89");
  CAF_CHECK_EQUAL(thousands(-1'234), "-1,234");
  CAF_CHECK_EQUAL(thousands(123), "123");
}

CAF_TEST_FIXTURE_SCOPE(cost_of_runs, run_driver)

CAF_TEST(a run says what its model call may use and none for its tools) {
  with.agent.backend.max_tokens = 77;
  put(run::started{task()});
  backend_info info;
  info.step = "tools";
  put(run::prepared{7, info});
  auto first = the<run::report>().begun.at(0);
  CAF_CHECK_EQUAL(first.reserve.output_tokens, 77);
  rule();
  auto req = the<run::send_model>().request;
  CAF_CHECK(first.reserve == reserve_for(req, req.messages, with.agent.backend));
  CAF_CHECK(!req.one_bill);
  reply(calls({{"1", "look", "{}"}}));
  CAF_CHECK(the<run::report>().begun.at(0).reserve == usage{});
}

CAF_TEST(a run whose call the budget refuses fails with its code) {
  with.agent.budget.counted = true;
  put(run::started{task()});
  backend_info info;
  info.step = "tools";
  put(run::prepared{7, info});
  put(run::ruled{s.awaited, {ruling_kind::refused, "no room", {}, ec::budget_exceeded}});
  auto r = the<run::report>();
  CAF_CHECK(r.has_verdict && r.handed_in.code == ec::budget_exceeded);
  CAF_CHECK_EQUAL(r.handed_in.reason, "the model call was refused: no room");
}

CAF_TEST(a call whose connection is gone may have cost something and one that was never sent has not ) {
  for (auto gone : {true, false}) {
    start();
    with.agent.budget.tokens = 5;
    put(run::model_failed{s.model_call, ec::unavailable, "gone", gone});
    auto r = the<run::report>();
    CAF_CHECK_EQUAL(r.ended.at(0).use.unreported, gone ? 1 : 0);
  }
  start();
  CAF_CHECK(the<run::send_model>().request.one_bill);
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(where one of several models may answer the dearest counts) {
  model_row cheap, dear;
  cheap.provider = dear.provider = "openrouter";
  cheap.names = {"house/cheap"};
  cheap.prices.push_back({0, 0, 0, 0, {10, -1, -1, 20, -1, -1, 5}});
  dear.names = {"house/dear"};
  dear.prices.push_back({0, 0, 0, 0, {30, 1, 40, 15, 7, 7, 2}});
  backend_config b;
  b.type = "openrouter";
  b.model = "house/cheap";
  auto asked = [&] { return price_for(b, 0, 0, {cheap, dear}); };
  CAF_CHECK(asked() == price_of("openrouter", "house/cheap", 0, 0, {cheap}));
  for (auto* text : {&b.params, &b.extra_body}) {
    *text = R"({"models": ["house/cheap", "house/dear"]})";
    CAF_CHECK(asked() == (price{30, 10, 40, 20, -1, -1, 5}));
    *text = R"({"models": ["nobody/knows"]})";
    CAF_CHECK(!asked());
    *text = "";
  }
  b.extra_body = R"({"model": "house/dear"})";
  CAF_CHECK(asked() == dear.prices.front().value);
}
