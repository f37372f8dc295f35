// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What each version of the Messages API wants: one row of data a version. Pure.
/// Source: the vendor's TypeScript SDK 1.12.0 (2026-10-21) and 0.137.0 (2023-06-01), what they send and what their types take; read
/// 2026-11-23.

#include <array>
#include <string>
#include <string_view>

namespace conclave::wire {

/// The parameters that choose among likely words.
inline constexpr std::array<const char*, 3> sampling_keys = {"temperature", "top_p", "top_k"};

struct anthropic_version {
  std::string_view from;  ///< the first version this holds for: dates compare as text
  const char* key_header; ///< with `Authorization` it is a bearer's
  std::string_view takes; ///< of the sampling keys, separated by blanks
};
inline constexpr anthropic_version anthropic_versions[] = {{"2026-10-21", "Authorization", ""},
                                                           {"", "x-api-key", "temperature top_p top_k"}};

/// Where the configuration names none.
inline constexpr const char* default_anthropic_version = "2026-10-21";

/// Returns the row of a version; empty = the default.
inline const anthropic_version& rules_of_version(const std::string& version) {
  std::string_view asked = version.empty() ? std::string_view(default_anthropic_version) : std::string_view(version);
  const auto* row = anthropic_versions;
  while (asked < row->from)
    ++row;
  return *row;
}

/// Returns whether a version takes a sampling key. No name of one is a part of another's.
inline bool takes(const anthropic_version& version, std::string_view sampling_key) {
  return version.takes.find(sampling_key) != std::string_view::npos;
}

} // namespace conclave::wire
