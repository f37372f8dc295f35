// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to wire/*.cpp: a bounded parse that never throws and typed getters over nlohmann values.

#include "protocols/chat.hpp"
#include "protocols/wire/bounds.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace conclave::wire {

using json = nlohmann::json;

/// Built up, millions of small values cost many times the memory of their text, and mending a text costs several copies of it:
/// whoever writes that is not understood, so that nobody makes us large by a few MB.
inline constexpr std::size_t long_text = std::size_t{1} << 20;
inline constexpr std::size_t max_values = 300'000; ///< in a long text
inline constexpr std::size_t max_mended = std::size_t{4} << 20;

/// Returns whether a text is a long one of more than `max_values` values.
bool too_many_values(std::string_view text);

/// Returns the value, or nothing for invalid JSON or JSON deeper than `max_depth` or of too many values. Duplicate keys: the last
/// wins unless `strict`. `room`: bytes that the value may take, as `weight` counts; `too_much` says whether it was too large.
std::optional<json> parse(std::string_view text, bool strict = false, std::size_t room = SIZE_MAX, bool* too_much = nullptr);

/// As `parse`, but invalid UTF-8 and half surrogate pairs inside are replaced first, as vendors' clients do: some servers cut a
/// character between two events. Only up to `max_mended` bytes. Where `marked` is given, half pairs become marks for a
/// `surrogate_joiner` and it is set to true.
std::optional<json> parse_lenient(std::string_view text, bool* marked = nullptr, std::size_t room = SIZE_MAX,
                                  bool* too_much = nullptr);

/// Returns the bytes that a value takes, about.
std::size_t weight(const json& v);

/// Returns the text with invalid UTF-8 replaced.
std::string valid_utf8(std::string_view text);

/// Returns compact JSON; invalid UTF-8 is replaced. `expected`: bytes to make room for at once, where a long text would be copied
/// several times as it grows.
std::string dump(const json& value, std::size_t expected = 0);

/// Member access that never throws: nullptr if `v` is no object or has no such member.
const json* member(const json& v, const char* key);
std::string string_at(const json& v, const char* key);
std::int64_t int_at(const json& v, const char* key);
std::int64_t int_of(const json& v); ///< 0 if it is no number; a fraction is cut off, one no 64 bits hold is the largest, or 0

/// A count of tokens that is ours or asked for: never negative, small enough that sums cannot overflow.
std::int64_t tokens_at(const json& v, const char* key);

/// What a member says as a count of tokens: nothing (absent, negative, no number); one from 0 to 10^12; or more than any call
/// costs, which leaves unknown what this one did. In this order, of two words on the same count the later counts.
enum class token_count : std::uint8_t { absent, given, absurd };

/// Sets `to` where the count is given, and leaves it otherwise. NaN = it is not there.
token_count take_tokens(double count, std::int64_t& to);
token_count read_tokens(const json& v, const char* key, std::int64_t& to);

/// Usage as events hold it; what is 0 is left out.
json to_value(const usage& u);
usage usage_from(const json& v);

} // namespace conclave::wire
