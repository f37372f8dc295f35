// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How nodes find each other: CAF's network layer under mutual TLS. Blocking calls with deadlines; any thread but an actor's.
///
/// Loopback too is a multi-user place: an open port there means spawn rights with the owner's keys. Plain connections are therefore
/// only made with `insecure_loopback`, and only to loopback.

#include "protocols/cluster.hpp"
#include "protocols/interfaces.hpp"

#include <caf/fwd.hpp>

#include <cstdint>
#include <string>

namespace conclave {

/// Loads the network modules into `config`, with heartbeats (1 s, lost after 6 s) and TLS. Returns an empty string or what is wrong
/// with the certificates. Call it before the actor_system is made.
std::string configure_link(caf::actor_system_config& config, const tls_config& tls);

/// Publishes `door`. `host` is a numeric address or a name of this machine; port 0 = any free one. Returns the port, or 0 and
/// `error`.
std::uint16_t publish_door(caf::actor_system& sys, const door_actor& door, const std::string& host, std::uint16_t port,
                           bool insecure, std::string& error);

/// Connects to HOST:PORT, says hello and returns the node; null and `error` (unreachable within 3 s, refused, other version)
/// otherwise.
node_actor join_node(caf::actor_system& sys, const std::string& address, bool insecure, std::string& error);

} // namespace conclave
