// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.breaker

#include "actors/circuit_breaker.hpp"
#include "caf/test/unit_test.hpp"

using namespace conclave;

CAF_TEST(a gate opens after its failures and lets one probe through) {
  breaker b{breaker_policy{}};
  for (int i = 0; i < 4; ++i)
    b.failure(1'000);
  CAF_CHECK(b.allow(1'000));
  b.failure(1'000);
  CAF_CHECK(!b.allow(60'999));
  CAF_CHECK_EQUAL(b.remaining_ms(1'000), 60'000);
  CAF_CHECK(b.allow(61'000));
  CAF_CHECK(b.probing());
  CAF_CHECK(!b.allow(61'000));
  b.success();
  CAF_CHECK(b.allow(61'000));
  CAF_CHECK(!b.probing());
}

CAF_TEST(failed probes double the wait up to five minutes) {
  breaker b{breaker_policy{}};
  for (int i = 0; i < 5; ++i)
    b.failure(0);
  std::int64_t now = 0;
  for (auto wait : {60'000, 120'000, 240'000, 300'000, 300'000}) {
    CAF_CHECK_EQUAL(b.remaining_ms(now), wait);
    now += wait;
    CAF_CHECK(b.allow(now));
    b.failure(now);
  }
}

CAF_TEST(an undecided probe leaves the next call to probe) {
  breaker b{breaker_policy{}};
  for (int i = 0; i < 5; ++i)
    b.failure(0);
  CAF_CHECK(b.allow(60'000));
  b.undecided();
  CAF_CHECK(b.allow(60'000));
  CAF_CHECK(b.probing());
  CAF_CHECK(!b.allow(60'000));
}
