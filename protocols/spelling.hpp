// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Names that were written with a slip. Pure.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// Returns the candidate nearest to `name`, or empty if none is near: by edit distance, else one that begins with it or holds it as
/// a word, or the other way round.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);

/// Stricter than nearest(), for places where a wrong guess costs something: another company's server, or a question that is paid
/// for. Returns whether two words are equal, or one letter apart: one more, one less, another one, or two neighbours swapped. Case
/// of ASCII letters does not count.
bool is_one_slip(std::string_view a, std::string_view b);

} // namespace conclave
