// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a reply's headers say of its server's rate limits. Pure; the values are the server's, bounded and never trusted to be true.

#include "protocols/wire/http.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave::wire {

enum class rate_unit : std::uint8_t { requests, tokens, output_tokens };

/// One window as the server counts it; -1 = not said.
struct rate_state {
  std::string name; ///< of the window: "requests", "input-tokens", "requests-day"
  rate_unit unit = rate_unit::requests;
  std::int64_t limit = -1;
  std::int64_t remaining = -1;
  std::int64_t reset_ms = -1; ///< from the reply until the window is whole again
  bool operator==(const rate_state&) const = default;
};

/// Returns the windows of which the remainder and the time of the reset are known, at most 8.
std::vector<rate_state> rate_states(const http_head& head);

} // namespace conclave::wire
