// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: the arguments of a tool call as models write them: not always quite JSON. The one lenient reading.

#include "protocols/wire/json_util.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace conclave::wire {

enum class reading : std::uint8_t {
  lossless, ///< raw control characters in strings, half surrogates, a code fence, `{}` before the object or the object again after
            ///< it, the object as a string: nothing is guessed and nothing lost
  best, ///< also what has to be guessed: quotes inside a string, unknown escapes, trailing commas, brackets left open, words around
};

/// Returns the JSON object that the text means, blank text means an empty one; or nothing. A key given twice is refused. Linear.
std::optional<json> read_arguments(std::string_view text, reading how);

/// Returns the text itself if it is a JSON object, the object where the lossless reading gives one, else the text; `{}` if blank.
std::string settled_arguments(const std::string& text);

} // namespace conclave::wire
