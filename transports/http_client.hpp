// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One curl_multi thread for all HTTP transfers of the process. Never retries, decides nothing.
///
/// Thread rule: start and cancel may be called from any thread; callbacks run on the client's thread, which serves every transfer:
/// they decode and post a message, and never wait. on_head at most once, on_data any number of times, on_done exactly once for
/// every started transfer, also after cancel and on destruction. Callbacks of a transfer never run after its on_done.
///
/// Proxies come from the environment of the process (http_proxy, HTTP_PROXY, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY,
/// no_proxy, NO_PROXY) and from nowhere else; loopback addresses are never proxied.

#include "protocols/wire/http.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace conclave {

class http_client {
public:
  struct callbacks {
    std::function<void(http_head)> on_head;
    std::function<void(std::string)> on_data; ///< one call per network read, decoded (gzip) bytes
    std::function<void(http_end)> on_done;
  };

  struct options {
    long max_connections = 0; ///< 0 = unlimited
    std::string ca_bundle;    ///< empty = system
    bool verify_tls = true;   ///< tests only
  };

  http_client();
  explicit http_client(options o);
  /// Cancels what runs and joins the thread, so never from within a callback.
  ~http_client();

  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  /// Starts a transfer. Returns its id, never 0. A malformed URL is an ordinary on_done with bad_request. A 307 or 308 to another
  /// place of the same origin (scheme, host, port) is followed, three times at most; every other redirect is a reply like any.
  std::uint64_t start(http_request request, callbacks cb);

  /// Abandons a transfer: its connection is closed, on_done comes with `cancelled`. Unknown ids are ignored.
  void cancel(std::uint64_t id);

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

} // namespace conclave
