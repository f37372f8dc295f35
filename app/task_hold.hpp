// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A stored task in the hands of this process: nobody deletes it, writes its changes or goes on with it meanwhile. It is the
/// store's own claim, so the end of the process, however it comes, lets go of it. Who only reads a task needs none.

#include "transports/event_store.hpp"

#include <memory>
#include <string>

namespace conclave {

class task_hold {
public:
  /// Claims a task; waits for the store, so not on one of its threads. The store outlives this.
  task_hold(event_store& store, std::string task);
  ~task_hold() { release(); }
  task_hold(const task_hold&) = delete;
  task_hold& operator=(const task_hold&) = delete;

  /// The same of a task that has ended, for what is done with its files or goes on from it. Who has it for a moment, to add to its
  /// log, is waited for. Returns nothing, with a sentence in `why`, if another process has it or it is not there; and where it has
  /// not ended, or the store cannot be written (as on a full disk): then nobody can be kept off, and `why` is empty. Without
  /// `waits` nobody is waited for.
  static std::unique_ptr<task_hold> of_ended(event_store& store, const std::string& task, std::string& why, bool waits = true);

  const claim_result& claim() const { return claim_; }

  /// Lets go of it, if it is held.
  void release();

private:
  event_store& store_;
  std::string task_;
  claim_result claim_;
  bool held_ = false;
};

} // namespace conclave
