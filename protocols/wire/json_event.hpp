// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp and the tests: the two readers behind `from_json` of an event. They share what a member means.

#include "protocols/coordination.hpp"

#include <string_view>

namespace conclave::wire {

/// Reads an event as `to_json` writes it. Returns false on anything else, also on events `read_any` takes; what it takes,
/// `read_any` reads as the same.
bool read_own(std::string_view text, event& out);

/// Reads any JSON that is an event.
bool read_any(std::string_view text, event& out);

} // namespace conclave::wire
