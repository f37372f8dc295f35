// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Why a reply ended, as any provider names it: one table for all dialects. Pure.

#include <cstdint>
#include <string_view>

namespace conclave::wire {

enum class ending : std::uint8_t {
  open,      ///< no reason: empty, or a name for "not yet"
  success,   ///< the model was done, or called tools
  truncated, ///< a token or length limit
  refused,   ///< a safety system
  failed,    ///< the server gave up: another try may succeed
  malformed, ///< the server blames the model's own output: another attempt may succeed
  paused,    ///< the provider goes on once the turn is sent back
  unknown,   ///< in no row: never a silent success
};

/// Returns what the reason means. Case, blanks and hyphens do not count; of "filter: REASON" both sides are looked up.
ending read_finish_reason(std::string_view reason);

} // namespace conclave::wire
