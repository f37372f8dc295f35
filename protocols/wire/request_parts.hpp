// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: parts of a conversation that several vendors take in the same form, or not at all.

#include "protocols/chat.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace conclave::wire {

/// What stands for a signature on a call that never had one: a model from Gemini 3 on refuses a turn without any. Source:
/// https://ai.google.dev/gemini-api/docs/thought-signatures (FAQ, of calls that another model made), as cited by
/// https://github.com/strands-agents/sdk-python/pull/1298 and the notes of @ai-sdk/google 3.0.80, read 2026-11-27.
inline constexpr const char* no_signature = "skip_thought_signature_validator";

/// Returns an id of a call that vendors take: letters, digits, '_' and '-', at most `limit` bytes (0 = any). Ids of other providers
/// may be otherwise; the same id gives the same result for the call and for what answers it, different ids stay different.
std::string safe_id(const std::string& id, std::size_t limit = 0);

/// Returns what the requests of one agent in one task have in common, so that a provider sends them where its cache holds what came
/// before; says nothing of either. Empty without a task.
std::string cache_key(const model_request& req);

/// Returns the type of an image that vendors show, by its first bytes, or nullptr: one that is called by a wrong name, or of
/// another type, is refused with the whole request.
const char* image_type(const content_part& p);

/// Returns the parts of a tool's result as they are sent: nothing where its text says it all, because there are no images to be
/// seen, `images` is false, or it is an error, which may hold nothing but text. Else images that vendors show, and texts.
std::vector<const content_part*> parts_to_send(const message& m, bool images);

} // namespace conclave::wire
