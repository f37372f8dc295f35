// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Finds secrets that a stream tells in pieces under several members, which take turns: each piece is all of a string, or a number,
/// or what a string within JSON that is told as a text begins or ends with (a call's arguments). Pure.

#include "protocols/wire/json_runs.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave {

struct split_secret {
  std::vector<std::size_t> leaves;    ///< that make it up, in their order: positions in what was looked through
  std::vector<wire::text_span> parts; ///< what of each does, as it is escaped there: from its beginning on
  std::vector<std::pair<std::size_t, std::size_t>> doubles; ///< leaves in between that repeat one: position, position in `leaves`
};

/// Returns what makes up one of `texts`, in the order of their ends. The members that take part do so wholly: from the first piece
/// to the last nothing else stands there but what repeats a piece. What stands in other members in between is passed over, at most
/// 256 leaves at a time. O(leaves) for each text.
std::vector<split_secret> find_split(const std::vector<wire::json_leaf>& leaves, std::string_view bytes,
                                     const std::vector<std::string>& texts);

/// Returns what a leaf says: a string without its escapes, of a number the byte.
std::string said_by(const wire::json_leaf& leaf, std::string_view bytes);

} // namespace conclave
