// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How many columns of a terminal a character takes. Pure.

#include <cstddef>
#include <cstdint>

namespace conclave {

/// Returns 2 for wide characters and emoji, 0 for combining and invisible ones, else 1.
std::size_t char_width(std::uint32_t code_point);

} // namespace conclave
