// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// `conclave node`: a process that offers its keys, tools and files to engines elsewhere.

#include "protocols/config.hpp"

#include <cstdint>
#include <string>

namespace conclave {

struct node_options {
  std::string host;               ///< address to listen on, checked by the caller to be non-empty; "[::1]" comes as "::1"
  std::uint16_t port = 0;         ///< 0 = any free port; the line printed at start names the real one
  bool insecure_loopback = false; ///< no TLS; only for loopback addresses
  tls_config tls;                 ///< paths as given; all empty = the per-user CA
  bool check = false;             ///< ask the node at this address instead of being one
  std::int64_t grace_ms = 30'000; ///< how long tasks may go on after a signal
  bool json = false;              ///< the log as JSON lines on standard output
  bool quiet = false;             ///< log failures only
  bool verbose = false;           ///< log runs and callers, too
};

/// Serves until SIGINT, SIGTERM or SIGHUP, then lets its tasks end for the grace, taking no new ones, and returns the exit code: 0
/// ended by a signal, 1 usage (address, certificates), 2 could not listen. Called with these three signals blocked in every thread
/// and SIGPIPE ignored, so it waits for them with sigwait or signalfd; a second signal ends the process once its children have
/// ended, 5 s later at the latest.
int run_node(const node_options& options);

/// Connects to a node as an engine would and prints its version and protocol, or the reason why not. Returns 0 or 1.
int check_node(const node_options& options);

} // namespace conclave
