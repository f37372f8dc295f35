// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client_dns

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <dlfcn.h>
#include <netdb.h>

using namespace conclave;
using namespace conclave::test;

namespace {

/// Holds up every look-up of a name that contains "slow" until the test lets go.
struct name_gate {
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  bool open = false;

  void pass() {
    std::unique_lock guard{mutex};
    ++waiting;
    changed.notify_all();
    changed.wait(guard, [this] { return open; });
    --waiting;
    changed.notify_all();
  }

  bool wait_for(int count) {
    std::unique_lock guard{mutex};
    return changed.wait_for(guard, deadline, [&] { return waiting == count; });
  }

  void let_go() {
    std::lock_guard guard{mutex};
    open = true;
    changed.notify_all();
  }
};

name_gate gate;

} // namespace

/// Takes the place of the C library's function in this executable, libcurl's calls included.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                                                  addrinfo** result) {
  if (name != nullptr && std::string_view{name}.find("slow") != std::string_view::npos) {
    gate.pass();
    return EAI_NONAME;
  }
  using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static auto real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, result);
}

CAF_TEST(a slow name holds up neither other transfers nor its own cancel) {
  imposter server;
  server.when("/", reply{"ok"});
  {
    http_client client;
    probe slow;
    probe late;
    auto id = client.start(get("http://slow.test/"), slow.callbacks());
    auto r = get("http://slow-too.test/");
    r.connect_timeout_ms = 100;
    client.start(r, late.callbacks());
    CAF_REQUIRE(gate.wait_for(2));
    CAF_CHECK_EQUAL(run(client, get(server.url())).code, ec::none);
    client.cancel(id);
    auto end = slow.end();
    CAF_CHECK_EQUAL(end.code, ec::cancelled);
    CAF_CHECK(!end.sent);
    CAF_CHECK_EQUAL(late.end().code, ec::timeout);
    CAF_CHECK(has(late.end().error, "no connection within the connect timeout of 100 ms"));
    CAF_REQUIRE(gate.wait_for(2)); // all that happened while both look-ups still hung
  }
  gate.let_go();
  CAF_CHECK(gate.wait_for(0)); // the client is gone; its resolver threads end by themselves
}

CAF_TEST(an unknown name is unavailable) {
  gate.let_go();
  http_client client;
  auto end = run(client, get("http://slow.test/path?key=secret"));
  CAF_CHECK_EQUAL(end.code, ec::unavailable);
  CAF_CHECK_EQUAL(end.error, "GET http://slow.test/path: could not resolve the host name");
  CAF_CHECK(!end.sent);
}
