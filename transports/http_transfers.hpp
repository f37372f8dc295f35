// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// HTTP transfers as the rest of the program sees them (transports/outside.hpp gives them out). Never retries, decides nothing.
///
/// Thread rule: start and cancel may be called from any thread; callbacks run on a thread of the transport, which serves every
/// transfer: they decode and post a message, and never wait. on_head at most once, on_data any number of times, on_done exactly
/// once for every started transfer, also after cancel and on destruction. Callbacks of a transfer never run after its on_done, and
/// never two at a time; but those of one that brings much, or says that it takes long, may go on on another thread.

#include "protocols/wire/http.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace conclave {

/// The readers of streams, as the transport sees them: how long text that flows fast may wait, so that what comes meanwhile costs
/// no wake-up. All members from any thread; none waits.
class text_readers {
public:
  virtual ~text_readers() = default;

  /// Asked again and again. 0 = nothing waits.
  virtual std::chrono::milliseconds patience() const = 0;

  /// More text follows at once: nobody is woken before as many calls of `go_on`.
  virtual void hold() = 0;
  virtual void go_on() = 0;
};

class http_transfers {
public:
  struct callbacks {
    std::function<void(http_head)> on_head;
    std::function<void(std::string)> on_data; ///< one call per network read, decoded (gzip) bytes
    std::function<void(http_end)> on_done;
    std::function<bool()> takes_long = {}; ///< whether the next on_data may; asked between them. None = no
  };

  /// Cancels what runs and waits for its callbacks, so never from within one.
  virtual ~http_transfers() = default;

  /// Starts a transfer. Returns its id, never 0. A malformed URL is an ordinary on_done with bad_request. A 307 or 308 to another
  /// place of the same origin (scheme, host, port) is followed, three times at most; every other redirect is a reply like any.
  virtual std::uint64_t start(http_request request, callbacks cb) = 0;

  /// Abandons a transfer: its connection is closed, on_done comes with `cancelled`. Unknown ids are ignored.
  virtual void cancel(std::uint64_t id) = 0;
};

} // namespace conclave
