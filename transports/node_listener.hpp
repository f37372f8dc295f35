// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Takes connections for a node's door. Internal to transports/.

#include "transports/tls_tunnel.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace conclave {

/// Accepts on one port. A peer that has not proven who it is within 5 s is cut off. There is room for 512 such strangers (less if
/// the process may open fewer than 1024 descriptors); who of them may wait when it is full: transports/node_admission.hpp. Who is
/// cut off may try again.
class node_listener {
public:
  /// A connected plain stream, ready for use. On the reactor thread.
  using arrival = std::function<void(unique_fd)>;

  /// Who connected ("10.0.0.7:41234"), right before the stream arrives, or was turned away and why. On the reactor thread; must not
  /// block. Without a name: somebody, who cannot be taken.
  using report = std::function<void(const std::string& peer, const std::string& refusal)>;

  /// `identity` null = plain streams. `host` is a numeric address or a name of this machine, port 0 = any free one. Null and
  /// `error` on failure. Any thread.
  static std::unique_ptr<node_listener> open(const std::string& host, std::uint16_t port, tls_identity identity, arrival take,
                                             std::string& error, report tell = {});

  /// Closes the port. Neither `take` nor `tell` is called any more when this returns. Not on the reactor thread.
  ~node_listener();
  node_listener(const node_listener&) = delete;
  node_listener& operator=(const node_listener&) = delete;

  std::uint16_t port() const { return port_; }

private:
  class gate;
  node_listener(std::shared_ptr<gate> g, std::uint16_t port) : gate_(std::move(g)), port_(port) {}
  std::shared_ptr<gate> gate_;
  std::uint16_t port_;
};

} // namespace conclave
