// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.thread_room

#include "transports/thread_room.hpp"

#include "caf/test/unit_test.hpp"

#include <csignal>
#include <pthread.h>
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
