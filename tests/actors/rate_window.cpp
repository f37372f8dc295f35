// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.rate_window

#include "actors/rate_window.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;
using wire::rate_unit;

namespace {

constexpr std::int64_t longest = 120'000;

std::vector<wire::rate_state> told(rate_unit unit, std::int64_t limit, std::int64_t remaining, std::int64_t reset_ms) {
  return {{"w", unit, limit, remaining, reset_ms}};
}

} // namespace

CAF_TEST(a minute holds as many requests as it may and slides) {
  rate_limiter l;
  l.limit({3, 0, 0});
  for (std::int64_t at : {0, 10'000, 20'000}) {
    CAF_CHECK_EQUAL(l.wait("m", 1, at, longest).ms, 0);
    l.take("m", 1, at);
  }
  CAF_CHECK_EQUAL(l.wait("m", 1, 20'000, longest).ms, 40'000);
  CAF_CHECK_EQUAL(l.wait("other", 1, 20'000, longest).limit, "`rpm: 3`"); // of the key, whatever the model
  CAF_CHECK_EQUAL(l.wait("m", 1, 59'999, longest).ms, 1);
  CAF_CHECK_EQUAL(l.wait("m", 1, 60'000, longest).ms, 0);
  l.take("m", 1, 60'000);
  CAF_CHECK_EQUAL(l.wait("m", 1, 60'000, longest).ms, 10'000);
}

CAF_TEST(tokens count as they were estimated until their reply tells) {
  rate_limiter l;
  l.limit({0, 1'000, 0});
  auto first = l.take("m", 400, 0);
  CAF_CHECK_EQUAL(l.wait("m", 600, 0, longest).ms, 0);
  l.correct(first, 900);
  CAF_CHECK_EQUAL(l.wait("m", 600, 1'000, longest).ms, 59'000);
  CAF_CHECK_EQUAL(l.wait("m", 100, 1'000, longest).ms, 0);
  CAF_CHECK_EQUAL(l.wait("m", 5'000, 60'000, longest).ms, 0); // more than ever fits: alone
  l.correct(77, 1'000'000);                                   // of nobody
  CAF_CHECK_EQUAL(l.wait("m", 100, 1'000, longest).ms, 0);
}

CAF_TEST(the strictest of two limits counts) {
  CAF_CHECK((strictest({10, 0, 5}, {3, 7, 0}) == rate_limits{3, 7, 5}));
  rate_limiter l;
  l.limit({10, 0, 0});
  l.limit({1, 0, 0});
  l.limit({5, 0, 0});
  l.take("m", 1, 0);
  CAF_CHECK_EQUAL(l.wait("m", 1, 0, longest).ms, 60'000);
}

CAF_TEST(the limit of a day lasts a day) {
  rate_limiter l;
  l.limit({0, 0, 1});
  l.take("m", 1, 0);
  CAF_CHECK_EQUAL(l.wait("m", 1, 60'000, longest).ms, 86'340'000);
}

CAF_TEST(what a server tells of a model holds for that model) {
  rate_limiter l;
  l.learn("m", told(rate_unit::requests, 60, 0, 60'000), 1'000);
  CAF_CHECK_EQUAL(l.wait("m", 1, 1'000, longest).ms, 1'001); // one of sixty is back after a second
  CAF_CHECK(l.wait("m", 1, 1'000, longest).of_model);
  CAF_CHECK_EQUAL(l.wait("other", 1, 1'000, longest).ms, 0);
  CAF_CHECK_EQUAL(l.wait("m", 1, 2'001, longest).ms, 0);
  l.take("m", 1, 2'001);
  CAF_CHECK_EQUAL(l.wait("m", 1, 2'001, longest).ms, 1'000); // the next one
  l.learn("m", told(rate_unit::requests, 60, 2, 60'000), 3'000);
  CAF_CHECK_EQUAL(l.wait("m", 1, 3'000, longest).ms, 0); // told anew
  l.take("m", 1, 3'000);
  l.take("m", 1, 3'000);
  CAF_CHECK(l.wait("m", 1, 3'000, longest).ms > 0); // what is under way counts
}

CAF_TEST(a window without a size is whole again at its reset) {
  rate_limiter l;
  l.learn("m", told(rate_unit::tokens, -1, 10, 20'000), 0);
  CAF_CHECK_EQUAL(l.wait("m", 10, 0, longest).ms, 0);
  CAF_CHECK_EQUAL(l.wait("m", 11, 0, longest).ms, 20'000);
  CAF_CHECK_EQUAL(l.wait("m", 11, 20'000, longest).ms, 0);
}

CAF_TEST(a server whose headers make no sense delays a request at most and never stops it) {
  rate_limiter l;
  l.learn("m", told(rate_unit::requests, -1, 0, longest + 1), 0);
  CAF_CHECK_EQUAL(l.wait("m", 1, 0, longest).ms, 0); // it will say so itself
  l.learn("m", told(rate_unit::requests, 5, 100, INT64_C(2'592'000'000)), 0);
  CAF_CHECK_EQUAL(l.wait("m", 1, 0, longest).ms, 0);
  for (int i = 0; i < 5'000; ++i)
    l.learn("m" + std::to_string(i), told(rate_unit::requests, -1, 0, 1'000), 0); // models without end
  CAF_CHECK_EQUAL(l.wait("m4999", 1, 0, longest).ms, 1'000);
}
