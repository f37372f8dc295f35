// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What of a task's changes is never written, whoever asks: one rule for what is counted and told before, and for what is done.

#include "protocols/config.hpp"
#include "transports/delivery.hpp"

#include <string>
#include <vector>

namespace conclave::delivery {

/// Judges paths of a folder: excluded and secret names stay as they are, and so does what is protected, or to be read alone, in the
/// folders that agents were given, where the folder is one of these, is in one, or holds one. Looks at the disk where a git
/// repository could come to be. One thread.
judge judge_for(const std::string& folder, const workspace_config& with);

/// Why a change is never written, whatever is there, or empty.
std::string denied(const judge& allowed, const snapshots::change& c);

/// Takes the changes out that are never written, and says which and why: of a folder that it is ('/' at its end), and not of what
/// is in it.
std::vector<left_out> take_denied(const judge& allowed, snapshots::changes& all);

} // namespace conclave::delivery
