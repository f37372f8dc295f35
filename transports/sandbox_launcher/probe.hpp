// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

namespace conclave::launcher {

/// What the self-test tries to reach from within a sandbox.
struct targets {
  const char* outside;     ///< a file that is not granted
  const char* read_only;   ///< a file that may be read alone
  const char* net;         ///< the network namespace of the engine, as its link says
  int parent;              ///< the process of the engine
};

/// Tries everything and prints a line for each: a name, and "held" or "open". Returns 0.
int probe(const targets& t);

} // namespace conclave::launcher
