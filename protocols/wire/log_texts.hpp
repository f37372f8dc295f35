// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a recorded run needs to know of the texts of a log (docs/cassettes.md). Pure.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// Returns a line of a log with every hash in it empty: a text of 16 or 64 small hexadecimal digits and nothing else, as the names
/// of bodies and of requests are (docs/events.md), and without what a call may use at most, which follows from the length of texts.
std::string without_hashes(std::string_view line);

/// Returns where in a JSON text a string, or the name of a member, is one that `holds` accepts: "agents[0].backend.base_url". In
/// order of the text's members, `most` at most; empty if it is no JSON within the bounds.
std::vector<std::string> places_of(std::string_view text, const std::function<bool(const std::string&)>& holds, std::size_t most);

} // namespace conclave::wire
