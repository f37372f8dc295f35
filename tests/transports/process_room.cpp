// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.process_room

#include "transports/process_room.hpp"

#include "caf/test/unit_test.hpp"

#include <csignal>
#include <pthread.h>
#include <sys/resource.h>
#include <system_error>

using namespace conclave;

namespace {

bool is_blocked(int sig) {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return ::sigismember(&mask, sig) == 1;
}

/// As long as it lives no thread has room for its stack.
struct no_room {
  pthread_attr_t before;
  no_room() {
    ::pthread_getattr_default_np(&before);
    auto huge = before;
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 50);
    ::pthread_setattr_default_np(&huge);
  }
  ~no_room() { ::pthread_setattr_default_np(&before); }
};

} // namespace

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

CAF_TEST(a thread without signals leaves those of its caller as they were) {
  bool inside = false;
  start_without_signals([&] { inside = is_blocked(SIGTERM) && is_blocked(SIGPIPE); }).join();
  CAF_CHECK(inside);
  CAF_CHECK(!is_blocked(SIGTERM));
  auto refused = false;
  {
    no_room full;
    try {
      start_without_signals([] {}).join();
    } catch (const std::system_error&) {
      refused = true;
    }
  }
  CAF_CHECK(refused);
  CAF_CHECK(!is_blocked(SIGTERM));
}
