// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A caller's stream under CAF's network layer that knows where it comes from. Internal to transports/.

#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/scribe_impl.hpp>

#include <chrono>
#include <functional>
#include <string>

namespace conclave {

/// CAF sees one end of a socket pair: the address is given by us. Tells once that the connection is over.
class caller_stream final : public caf::io::network::scribe_impl {
public:
  /// `by_us`: this side closed it. Called on CAF's network thread, or where the actor system is destroyed.
  using over = std::function<void(const std::string& peer, std::chrono::milliseconds after, bool by_us)>;

  /// `fd` belongs to it. `peer`: "10.0.0.7:41234".
  caller_stream(caf::io::network::default_multiplexer& mx, int fd, std::string peer, over tell);
  ~caller_stream() override;

  std::string addr() const override; ///< "10.0.0.7", "[2001:db8::7]"
  std::uint16_t port() const override;
  void graceful_shutdown() override;

private:
  const int fd_; ///< of the stream, open as long as that is
  std::string peer_;
  over tell_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  bool by_us_ = false;
};

} // namespace conclave
