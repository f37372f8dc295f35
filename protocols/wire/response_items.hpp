// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/openai_responses*.cpp: the items a reply of the Responses API consists of: what one says, and how it goes back.

#include "protocols/wire/json_util.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace conclave::wire {

/// Returns the string that stands there, or an empty one.
const std::string& ref_at(const json& v, const char* key);

/// Returns whether items of this type are calls of tools that we carry out.
bool is_call(std::string_view type);

/// Returns a call's arguments as text; of a custom tool, its input.
std::string given_arguments(const json& item);

/// Returns the text of a message, its parts end to end; or its refusal.
std::string message_text(const json& item);
std::string message_refusal(const json& item);

/// Returns a thought's text, its parts divided by blank lines. `which`: "summary" or "content"; nullptr = the one that is there.
std::string thought_text(const json& item, const char* which);

/// Calls `use(title, address)` for every source that a message cites; of a file it is its name, without an address.
void each_source(const json& item, const std::function<void(const std::string&, const std::string&)>& use);

/// Returns the name of the provider's own tool that the item is a call of, empty if it is none.
std::string hosted_tool(const json& item);

/// Returns what that call did, for people: a query, an address, code; empty if it does not say.
std::string hosted_detail(const json& item);

/// Returns the item in the form that it goes back in, as the provider's types want it; null if it cannot: thoughts that are not
/// kept anywhere (`stored`: the provider keeps the reply), a message without content. What is not ours to read goes back as it
/// came.
json for_replay(json item, bool stored);

/// Takes from a list of items what a server refuses: calls of the provider's tools that nobody answered, and thoughts that nothing
/// follows.
void drop_loose_ends(json& items);

} // namespace conclave::wire
