// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// HTTP as values, shared by dialects (which write and read them) and the http_client (which moves them).

#include "protocols/chat.hpp"
#include "protocols/wire/bounds.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace conclave {

/// Which certificate authorities a transfer trusts; made by load_trust (transports/http_client_trust.hpp).
struct tls_trust {
  std::string file;   ///< PEM file of their certificates: libcurl keeps what it read of one
  std::string pem;    ///< the certificates themselves, instead of a file
  std::string folder; ///< hashed as OpenSSL wants it; empty = none
  bool operator==(const tls_trust&) const = default;
};

/// Which addresses a transfer may connect to: an address somebody else wrote must not lead into the user's own network.
enum class reachable : std::uint8_t {
  any,
  public_only,     ///< of the internet alone: none that is private, local, reserved, ...
  public_and_self, ///< and loopback
};

struct http_request {
  std::string method = "POST";
  std::string url;
  key_values headers;
  std::string body;
  std::int64_t connect_timeout_ms = 5'000;
  std::int64_t total_timeout_ms = 600'000;        ///< 0 = none
  std::int64_t idle_timeout_ms = 120'000;         ///< no byte for this long after the request was sent; 0 = none
  std::int64_t max_bytes = wire::max_reply_bytes; ///< of the decoded body; more ends the transfer with bad_reply
  bool http2 = false;
  std::shared_ptr<const tls_trust> trust; ///< none = the system's authorities
  bool stream = true;                     ///< asks on_data as bytes arrive
  int max_redirects = 3;                  ///< followed at most; never more than three
  std::string agent;                      ///< whose it is, for people: it is not sent
  reachable reach = reachable::any;       ///< other than any: no proxy, and every address is judged as it is connected to
};

struct http_head {
  int status = 0;
  key_values headers;    ///< names lower-cased
  int redirects = 0;     ///< followed before this reply: each was a request of its own
  std::int64_t at_s = 0; ///< Unix time in s at which it came
};

/// The end of a transfer, always reported exactly once.
struct http_end {
  ec code = ec::none; ///< none = the body ended as HTTP says; else unavailable, timeout, cancelled, bad_reply, stream_broken,
                      ///< bad_request (URL), bad_config
  std::string error;  ///< one sentence without secrets
  int status = 0;     ///< 0 = no response line was seen
  bool sent = false;  ///< the request may have reached the peer
  int redirects = 0;  ///< followed before: each was a request of its own, which did reach it
};

/// Returns the value of a lower-case header name, or nullptr.
inline const std::string* find_header(const http_head& head, std::string_view name) {
  for (auto& kv : head.headers)
    if (kv.first == name)
      return &kv.second;
  return nullptr;
}

} // namespace conclave
