// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Mutual TLS under CAF's network layer. Internal to transports/.
///
/// A tunnel carries bytes between a TLS connection and one end of a local socket pair; the other end is an ordinary plain stream
/// for whoever speaks through it. Both peers must show a certificate of the same authority (TLS 1.3). Why not CAF's own TLS module:
/// docs/decisions/0003-tls-tunnel.md.

#include "protocols/config.hpp"
#include "transports/child_reactor.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

struct ssl_st;
struct ssl_ctx_st;

namespace conclave {

/// The certificate and key we show, and the authority we trust. Immutable; any thread.
using tls_identity = std::shared_ptr<ssl_ctx_st>;

/// Reads the files (see `tls_files`, which makes them on first use). Null and `error` on failure.
tls_identity load_tls_identity(const tls_config& wanted, std::string& error);

/// All members on the reactor thread. A tunnel lives until either end closes.
class tls_tunnel : public std::enable_shared_from_this<tls_tunnel> {
public:
  enum class side : std::uint8_t { client, server };

  /// The plain end (non-blocking, close-on-exec), or why there is none.
  using ready = std::function<void(unique_fd plain, std::string error)>;

  /// Shakes hands over `net` (connected, non-blocking). Calls `done` exactly once, within `limit`: for a server once the peer has
  /// proven who it is, for a client once the first byte of the server has come too (a client in TLS 1.3 is done before the
  /// server has looked at its certificate).
  static std::shared_ptr<tls_tunnel> start(const tls_identity& identity, unique_fd net, side s, std::chrono::milliseconds limit,
                                           ready done);
  ~tls_tunnel();

  /// Ends the tunnel at once; `done` gets `reason` if it has not been called.
  void close(const std::string& reason);

  /// Whether `done` has been called.
  bool decided() const { return !done_; }

private:
  struct buffer {
    std::vector<char> bytes;
    std::size_t begin = 0, end = 0;
    bool empty() const { return begin == end; }
  };
  struct watched {
    std::uint64_t id = 0;
    std::uint32_t events = 0;
  };

  tls_tunnel() = default;
  void step();
  bool shake_hands();
  void transfer();
  bool read_net();
  bool write_net();
  bool read_plain();
  bool write_plain();
  void arm();
  void wait_for(watched& w, int fd, std::uint32_t events);
  void watch_for_stall();
  void decide();
  std::string explain(int code) const;

  struct free_ssl {
    void operator()(ssl_st* s) const;
  };

  unique_fd net_, plain_, other_; ///< `other_` is the end that is given away
  std::unique_ptr<ssl_st, free_ssl> ssl_;
  watched net_watch_, plain_watch_;
  ready done_;
  side side_ = side::client;
  bool shaken_ = false, net_over_ = false, plain_over_ = false, closed_ = false, posted_ = false, stall_watched_ = false;
  bool read_wants_write_ = false, write_wants_read_ = false;
  std::string why_over_; ///< set with `net_over_`
  buffer in_, out_;      ///< net -> plain, plain -> net
  std::uint64_t sent_ = 0;
};

} // namespace conclave
