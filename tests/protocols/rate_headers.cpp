// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.rate_headers

#include "protocols/wire/rate_headers.hpp"

#include "caf/test/unit_test.hpp"

using namespace conclave;
using namespace conclave::wire;

namespace {

http_head head(key_values headers) {
  http_head h;
  h.status = 200;
  h.at_s = 1'780'000'000; // 2026-05-28T20:26:40Z
  h.headers = std::move(headers);
  return h;
}

} // namespace

CAF_TEST(the windows of OpenAI are read with their durations) {
  // Source: https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers", read 2026-11-26.
  auto w = rate_states(head({{"x-ratelimit-limit-requests", "60"},
                             {"x-ratelimit-limit-tokens", "150000"},
                             {"x-ratelimit-remaining-requests", "59"},
                             {"x-ratelimit-remaining-tokens", "149984"},
                             {"x-ratelimit-reset-requests", "1s"},
                             {"x-ratelimit-reset-tokens", "6m0s"}}));
  CAF_REQUIRE_EQUAL(w.size(), 2u);
  CAF_CHECK((w[0] == rate_state{"requests", rate_unit::requests, 60, 59, 1'000}));
  CAF_CHECK((w[1] == rate_state{"tokens", rate_unit::tokens, 150'000, 149'984, 360'000}));
}

CAF_TEST(the windows of Anthropic are read with their times) {
  // Source: https://docs.claude.com/en/api/rate-limits, "Response headers", read 2026-11-26.
  auto w = rate_states(head({{"anthropic-ratelimit-requests-limit", "50"},
                             {"anthropic-ratelimit-requests-remaining", "0"},
                             {"anthropic-ratelimit-requests-reset", "2026-05-28T20:27:10Z"},
                             {"anthropic-ratelimit-input-tokens-remaining", "1000"},
                             {"anthropic-ratelimit-input-tokens-reset", "2026-05-28T20:26:00Z"},
                             {"anthropic-ratelimit-output-tokens-remaining", "7"},
                             {"anthropic-ratelimit-output-tokens-reset", "2026-05-28T20:26:41Z"}}));
  CAF_REQUIRE_EQUAL(w.size(), 3u);
  CAF_CHECK((w[0] == rate_state{"requests", rate_unit::requests, 50, 0, 30'000}));
  CAF_CHECK((w[1] == rate_state{"input-tokens", rate_unit::tokens, -1, 1000, 0})); // past already
  CAF_CHECK((w[2] == rate_state{"output-tokens", rate_unit::output_tokens, -1, 7, 1'000}));
}

CAF_TEST(resets in seconds and since 1970 are told apart) {
  for (auto [text, ms] : {std::pair{"30", 30'000}, {"0.5", 500}, {"1780000030", 30'000}, {"1780000030000", 30'000}, {"20ms", 20}}) {
    auto w = rate_states(head({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", text}}));
    CAF_REQUIRE_EQUAL(w.size(), 1u);
    CAF_CHECK_EQUAL(w[0].reset_ms, ms);
  }
}

CAF_TEST(what a hostile server tells is bounded or left out) {
  key_values many;
  for (int i = 0; i < 1'000; ++i) {
    many.emplace_back("x-ratelimit-remaining-w" + std::to_string(i), "0");
    many.emplace_back("x-ratelimit-reset-w" + std::to_string(i), "99999999999999999999999999");
  }
  CAF_CHECK_EQUAL(rate_states(head(std::move(many))).size(), 8u);
  for (auto* bad : {"-1", "nan", "inf", "1e300", "", "soon", "2026-99-99T99:99:99Z", "0x10"})
    CAF_CHECK(rate_states(head({{"x-ratelimit-remaining-tokens", bad}, {"x-ratelimit-reset-tokens", "1s"}})).empty());
  for (auto* bad : {"-1", "nan", "", "soon"})
    CAF_CHECK(rate_states(head({{"x-ratelimit-remaining-tokens", "1"}, {"x-ratelimit-reset-tokens", bad}})).empty());
  CAF_CHECK(rate_states(head({{std::string(100'000, 'x') + "ratelimit", "1"}, {"x-ratelimit", "1"}})).empty());
}
