// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How one text becomes another, line by line. Pure.

#include <cstddef>
#include <string>
#include <string_view>

namespace conclave {

/// Returns the hunks of a unified diff ("@@ -1,3 +1,4 @@", three lines around), empty if the texts are equal. `limit` lines at
/// most; a last line says how many more there would be. Where more than 1,000 lines differ the shortest way is not looked for: what
/// differs is replaced as a whole. O(lines x differences).
std::string unified_diff(std::string_view before, std::string_view after, std::size_t limit);

/// Returns whether bytes look like no text: a NUL among the first 8,000.
bool looks_binary(std::string_view bytes);

} // namespace conclave
