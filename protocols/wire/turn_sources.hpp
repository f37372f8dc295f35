// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a stored reply names as its sources. Pure.

#include <string>
#include <vector>

namespace conclave::wire {

/// Returns the sources that a turn of a model names, given as message::opaque and message::opaque_dialect (docs/providers.md), for
/// people, each once, in its order, 32 at most. An address that is named with a title is not named again without.
std::vector<std::string> sources_of(const std::string& opaque, const std::string& dialect);

} // namespace conclave::wire
