// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: a bounded parse that never throws and typed getters over nlohmann values.

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace conclave::wire {

using json = nlohmann::json;

inline constexpr int max_depth = 64;

/// Returns the value, or nothing for invalid JSON or JSON deeper than `max_depth`. Duplicate keys: the last wins unless `strict`.
std::optional<json> parse(std::string_view text, bool strict = false);

/// As `parse`, but invalid UTF-8 inside is replaced first, as vendors' clients do: some servers cut a character between two events.
std::optional<json> parse_lenient(std::string_view text);

/// Returns compact JSON; invalid UTF-8 is replaced.
std::string dump(const json& value);

/// Member access that never throws: nullptr if `v` is no object or has no such member.
const json* member(const json& v, const char* key);
std::string string_at(const json& v, const char* key);
std::int64_t int_at(const json& v, const char* key);

/// A count of tokens: never negative, small enough that sums cannot overflow.
std::int64_t tokens_at(const json& v, const char* key);

} // namespace conclave::wire
