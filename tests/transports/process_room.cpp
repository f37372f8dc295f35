// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.process_room

#include "transports/process_room.hpp"

#include "caf/test/unit_test.hpp"

#include <sys/resource.h>

using namespace conclave;

CAF_TEST(descriptors that are lacking are counted and none is kept) {
  rlimit before{};
  CAF_REQUIRE_EQUAL(::getrlimit(RLIMIT_NOFILE, &before), 0);
  auto few = before;
  few.rlim_cur = 24;
  CAF_REQUIRE_EQUAL(::setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int i = 0; i < 3; ++i) {
    CAF_CHECK_EQUAL(lack_of_descriptors(8), "");
    auto error = lack_of_descriptors(100);
    CAF_CHECK(error.find("100 are needed") != error.npos);
    CAF_CHECK(error.find("ulimit -n") != error.npos);
  }
  CAF_CHECK(!lack_of_room(1).empty());
  CAF_CHECK_EQUAL(::setrlimit(RLIMIT_NOFILE, &before), 0);
  CAF_CHECK_EQUAL(lack_of_room(1), "");
}
