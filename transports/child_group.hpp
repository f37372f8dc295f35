// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The process group of a child, from its launch until nobody of it lives. Internal to transports/; reactor thread only.
///
/// The child is reaped last: as long as it is a zombie the number of the group is not given away, so a signal never meets another
/// group. (A host that reaps all its children, or ignores SIGCHLD, leaves only the members to keep the number.)

namespace conclave {

class child_group {
public:
  /// Of a child that leads it.
  void lead_by(int child) { number_ = child; }

  int number() const { return number_; } ///< 0 = nobody of it is left

  /// Waits for the child to end, and leaves it a zombie. Returns whether its end is known: `status` is its exit code, or 128 +
  /// signal.
  bool wait(int& status) const;

  /// Returns whether somebody lives. The dead count for kill() until somebody reaps them, which the first process of a container
  /// may never do; so this looks into /proc.
  bool has_members();

  /// To all of them.
  void signal(int sig) const;

  /// It is over: reaps the child.
  void release();

private:
  int number_ = 0;
  int member_ = 0; ///< one that was found alive
};

} // namespace conclave
