// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// JSON helpers for code outside `wire/`: escape, check, hash, events as JSON lines. nlohmann stays inside wire/*.cpp.

#include "protocols/coordination.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace conclave::wire {

inline constexpr int event_version = 2;

/// Returns one JSON object without line breaks: {"v":2,"seq":..,"time":..,"type":..,...}; empty fields are left out. Invalid UTF-8
/// is replaced.
std::string to_json(const event& e);

/// Reads what `to_json` wrote, of any version: an older one becomes what this version says instead (docs/events.md), unknown fields
/// are kept in `extra`. Returns false on anything that is no event.
bool from_json(std::string_view text, event& out);

/// Returns `text` as a quoted JSON string; invalid UTF-8 is replaced.
std::string quote(std::string_view text);

/// Returns whether `text` is a JSON object within the bounds (depth 64, no duplicate keys).
bool is_object(std::string_view text);

/// Returns the member `key` of a JSON object as text: strings unquoted, other values as JSON; false if absent or no object.
bool get(std::string_view object, std::string_view key, std::string& out);

/// Returns the texts in the list that is the member `key` of a JSON object; empty if there is no such list.
std::vector<std::string> texts_at(std::string_view object, std::string_view key);

/// Returns {"changes": [{"folder", "before", "after", "files", "commit"}, ...]}, empty if there are none.
std::string changes_object(const std::vector<folder_change>& changes);

/// Reads what `changes_object` wrote; none if it is anything else.
std::vector<folder_change> changes_at(std::string_view object);

/// Returns a 16-digit hex hash (FNV-1a 64) of the bytes; names a request in the log, is no signature.
std::string hash(std::string_view bytes);

} // namespace conclave::wire
