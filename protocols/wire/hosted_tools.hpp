// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Tools that a provider runs itself, and in what form each API is asked for them: one table. Pure.

#include "protocols/config.hpp"
#include "protocols/wire/dialect.hpp"
#include "protocols/wire/json_util.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

/// Returns what a configuration asks for.
hosted_tools hosted_of(const backend_config& b);

/// Adds to a request's body what asks the API behind `to` for the tools of `to.hosted`: before functions, after what is there of
/// other lists. What the API has no form for is left out; `hosted_faults` has said so.
void add_hosted_tools(json& body, std::string_view dialect, const endpoint& to, const std::string& model);

/// Returns whether models of Gemini before 3 answer: there tools of the provider do not go with functions or a schema.
bool is_gemini_before_3(const std::string& model);

/// Returns the dialect that serves a backend which is reached at `base_url`: that of its type, but where an API has the tools that
/// are asked for in its Responses alone. Empty for a type that has none.
std::string dialect_of(const backend_config& b, const std::string& base_url);

struct hosted_fault {
  std::string key; ///< of the configuration
  std::string text;
};

/// How often one call may use such tools, which are billed by use.
struct hosted_bound {
  std::int64_t most = 0;               ///< of those that the request bounds
  std::vector<hosted_fault> unbounded; ///< the others, with what bounds them
};
hosted_bound hosted_uses(const backend_config& b);

/// Returns what a backend asks for and does not get, or not always, with what to do.
std::vector<hosted_fault> hosted_faults(const backend_config& b);

} // namespace conclave::wire
