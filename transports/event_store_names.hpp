// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How the store names records, bodies and owners. Pure.

#include "transports/event_store.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace conclave {

/// Returns the row of the record that begins with event `seq` of the task that began as the `nr`th; those of a task lie between its
/// event 0 and that of the next. A task whose row has no number has no records.
constexpr std::int64_t record_id(std::int64_t nr, std::uint64_t seq) {
  return nr << 32 | static_cast<std::int64_t>(seq);
}

/// The numbers of events end here; far beyond what bounds a task.
inline constexpr std::uint64_t last_event = 0xFFFF'FFFF;

/// Returns the 32 bytes of a body's name, empty if it is none.
std::string body_key(std::string_view sha);

/// The reverse.
std::string body_name(std::string_view key);

/// Returns who this is, for a sentence: "process 4711 on mars (begun 2026-11-26 06:51:11 UTC)".
std::string owner_text(const task_owner& owner);

/// Returns that somebody works on a task, for a sentence that may go on: before its end it is under way, behind that it is in use.
std::string in_use_text(const std::string& task, const task_owner& owner, bool ended);

/// What to do about a task that is in use: for such a sentence to go on with.
inline constexpr const char* in_use_advice = "; answer what it asks, or wait until it has ended";

/// Returns why a task is not deleted that somebody works on.
std::string why_kept(const task_row& row);

} // namespace conclave
