// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which stored task a user means, and the table of `conclave list`. Pure.

#include "transports/delivery.hpp"
#include "transports/event_store.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace conclave {

/// Returns the id of the task `wanted` names: an id, the beginning of exactly one, or "last" (newest). Otherwise returns an empty
/// string and a text for the user in `error`: the candidates, or the nearest id. `rows` is newest first.
std::string find_task(const std::vector<task_row>& rows, const std::string& wanted, std::string& error);

/// Returns whether a task was cut off here, not in a recording that was played, and its log has what is needed to go on.
bool is_resumable(const task_row& r);

/// Returns the task that `resume` means where none is named: the newest without an answer that was not played from a recording and
/// that no later one went on from (`is_continued`, asked about those that ended; may be empty); if all have theirs the newest,
/// played ones last. Empty if there is none. `rows` is newest first.
std::string task_to_go_on_with(const std::vector<task_row>& rows, const std::function<bool(const task_row&)>& is_continued = {});

/// Why a task that was played from a recording is not gone on with.
std::string why_not_for_real(const std::string& task);

/// Returns a line that says which task it is, if it is not the newest; else an empty text.
std::string which_task(const std::vector<task_row>& rows, const std::string& task);

/// What was applied of tasks, by their ids.
using task_deliveries = std::map<std::string, std::vector<delivery::past>>;

/// Returns one line per task, at most `width` columns each (0 = uncut), or one line that says there is none. Where something was
/// applied a column says of which tasks.
std::string task_table(const std::vector<task_row>& rows, std::size_t width, const task_deliveries& applied = {});

/// Returns one JSON object per line.
std::string task_lines(const std::vector<task_row>& rows, const task_deliveries& applied = {});

/// Returns a line that says how to go on, if the newest task was cut off; else an empty text.
std::string cut_off_notice(const std::vector<task_row>& rows);

/// Returns whether a text can be an id of ours, i.e. is safe as a file name.
bool is_task_id(const std::string& text);

} // namespace conclave
