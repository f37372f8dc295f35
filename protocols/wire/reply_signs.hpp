// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: what an event of a reply is besides a part of it, whatever the dialect.

#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sse.hpp"

#include <string>

namespace conclave::wire {

/// The words that end a stream: [DONE].
bool is_end_mark(const std::string& data);

/// Keep-alives that are no comments: words instead of JSON, or events that no dialect knows.
bool is_idle(const sse_event& e);

/// The object that holds an error in any provider's form, or nullptr.
const json* error_in(const json& v);

} // namespace conclave::wire
