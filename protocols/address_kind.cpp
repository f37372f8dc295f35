// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/address_kind.hpp"

#include <algorithm>

namespace conclave {

namespace {

struct block {
  std::vector<std::uint8_t> prefix;
  int bits;
  const char* what;
};

// Source: the IANA registries of special-purpose addresses,
// https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry, read 2026-11-26.
const std::vector<block>& blocks_of_4() {
  static const std::vector<block> all = {
      {{0}, 8, "no address of a host"},
      {{10}, 8, "a private address"},
      {{100, 64}, 10, "an address of a provider's own network"},
      {{127}, 8, "a loopback address"},
      {{169, 254}, 16, "a link-local address, where clouds keep their credentials"},
      {{172, 16}, 12, "a private address"},
      {{192, 0, 0}, 24, "a reserved address"},
      {{192, 0, 2}, 24, "an address for documentation"},
      {{192, 88, 99}, 24, "a reserved address"},
      {{192, 168}, 16, "a private address"},
      {{198, 18}, 15, "an address for benchmarks"},
      {{198, 51, 100}, 24, "an address for documentation"},
      {{203, 0, 113}, 24, "an address for documentation"},
      {{224}, 4, "a multicast address"},
      {{240}, 4, "a reserved address"},
  };
  return all;
}

/// Of IPv6 only 2000::/3 is given out; these lie within it.
const std::vector<block>& blocks_of_6() {
  static const std::vector<block> all = {
      {{0x20, 0x01, 0x0d, 0xb8}, 32, "an address for documentation"},
      {{0x20, 0x01, 0x00}, 23, "a reserved address"}, // Teredo, benchmarks, ORCHID and others
      {{0x3f, 0xff, 0x00}, 20, "an address for documentation"},
  };
  return all;
}

bool within(const std::vector<std::uint8_t>& address, const block& b) {
  for (int i = 0; i < b.bits; ++i) {
    auto at = static_cast<std::size_t>(i / 8);
    auto mask = 0x80u >> (i % 8);
    auto wanted = at < b.prefix.size() ? b.prefix[at] : 0u;
    if ((address[at] & mask) != (wanted & mask))
      return false;
  }
  return true;
}

std::string find(const std::vector<std::uint8_t>& address, const std::vector<block>& blocks) {
  auto i = std::find_if(blocks.begin(), blocks.end(), [&](auto& b) { return within(address, b); });
  return i == blocks.end() ? std::string{} : i->what;
}

bool begins(const std::vector<std::uint8_t>& address, std::vector<std::uint8_t> with) {
  return std::equal(with.begin(), with.end(), address.begin());
}

/// The IPv4 address that stands for a host in an IPv6 one; empty if none does.
std::vector<std::uint8_t> embedded(const std::vector<std::uint8_t>& a) {
  if (begins(a, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) || begins(a, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}))
    return {a.end() - 4, a.end()};
  if (begins(a, {0x20, 0x02}))
    return {a.begin() + 2, a.begin() + 6};
  return {};
}

} // namespace

std::string not_public(const std::vector<std::uint8_t>& address) {
  if (address.size() == 4)
    return find(address, blocks_of_4());
  if (address.size() != 16)
    return "no address";
  if (is_loopback_address(address))
    return "a loopback address";
  if (auto four = embedded(address); !four.empty())
    return find(four, blocks_of_4());
  if ((address[0] & 0xfe) == 0xfc)
    return "a private address";
  if (address[0] == 0xfe && (address[1] & 0x80) != 0)
    return (address[1] & 0x40) == 0 ? "a link-local address" : "a site-local address";
  if (address[0] == 0xff)
    return "a multicast address";
  if ((address[0] & 0xe0) != 0x20)
    return "a reserved address";
  return find(address, blocks_of_6());
}

bool is_loopback_address(const std::vector<std::uint8_t>& a) {
  if (a.size() == 4)
    return a[0] == 127;
  if (a.size() != 16)
    return false;
  auto one = std::vector<std::uint8_t>(16);
  one[15] = 1;
  return a == one || (begins(a, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) && a[12] == 127);
}

bool is_foreign_port(int port) {
  static constexpr int ports[] = {22,   23,   25,   53,   111,  135,  139,  445,  1433, 1521,  2049,  2375,
                                  2376, 3306, 3389, 5432, 5900, 5984, 6379, 6443, 9200, 10250, 11211, 27017};
  return std::find(std::begin(ports), std::end(ports), port) != std::end(ports);
}

} // namespace conclave
