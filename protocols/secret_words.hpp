// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The parts of protocols/secret_judge.hpp: what words of secrets look like, and the ways through a text. Pure.

#include "protocols/secret_judge.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave::secret_words {

/// Returns whether `text` is not empty and has no blank.
bool one_word(std::string_view text);

/// Returns whether a word is none of a language: eight bytes and more with letters and digits, or sixteen and more in mixed case.
bool is_key_like(std::string_view word);

/// Returns whether one of the words in `text` is.
bool any_key_like(std::string_view text);

/// Returns the words in `text` that are shaped as keys are, whatever they begin with: 16 bytes and more in one piece (without `-`,
/// `_`,
/// `.`) in which letters and digits alternate often, or 32 hexadecimal digits and more, also with dashes between them. Names of
/// models, regions, versions and days are not; neither are paths.
std::vector<std::string> keys_by_shape(std::string_view text);

/// Returns whether a value is a place in the file system: it begins with `/` or `~/`, and no part of it is a key in base64, which
/// may begin so, too.
bool is_path(std::string_view value);

/// Returns whether the name says that the value is a secret, and the value does not say that it is none.
bool is_named(const std::string& name, std::string_view value);

/// Returns whether what stands under this name are headers.
bool is_header_place(const std::string& name);

/// Adds the secrets of a text. `depth`: how many texts it stands within.
void judge_text(const secret_place& at, std::string_view text, std::vector<secret_span>& out, int depth);

/// Adds those of a JSON object or array of at most 64 levels, which begins at `offset` of the text that spans are of.
void judge_json(std::string_view text, std::size_t offset, const secret_place& at, std::vector<secret_span>& out, int depth);

/// Returns `text` with its %XX decoded.
std::string percent_decoded(std::string_view text);

} // namespace conclave::secret_words
