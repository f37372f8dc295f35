// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a tool server may be started with: docs/protocol.md 11.4. Pure.

#include "protocols/config.hpp"

#include <string>

namespace conclave {

/// Returns which rule of docs/protocol.md 11.4 this stdio server breaks, as a sentence that names it; empty = none.
std::string vet_command(const mcp_server_config& s);

/// Returns why this variable may not be set for a tool server, or empty. `strict`: PATH, HOME, USER, USERNAME, SHELL too.
std::string vet_variable(const std::string& name, const std::string& value, bool strict);

} // namespace conclave
