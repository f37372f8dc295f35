// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Names as models write them: `functions.new_answer:0`, `vote<|channel|>commentary`, `Agent 1`. What does not lead to exactly one
/// name that was given stays as it is. Pure.

#include "protocols/chat.hpp"

#include <string>
#include <vector>

namespace conclave::wire {

/// Returns a tool's name without what models put around it: a namespace of tools, special tokens, a number, parentheses, quotes.
std::string undecorated(const std::string& name);

/// Returns the offered name that is meant, else `name`.
std::string resolve_tool(const std::string& name, const std::vector<std::string>& offered);

/// Returns the shown id that is meant, else `id`.
std::string resolve_agent(const std::string& id, const std::vector<std::string>& shown);

/// Resolves the names of a reply's calls, also in the copy of the turn that goes back to the provider.
void resolve_calls(completion& c, const std::vector<std::string>& offered);

} // namespace conclave::wire
