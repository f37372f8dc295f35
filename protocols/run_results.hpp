// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Long results of tools: a model is shown beginning and end of one, and reads the rest with a tool of ours. Pure.

#include "protocols/run_machine.hpp"

#include <cstddef>
#include <string>

namespace conclave::run {

/// The source of tools that are no source's: the agent answers them from the state of its run.
inline constexpr std::size_t built_in = SIZE_MAX;
inline constexpr const char* read_result_name = "read_result";

/// The tool by which a model reads on in a result. Offered with every other tool, from the first request on: a list of tools that
/// changes spoils the provider's cache of the prompt.
offered_tool read_result_tool();

/// Returns what a model is shown of a result of more than `most` characters: beginning and end, and between them what is left out
/// and how `id` is read on. Parts that are no text stay. A result of fewer is returned as it is.
tool_result excerpt(const tool_result& whole, std::size_t most, const std::string& id);

/// Answers a call of `read_result`: {"id", "offset", "limit"}, counted in characters; at most `max_tool_result_chars` at once.
tool_result read_result(const setting& with, const state& s, const tool_call& call);

} // namespace conclave::run
