// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a presentation wrote in folders of the user's themselves (`write_mode: legacy`), from the log: also of one that failed, was
/// cut off, or is under way.

#include "protocols/coordination.hpp"
#include "protocols/opening.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace conclave {

class event_store;

struct in_place_writes {
  std::string agent;                ///< who presented; empty = nobody did who could write in place
  std::vector<std::string> folders; ///< that it could write in
  std::vector<std::string> paths;   ///< in them, that calls of file tools wrote, moved or deleted, as far as that is known
  std::size_t commands = 0;         ///< that it ran; each may have written there
  std::size_t others = 0;           ///< calls of tools that are not ours, which may have, too
};

/// Returns who presented with write_mode legacy, and the folders that it could write in; `paths` and what follows are not looked
/// for.
in_place_writes in_place_of(const opening& o, const std::vector<event>& log);

/// Reads a task's log on the caller's thread. `home`: of the process that ran it, for relative paths. What cannot be read is left
/// out.
in_place_writes in_place_of(event_store& store, const std::string& task, const std::string& home);

/// One sentence without its full stop, with the first `named` paths; empty if nobody could write in place.
std::string in_place_text(const in_place_writes& w, std::size_t named);

} // namespace conclave
