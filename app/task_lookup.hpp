// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Which stored task a user means, and the table of `conclave list`. Pure.

#include "transports/event_store.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// Returns the id of the task `wanted` names: an id, the beginning of exactly one, or "last" (newest). Otherwise returns an empty
/// string and a text for the user in `error`: the candidates, or the nearest id. `rows` is newest first.
std::string find_task(const std::vector<task_row>& rows, const std::string& wanted, std::string& error);

/// Returns whether a task was cut off and its log has what is needed to go on.
bool is_resumable(const task_row& r);

/// Returns one line per task, at most `width` columns each (0 = uncut), or one line that says there is none.
std::string task_table(const std::vector<task_row>& rows, std::size_t width);

/// Returns one JSON object per line.
std::string task_lines(const std::vector<task_row>& rows);

/// Returns a line that says how to go on, if the newest task was cut off; else an empty text.
std::string cut_off_notice(const std::vector<task_row>& rows);

/// Returns whether a text can be an id of ours, i.e. is safe as a file name.
bool is_task_id(const std::string& text);

} // namespace conclave
