// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/node_link_stream.hpp"

#include <cstdlib>
#include <sys/socket.h>

namespace conclave {

caller_stream::caller_stream(caf::io::network::default_multiplexer& mx, int fd, std::string peer, over tell)
    : scribe_impl(mx, fd), fd_(fd), peer_(std::move(peer)), tell_(std::move(tell)) {}

caller_stream::~caller_stream() {
  if (tell_)
    tell_(peer_, std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since_), by_us_);
}

std::string caller_stream::addr() const {
  return peer_.substr(0, peer_.rfind(':'));
}

std::uint16_t caller_stream::port() const {
  auto colon = peer_.rfind(':');
  return colon == std::string::npos ? std::uint16_t{0} : static_cast<std::uint16_t>(std::atoi(peer_.c_str() + colon + 1));
}

void caller_stream::graceful_shutdown() {
  char none = 0; // CAF closes its end in any case: at the end of the stream the caller was first
  by_us_ = ::recv(fd_, &none, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
  scribe_impl::graceful_shutdown();
}

} // namespace conclave
