// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The log files of tasks that ended while the process that wrote them did not: it was killed behind the terminal event. Waits for
/// the disk; not for an actor's thread.

#include "transports/event_store.hpp"

#include <string>
#include <vector>

namespace conclave {

/// Writes what the log folder of an ended task lacks: the last events in `events.jsonl`, the last `status.json`. One that has its
/// last status, or no folder, or whose owner is there still, is left alone. Returns what went wrong, in words, or empty.
std::string mend_left_logs(const std::string& home, const task_row& row, event_store& store);

/// The same for the newest tasks, in silence. `rows` is newest first.
void mend_left_logs(const std::string& home, const std::vector<task_row>& rows, event_store& store);

} // namespace conclave
