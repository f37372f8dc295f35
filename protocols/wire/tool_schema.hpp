// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: the tools of a request in the form that strict servers take.

#include "protocols/wire/json_util.hpp"
#include "protocols/wire/quirks.hpp"

#include <string>
#include <vector>

namespace conclave::wire {

struct offered_tool {
  std::string name, description;
  json parameters; ///< an object schema with `properties`; null where the server wants none
};

/// Returns the tools as they are offered: without those the server refuses, no more than it takes (the workflow tools stay), with
/// schemas that have `"type": "object"`, `properties`, and no alternatives at the root, which OpenAI and Anthropic refuse there:
/// they are folded into one object and told in the description.
std::vector<offered_tool> offered_tools(const std::vector<tool_spec>& tools, const quirks& known);

} // namespace conclave::wire
