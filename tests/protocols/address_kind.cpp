// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.address_kind

#include "protocols/address_kind.hpp"

#include "caf/test/unit_test.hpp"

#include <arpa/inet.h>

using namespace conclave;

namespace {

std::vector<std::uint8_t> bytes(const std::string& text) {
  std::vector<std::uint8_t> out(text.find(':') == std::string::npos ? 4 : 16);
  CAF_REQUIRE_EQUAL(inet_pton(out.size() == 4 ? AF_INET : AF_INET6, text.c_str(), out.data()), 1);
  return out;
}

} // namespace

CAF_TEST(an address that is not of the internet has a name) {
  for (auto* text : {"0.0.0.0",
                     "0.1.2.3",
                     "10.0.0.1",
                     "10.255.255.255",
                     "100.64.0.1",
                     "100.127.255.255",
                     "127.0.0.1",
                     "127.255.0.9",
                     "169.254.169.254",
                     "172.16.0.1",
                     "172.31.255.255",
                     "192.0.0.8",
                     "192.0.2.1",
                     "192.168.1.1",
                     "198.18.0.1",
                     "198.19.255.255",
                     "198.51.100.7",
                     "203.0.113.7",
                     "224.0.0.1",
                     "239.1.1.1",
                     "240.0.0.1",
                     "255.255.255.255",
                     "::",
                     "::1",
                     "::ffff:127.0.0.1",
                     "::ffff:10.0.0.1",
                     "::ffff:169.254.169.254",
                     "64:ff9b::7f00:1",
                     "64:ff9b::a00:1",
                     "2002:7f00:1::",
                     "2002:c0a8:101::1",
                     "fc00::1",
                     "fd12::1",
                     "fe80::1",
                     "fec0::1",
                     "ff02::1",
                     "2001:db8::1",
                     "2001::1",
                     "100::1",
                     "3fff::1",
                     "::127.0.0.1",
                     "4000::1"}) {
    CAF_MESSAGE(text);
    CAF_CHECK(!not_public(bytes(text)).empty());
  }
  for (auto* text : {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "172.15.255.255",
                     "172.32.0.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111",
                     "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"}) {
    CAF_MESSAGE(text);
    CAF_CHECK_EQUAL(not_public(bytes(text)), "");
  }
  CAF_CHECK(!not_public({}).empty() && !not_public({1, 2, 3}).empty());
  CAF_CHECK(is_loopback_address(bytes("127.9.9.9")) && is_loopback_address(bytes("::1"))
            && is_loopback_address(bytes("::ffff:127.0.0.1")));
  CAF_CHECK(!is_loopback_address(bytes("10.0.0.1")) && !is_loopback_address(bytes("::2")) && !is_loopback_address({}));
  CAF_CHECK(is_foreign_port(22) && is_foreign_port(6379) && is_foreign_port(27017) && !is_foreign_port(443)
            && !is_foreign_port(8080));
}
