// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

namespace conclave::launcher {

/// Serves transports/child_fork_server.hpp on the socket that is descriptor 0: makes launchers that are children of the engine, as
/// this process is. Returns true in each of them, which has its own descriptors 0 to 2 by then, and false once the engine asks for
/// no more.
bool fork_on_request();

} // namespace conclave::launcher
