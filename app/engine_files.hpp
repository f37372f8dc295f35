// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What both engines share of files: the folders that agents are given, and what tasks make of them. Blocks on the disk; any
/// thread but one of an actor.

#include "app/approval.hpp"
#include "app/engine.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

/// Brings the folders of the user's that agents may use into the form that the sandbox compares: links resolved. Returns what is
/// wrong with the first that no agent may have, or with an absolute `cwd`, as a team file is told; or empty.
std::string settle_folders(std::vector<agent_config>& agents);

/// Why a folder that agents get a copy of is too much for that, or empty: told before a call is paid for. Looks at all of each.
std::string measure_folders(const std::vector<agent_config>& agents);

// As the members of `engine`.
proposed_changes changes_of_task(event_store& store, const std::string& task, std::string& error);
std::string apply_task(event_store& store, outside& from, const std::string& task, const apply_request& how);
std::string undo_task(event_store& store, const std::string& task);
std::string file_of_task(event_store& store, const std::string& task, const std::string& label, const std::string& path,
                         std::string& error);

/// Returns `done` with a warning in its outcome that begins with "in place: " where the presenter could write in folders of the
/// user's itself (`write_mode: legacy`), however the task ended. It reads the task's log.
std::function<void(outcome)> telling_in_place(std::shared_ptr<event_store> store, std::function<void(outcome)> done);

/// Asks whoever started the task whether its changes are written, and writes them. What went wrong is a warning of the outcome.
class consent {
public:
  /// Null if `l` asks nothing.
  static std::shared_ptr<consent> of(const listener& l, std::shared_ptr<event_store> store, std::shared_ptr<outside> from);

  void carry_out(outcome& o);

  /// Nothing is written that was not begun; whoever waits for the host goes on.
  void give_up(const std::string& why) { question_.give_up(why); }

private:
  std::function<bool(const outcome&, const std::string&)> approve_;
  std::function<void(const event&)> on_event_;
  std::chrono::milliseconds within_{};
  std::shared_ptr<event_store> store_;
  std::shared_ptr<outside> from_;
  void tell_log(outcome& o, const std::string& home);

  host_question question_;
};

} // namespace conclave
