// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Times as people write them, in configurations and on command lines. Pure.

#include <optional>
#include <string_view>

namespace conclave {

/// Returns the milliseconds of a number and a unit (ms, s, m, h, d, w: "10m", "1.5h"), or of a number alone, counted in `plain`
/// milliseconds; 0 = a unit is needed. Not negative, finite, no exponent. Nothing for anything else.
std::optional<double> read_time(std::string_view text, double plain);

/// How to say what is expected.
inline constexpr const char* time_forms = "a time (90, 90s, 10m, 1.5h)";

} // namespace conclave
