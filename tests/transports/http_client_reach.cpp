// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.http_client_reach

#include "caf/test/unit_test.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"

#include <cstdlib>
#include <dlfcn.h>
#include <netdb.h>

using namespace conclave;
using namespace conclave::test;

/// Takes the place of the C library's function in this executable, libcurl's calls included: names below "evil.test" lead where
/// they must not, as a name of anybody's may from one moment to the next.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                                                                  addrinfo** result) {
  using function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static auto real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  auto host = name == nullptr ? std::string_view{} : std::string_view{name};
  if (host == "loopback.evil.test")
    name = "127.0.0.1";
  else if (host == "metadata.evil.test")
    name = "169.254.169.254";
  else if (host == "private.evil.test")
    name = "10.0.0.1";
  else if (host == "mapped.evil.test")
    name = "::ffff:127.0.0.1";
  return real(name, service, hints, result);
}

namespace {

http_request fetch(const std::string& url, reachable reach) {
  auto r = get(url);
  r.reach = reach;
  r.connect_timeout_ms = 2'000;
  r.total_timeout_ms = 5'000;
  return r;
}

} // namespace

CAF_TEST(an address of our own network is not connected to whatever it is called) {
  imposter server;
  server.when("/", reply{"ok"});
  auto port = server.url().substr(server.url().rfind(':'));
  http_client client;
  for (auto* host : {"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "0.0.0.0", "[::1]",
                     "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "[fe80::1]",
                     "loopback.evil.test", "metadata.evil.test", "private.evil.test", "mapped.evil.test"}) {
    CAF_MESSAGE(host);
    auto end = run(client, fetch("http://" + std::string(host) + port + "/", reachable::public_only));
    CAF_CHECK(end.code != ec::none && !end.sent);
    if (std::string_view{host}.find(':') == std::string_view::npos) // else this machine may have no IPv6
      CAF_CHECK(end.code == ec::denied && has(end.error, "which is not fetched from"));
  }
  CAF_CHECK(server.inspect().accepts == 0u);
}

CAF_TEST(this machine is reached where that is allowed and by no proxy) {
  ::setenv("http_proxy", "http://127.0.0.1:9", 1);
  imposter server;
  server.when("/", reply{"ok"});
  auto port = server.url().substr(server.url().rfind(':'));
  http_client client;
  CAF_CHECK_EQUAL(run(client, get(server.url())).code, ec::none); // a connection that stands is not used again by what follows
  CAF_CHECK_EQUAL(run(client, fetch(server.url(), reachable::public_only)).code, ec::denied);
  CAF_CHECK_EQUAL(run(client, fetch(server.url(), reachable::public_and_self)).code, ec::none);
  CAF_CHECK_EQUAL(run(client, fetch("http://loopback.evil.test" + port + "/", reachable::public_and_self)).code, ec::none);
  CAF_CHECK_EQUAL(run(client, fetch("http://private.evil.test" + port + "/", reachable::public_and_self)).code, ec::denied);
  ::unsetenv("http_proxy");
}
