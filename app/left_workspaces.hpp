// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Workspaces that nobody needs any more. A task deletes its own when it ends; one whose process was killed between that end and
/// the deletion has left them. Blocks on the disk; any thread.

#include "transports/event_store.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave {

/// Deletes the workspaces below `home` of tasks that have ended and whose process is gone. `rows` lists the tasks of the store and
/// is asked at most once, and only if there is a workspace of any task. Those of a task that was cut off stay, for `resume`, as do
/// those of tasks that are not in the list.
void remove_left_workspaces(const std::string& home, const std::function<std::vector<task_row>()>& rows);

} // namespace conclave
