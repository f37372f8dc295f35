// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A small process that outlives ours. When our end of its pipe closes, as it does at a kill -9, it takes what is left of the
/// groups of our children through the teardown ladder (their input has just ended): 2 s, SIGTERM, 2 s, SIGKILL. Then it ends
/// itself. Why it is a shell: docs/decisions/0006-boost-process.md. Internal to transports/; reactor thread only.

#include <string>

namespace conclave {

/// Tells which groups there are ("12 15"): after each start, and before a number can be reused. The first call starts the reaper,
/// as does one that finds it dead. Without a shell nothing happens: the parent-death signal still ends the children themselves.
void tell_reaper(const std::string& groups);

} // namespace conclave
