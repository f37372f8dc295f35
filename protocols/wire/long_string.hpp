// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: JSON texts that are one string of many MiB and little beside. They are read where they stand, so that the
/// string is held once. Pure.

#include <cstddef>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Returns the first string of a JSON text, without its quotes, beside which there are at most `most` bytes; empty if there is
/// none.
std::string_view find_long_string(std::string_view text, std::size_t most);

/// Returns whether every parser takes what stands between the quotes, if it is UTF-8: no control characters, escapes that are
/// known, no half surrogate pairs.
bool is_sound_string(std::string_view between);

/// Replaces the escapes of a sound string by what they mean.
void unescape(std::string& text);

} // namespace conclave::wire
