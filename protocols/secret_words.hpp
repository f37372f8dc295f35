// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What words of secrets look like, for protocols/secret_judge.hpp. Pure.

#include <string>
#include <string_view>

namespace conclave::secret_words {

/// Returns whether `text` is not empty and has no blank.
bool one_word(std::string_view text);

/// Returns whether a word is none of a language: eight bytes and more with letters and digits, or sixteen and more in mixed case.
bool is_key_like(std::string_view word);

/// Returns whether one of the words in `text` is.
bool any_key_like(std::string_view text);

/// Returns `text` with its %XX decoded.
std::string percent_decoded(std::string_view text);

} // namespace conclave::secret_words
