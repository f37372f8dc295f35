// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A copy of a program of ours that waits and forks itself on request: such a child begins in a fraction of the time that executing
/// it takes. Its child is ours (CLONE_PARENT), with all that child_launch.hpp promises. Internal to transports/; reactor thread
/// only.
///
/// The program is started with the single argument `child_command::fork_server` and a SOCK_SEQPACKET socket as its stdin. It says
/// "+" there; to each message of one byte and three descriptors that is of this process itself, and not of a fork of it, it answers
/// the pid of a child of its own group that has them as its stdin, stdout and stderr, or an errno below zero. It ends when the
/// socket does, and with us.

#include "transports/child_launch.hpp"

#include <memory>

namespace conclave {

class child_fork_server {
public:
  /// That of the process. Never destroyed, like the reactor.
  static child_fork_server& get();

  /// Returns the pid of a new child that leads its group, 0 if there is none to be had in this way now: it is to be executed then.
  /// In that case a server is started a moment later, for the next of such commands.
  int fork(const child_command& command, const std::string& program, int in, int out, int err);

  /// For the end of the process: there is none any more.
  void close();

private:
  struct running;

  int ask(int in, int out, int err);
  void start_soon(const child_command& command, const std::string& program);
  void start(const child_command& command, const std::string& program);
  void stop();

  std::shared_ptr<running> running_; ///< null = none
  bool open_ = true, starting_ = false;
  int failed_ = 0; ///< how many ended without having been asked, or did not answer
};

} // namespace conclave
