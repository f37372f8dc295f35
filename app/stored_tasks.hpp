// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The store of this user as the commands on stored tasks use it. Complains for itself.

#include "app/task_hold.hpp"
#include "protocols/coordination.hpp"
#include "transports/event_store.hpp"
#include "transports/event_store_names.hpp"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace conclave {

struct stored_tasks {
  std::string home;
  std::unique_ptr<event_store> store;
  std::vector<task_row> rows; ///< newest first

  std::string path() const { return home + "/tasks.db"; }

  /// Opens the store to read it. Returns 0, or the exit code after a complaint.
  int open();

  /// Opens it and finds the task that is wanted (see find_task). Returns 0, or the exit code after a complaint.
  int open(const std::string& wanted, task_row& found);

  task_row row(const std::string& task) const;

  /// Reads the events of a task; one that cannot be read is said and left out. Returns 0, or the exit code after a complaint.
  /// `bodies`: gets those that lie on the way, by their SHA-256 (event_store::read_with_bodies).
  int read(const std::string& task, std::vector<event>& out, std::unordered_map<std::string, std::string>* bodies = nullptr) const;

  /// Reads all bodies of a task by their SHA-256. Returns 0, or the exit code after a complaint.
  int read_bodies(const std::string& task, std::map<std::string, std::string>& out) const;

  /// Keeps a task for this process until `let_go` (see task_hold::of_ended): nobody deletes its files while they are asked about,
  /// or written. `by`: the store in which it ended (event_store::keep_ended), null = one of its own, which ends with `let_go`; it
  /// outlives this. Returns 0, or the exit code after a complaint.
  int hold(const std::string& task, event_store* by = nullptr);
  void let_go();

  /// Deletes tasks: first their logs, so that a full disk has room for what deleting from the store writes, and so that a call that
  /// was ended half-way leaves the tasks in the list for the next one. Nothing of a task that somebody works on is deleted, and
  /// nobody takes up one that is; that is a complaint unless `leave_running`. Sets `deleted`. Returns 0, or the
  /// exit code after a complaint.
  int forget(const std::vector<std::string>& tasks, std::vector<std::string>& deleted, bool leave_running = false) const;

private:
  std::unique_ptr<event_store> writing_;
  std::unique_ptr<task_hold> held_; ///< of that
};

/// Returns how a stored task ended, as its host was told; interrupted if it has not.
outcome outcome_of(const std::string& task, const std::vector<event>& events);

} // namespace conclave
