// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Names as file systems compare them that do not look at case and normal form (ext4 and f2fs with casefold, APFS, NTFS). Pure.

#include <string>
#include <string_view>

namespace conclave {

/// Returns the name decomposed (NFD) and without case, so that two names are one on such a file system only if these are equal.
/// Bytes that are not UTF-8 stay as they are.
std::string folded_name(std::string_view name);

} // namespace conclave
