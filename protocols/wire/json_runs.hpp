// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which strings of a stream of JSON texts make up one text, whoever wrote the stream: the deltas of an answer, say. Pure.

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave::wire {

/// Where strings stand in `bytes`, without their quotes, as they are escaped there: begin and end.
using string_run = std::vector<std::pair<std::size_t, std::size_t>>;

/// Returns the strings of all JSON texts in `bytes` (lines of SSE, lines, or one), those of the same member name as a run, in
/// their order. `by_index`: a run is also of one position, by what "index" and members that end in "_index" say around it, so that
/// what is sent side by side stays apart. Takes anything, a string that does not end on its line is none. O(bytes).
std::vector<string_run> string_runs(std::string_view bytes, bool by_index);

} // namespace conclave::wire
