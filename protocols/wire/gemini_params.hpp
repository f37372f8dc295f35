// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: the parameters of a configuration at the places where Gemini's API wants them. Pure.

#include "protocols/wire/json_util.hpp"

#include <string>

namespace conclave::wire {

/// Puts the members of `params` (a JSON object as text, or empty) into a request's body: those of the request where they belong,
/// all others into `generationConfig`, names in camelCase. What other APIs call by another name (max_tokens, stop, tool_choice,
/// reasoning_effort, response_format) becomes what this one calls it, and what is said in its own words wins. `older`: the model is
/// from before Gemini 3, where thinking has a budget instead of a level. Returns false if `params` is no object.
bool place_gemini_params(json& body, const std::string& params, bool older);

/// Merges `extra_body` last, null takes away; `generationConfig` and `toolConfig` member by member. A choice of tool without tools
/// and what is left empty go. Returns false if it is no object.
bool overlay_gemini_body(json& body, const std::string& extra_body);

} // namespace conclave::wire
