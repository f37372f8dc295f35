// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: what a Chat Completions server says beside text and calls, and wants back with the next request: thought
/// signatures, reasoning, and whatever comes next. Kept by what the server sends, not by who it is.

#include "protocols/wire/json_util.hpp"

#include <string>
#include <string_view>

namespace conclave::wire {

/// Returns whether a member of a delta is reasoning as text. Its first name in this order counts: some servers send two with the
/// same text.
const char* reasoning_field(std::string_view name);

/// Joins a piece of a streamed value to what came before: objects member by member, lists of parts by index and type, texts and
/// signatures of parts end to end; of anything else the last counts. Returns false if a list grew beyond `max_reply_parts`.
bool join(json& to, const json& piece, std::string_view name = {});

} // namespace conclave::wire
