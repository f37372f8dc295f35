// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Judges the paths in a call of a tool that is not ours, as what they lead to now. An early answer that a model can use: what
/// holds is the sandbox of the server. Blocks on the disk.

#include "protocols/path_policy.hpp"
#include "protocols/wire/foreign_paths.hpp"

#include <string>
#include <vector>

namespace conclave {

/// Returns the first denial, or none. Relative paths are of `work`. `where` is set to the argument that was denied.
path_policy::verdict judge_foreign(const path_policy::rules& rules, const std::string& work,
                                   const std::vector<wire::foreign_path>& paths, std::string& where);

} // namespace conclave
