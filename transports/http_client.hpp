// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The transfers of the real outside: one curl_multi thread for all of a client. Callbacks run on that thread.
///
/// Proxies come from the environment of the process (http_proxy, HTTP_PROXY, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY,
/// no_proxy, NO_PROXY) and from nowhere else; loopback addresses are never proxied.

#include "transports/http_transfers.hpp"

#include <memory>

namespace conclave {

class http_client final : public http_transfers {
public:
  struct options {
    long max_connections = 0;              ///< 0 = unlimited
    std::string ca_bundle;                 ///< empty = system
    bool verify_tls = true;                ///< tests only
    std::shared_ptr<text_readers> readers; ///< of streams; null = every byte is handed on as it comes
  };

  http_client();
  explicit http_client(options o);
  ~http_client() override; ///< joins the thread

  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  std::uint64_t start(http_request request, callbacks cb) override;
  void cancel(std::uint64_t id) override;

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

} // namespace conclave
