// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Characters that show nothing: by them two names look alike, and a text holds what its reader does not see. Pure.

#include <cstddef>
#include <cstdint>
#include <string>

namespace conclave {

/// Returns whether `c` shows nothing by itself: joiners, zero-width spaces, soft hyphens, variation selectors, tags, fillers.
/// Controls, the bidirectional ones too, are not meant: nobody needs them.
bool is_invisible(std::uint32_t c);

/// Returns whether `c` is a blank other than the space, or shows as one.
bool is_other_blank(std::uint32_t c);

/// Returns how many bytes from `i` on are invisible characters that belong there: a joiner inside an emoji or a script that joins,
/// a selector behind what it selects of, the tags of a flag. `before`: the character in front, 0 at the beginning. 0 = a stray one.
std::size_t needed_invisible(const std::string& text, std::size_t i, std::uint32_t before);

/// Returns the first character of `text` that nobody sees, needed or not, or that is a blank other than the space; 0 = none.
std::uint32_t hidden_character(const std::string& text);

} // namespace conclave
