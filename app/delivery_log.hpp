// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The log of a task that has ended, and what was done with its files since. The journal of deliveries is the truth: it is written
/// with the files, and survives a kill at any moment; the log is told what it lacks, each delivery once, whenever somebody looks.
/// Waits for the store, and for others who write to the same log (5 s at most each), so for hosts and the threads of readers: never
/// on a thread of the store or of an actor.

#include "app/task_branch.hpp"
#include "protocols/coordination.hpp"

#include <string>
#include <vector>

namespace conclave {

class event_store;

/// Appends `changes_applied` and `changes_undone` of the task's journal to its log, as far as that lacks them, then those of other
/// tasks whose journals have some that nobody noted (of them no fault is told). Returns why the log of the task does not tell all
/// of it, with what to do, or empty; what was written stands either way. `told` (may be null) gets the events that were appended to
/// the log of this task.
std::string log_deliveries(event_store& store, const std::string& home, const std::string& task,
                           std::vector<event>* told = nullptr);

/// The same of all tasks whose journals have some that nobody noted: after a kill between journal and log. What is not in this
/// store, or has not ended, is left. Returns the first fault.
std::string log_left_deliveries(event_store& store, const std::string& home);

/// Appends a `changes_applied` for each branch that was made. No journal has these: what cannot be told now is never told.
std::string log_branches(event_store& store, const std::string& task, const std::string& branch,
                         const std::vector<committed_folder>& made, std::int64_t now_ms);

} // namespace conclave
