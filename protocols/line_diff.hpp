// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How one text becomes another, line by line. Pure.

#include <cstddef>
#include <string>
#include <string_view>

namespace conclave {

struct diff_counts {
  std::size_t added = 0, removed = 0; ///< lines
  std::size_t left_out = 0;           ///< lines of the diff beyond its limit
};

/// Returns the hunks of a unified diff ("@@ -1,3 +1,4 @@", `around` equal lines around), empty if the texts are equal. `limit`
/// lines at most, and 1 MiB; a last line says how many more there would be. Where more than 1,000 lines differ, or they lie among
/// more than 200,000, or that takes too many steps, the shortest way is not looked for: what differs is replaced as a whole. Linear
/// beyond that, and needs memory for no more than that many lines.
std::string unified_diff(std::string_view before, std::string_view after, std::size_t limit, std::size_t around = 3,
                         diff_counts* counts = nullptr);

/// Returns whether bytes look like no text: a NUL among the first 8,000.
bool looks_binary(std::string_view bytes);

} // namespace conclave
