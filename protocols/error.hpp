// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Error codes, each named by what the caller can do next.
///
/// The numbers are part of the wire format between nodes and of stored events: never reuse one.
/// Pure: no CAF here. `protocols/caf_error.hpp` ties the enum to `caf::error`.

#include <cstdint>
#include <string>
#include <string_view>

namespace conclave {

enum class ec : std::uint8_t {
  none = 0,         ///< no error
  bad_config,       ///< the user mends the configuration; never retried
  bad_request,      ///< the request can never succeed as it is (400, 404, 422)
  bad_reply,        ///< the peer broke its protocol (bad JSON, unknown shape)
  unauthorized,     ///< key missing or refused (401, 403, 402)
  rate_limited,     ///< wait, then retry (429)
  unavailable,      ///< nothing was streamed yet; retry is safe (network, 5xx, 529)
  stream_broken,    ///< broke after the first semantic event; do not retry blindly
  timeout,          ///< a deadline passed
  cancelled,        ///< we ended it ourselves
  breaker_open,     ///< refused without trying: too many failures lately
  denied,           ///< a path, grant or policy forbids it
  version_mismatch, ///< the peers speak different protocol versions
  context_overflow, ///< the prompt is too long (413 too): trim, then retry
  budget_exceeded,  ///< the call might have cost more than the user allows
  unknown,          ///< a code from a newer peer
};

/// Returns the snake_case name of `code`, "unknown" for a value outside the enum.
std::string to_string(ec code);

/// Returns the code named `name`, `ec::unknown` if there is none.
ec ec_from_string(std::string_view name);

/// Returns whether a later, equal attempt may succeed. Retry is decided in one actor only, the breaker.
bool is_transient(ec code);

/// Returns whether the agent that meets this error is out for the task at once (docs/protocol.md 5.2).
bool is_fatal(ec code);

/// Returns whether a peer that fails with this code counts as out of order for the breaker in front of it. A tool's own error
/// result has no code, and never counts.
bool is_outage(ec code);

/// Returns whether the next backend of a failover list is asked when one fails with this code before any of its reply was used.
bool asks_elsewhere(ec code);

} // namespace conclave
