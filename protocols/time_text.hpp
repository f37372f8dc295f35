// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Times as people write and read them. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace conclave {

/// Returns the milliseconds of a number and a unit (ms, s, m, h, d, w: "10m", "1.5h"), or of a number alone, counted in `plain`
/// milliseconds; 0 = a unit is needed. Not negative, finite, no exponent. Nothing for anything else.
std::optional<double> read_time(std::string_view text, double plain);

/// Returns a time by a clock that is `utc_offset_s` ahead of UTC, in a form of strftime(): "%Y-%m-%d %H:%M".
std::string clock_text(std::int64_t unix_ms, std::int32_t utc_offset_s, const char* form);

/// How to say what is expected.
inline constexpr const char* time_forms = "a time (90, 90s, 10m, 1.5h)";

} // namespace conclave
