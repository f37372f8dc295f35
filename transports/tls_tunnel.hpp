// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Mutual TLS under CAF's network layer. Internal to transports/.
///
/// A tunnel carries bytes between a TLS connection and one end of a local socket pair; the other end is an ordinary plain stream
/// for whoever speaks through it. Both peers must show a certificate of the same authority (TLS 1.3). Why not CAF's own TLS module:
/// docs/decisions/0003-tls-tunnel.md and 0006.

#include "protocols/config.hpp"
#include "transports/child_reactor.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

struct ssl_ctx_st;

namespace conclave {

/// The certificate and key we show, and the authority we trust. Immutable; any thread.
using tls_identity = std::shared_ptr<ssl_ctx_st>;

/// Reads the files (see `tls_files`, which makes them on first use). Null and `error` on failure.
tls_identity load_tls_identity(const tls_config& wanted, std::string& error);

/// All members on the reactor thread. A tunnel lives until either end closes.
class tls_tunnel {
public:
  enum class side : std::uint8_t { client, server };

  /// The plain end (non-blocking, close-on-exec), or why there is none.
  using ready = std::function<void(unique_fd plain, std::string error)>;

  /// Shakes hands over `net` (connected, non-blocking). Calls `done` exactly once, within `limit`, for a server not before this
  /// returns: for a server once the peer has proven who it is, for a client once the first byte of the server has come too (a
  /// client in TLS 1.3 is done before the server has looked at its certificate). A peer costs a server one descriptor until its
  /// first byte, and TLS from then on.
  static std::shared_ptr<tls_tunnel> start(const tls_identity& identity, unique_fd net, side s, std::chrono::milliseconds limit,
                                           ready done);
  virtual ~tls_tunnel() = default;

  /// Ends the tunnel at once; `done` gets `reason` if it has not been called.
  virtual void close(const std::string& reason) = 0;

  /// Whether a server has had a byte of its peer.
  virtual bool spoken() const = 0;
};

/// Whether `error` of a client means that the peer hung up without a word, as a node does that has too many strangers at its door.
bool hung_up(const std::string& error);

} // namespace conclave
