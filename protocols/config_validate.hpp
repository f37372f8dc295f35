// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What is wrong with a configuration, as far as the data alone tells. Pure.

#include "protocols/config.hpp"

#include <string>
#include <vector>

namespace conclave {

/// "file:line: path: text" as shown to the user.
std::string to_string(const problem& p);

/// Returns every problem that can be seen without touching the OS: ids, types, ranges, references, secrets on remote agents. Each
/// names the place in the file, or the option, where its field was written. `amends`: it is a task's with
/// other rules: no agent is needed, and backends were looked at when it ran.
std::vector<problem> validate(const run_config& c, bool amends = false);

/// Returns where a field stands, or else what it stands in; its own path where that is not known either.
place place_of(const place_map& places, const std::string& path);

} // namespace conclave
