// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Puts other texts in the place of parts of a text that is held in pieces. Pure.

#include <cstddef>
#include <string>
#include <vector>

namespace conclave {

/// What is put in the place of a part of a text.
struct text_edit {
  std::size_t begin = 0, end = 0; ///< byte positions
  std::string text;
};

/// Returns the text that pieces make up.
std::string joined(const std::vector<std::string*>& pieces);

/// Replaces parts of `all`, which the pieces make up; none may overlap. Where a piece ends in a part it ends as far within what is
/// put there.
void splice(const std::vector<std::string*>& pieces, const std::string& all, std::vector<text_edit> edits);

} // namespace conclave
