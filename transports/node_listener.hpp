// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Takes connections for a node's door. Internal to transports/.

#include "transports/tls_tunnel.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace conclave {

/// Accepts on one port; a peer that has not proven who it is within 5 s, or is the oldest of more than 64 such peers, is cut off.
class node_listener {
public:
  /// A connected plain stream, ready for use. On the reactor thread.
  using arrival = std::function<void(unique_fd)>;

  /// Who connected ("10.0.0.7:41234"), or was turned away and why. On the reactor thread; must not block.
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
  /// Lives on the reactor; what it may call is behind the lock, so that the owner can take it away.
  struct gate : std::enable_shared_from_this<gate> {
    unique_fd fd;
    tls_identity identity;
    std::uint64_t watch = 0;
    std::deque<std::weak_ptr<tls_tunnel>> unproven; ///< oldest first
    std::mutex mutex;
    arrival take;
    report tell;
    void listen();
    void accept_all();
    void admit(unique_fd fd);
    void arrived(unique_fd fd, const std::string& peer);
    void refused(const std::string& peer, const std::string& why);
    void close();
  };

  node_listener() = default;
  std::shared_ptr<gate> gate_;
  std::uint16_t port_ = 0;
};

} // namespace conclave
