// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an IP address is for. Pure.

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// Returns why an address (4 or 16 bytes, network order) is none of the public internet, for people: "a loopback address", "a
/// private address", ...; empty if it is one. IPv6 forms that hold an IPv4 address (mapped, 6to4, NAT64) are judged by that one.
std::string not_public(const std::vector<std::uint8_t>& address);

/// Returns whether it is 127.0.0.0/8 or ::1, also mapped.
bool is_loopback_address(const std::vector<std::uint8_t>& address);

/// Returns whether a port is one that other protocols than HTTP are spoken at, which a URL must not lead to.
bool is_foreign_port(int port);

} // namespace conclave
