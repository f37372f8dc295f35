// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What is to be done with a target: each change judged by what is there now, and the steps that follow. Writes nothing. Private to
/// transports/delivery*.

#include "transports/delivery_journal.hpp"

namespace conclave::delivery {

/// A change with what was found in its place.
struct judged {
  proposed said;
  state now;                   ///< kind none = nothing
  bool folder_missing = false; ///< of its parent
};

/// Looks at one path. `read`: whether a file's bytes matter. Returns 0 or errno; ENOENT and a state of kind none for a missing
/// parent, ENOTDIR, ELOOP, EXDEV for one that is not entered; ENXIO for a FIFO, a socket, a device.
int look_at(const target& at, const std::string& path, bool read, state& out, cancel_flag cancel);

/// Whether a name is as an entry says: kind, who may execute, bytes.
bool matches(const state& now, const snapshots::entry& e);

result<std::vector<judged>> judge_all(const job& j, const target& at);

/// What a path becomes; nullptr = it stays as it is.
using planned = std::function<const snapshots::entry*(const std::string& path)>;

/// Returns why a link that is to be made may lead out of the target, or empty. Links that lead out are in no copy, so one that is
/// named after the user's own one looked to agents as if it led nowhere.
std::string leads_out_of(const target& at, const snapshots::store& store, const snapshots::change& link, const planned& next);

/// The steps for what may be done: removals from the deepest up, then the rest from the top down.
std::vector<step> steps_of(const job& j, const target& at, const std::vector<judged>& all, std::vector<left_out>& skipped);

} // namespace conclave::delivery
