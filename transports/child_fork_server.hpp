// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A copy of a program of ours that waits and forks itself on request: such a child begins in a fraction of the time that executing
/// it takes. Its child is ours (CLONE_PARENT), with all that child_launch.hpp promises. Internal to transports/; reactor thread
/// only.
///
/// The program is started with the single argument `child_command::fork_server` and a SOCK_SEQPACKET socket as its stdin. It says
/// "+" there; to each message of one byte and three descriptors it answers the pid of a child that has them as its stdin, stdout
/// and stderr, or an errno below zero. It ends when the socket does, and with us.

#include "transports/child_launch.hpp"

#include <memory>

namespace conclave {

class child_fork_server {
public:
  /// That of the process. Never destroyed, like the reactor.
  static child_fork_server& get();

  /// Returns the pid of a new child, 0 if there is none to be had in this way now: it is to be executed then. Throws
  /// (boost::system::system_error) if the server was ended before it told whether there is a child.
  int fork(const child_command& command, const std::string& program, int in, int out, int err);

  /// Sees to it that there is one for commands like this. Returns before it is ready; does nothing where that fails.
  void start(const child_command& command, const std::string& program);

  /// It starts no more and ends.
  void close();

private:
  struct running;

  std::shared_ptr<running> running_; ///< null = none
  int failed_ = 0;                   ///< how many ended without a child
};

} // namespace conclave
