// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The name of a body: what is kept beside the log is found by what it holds. Pure; any thread.

#include <string>
#include <string_view>

namespace conclave::wire {

/// Returns the SHA-256 of `bytes` as 64 lower-case hexadecimal digits. A library without SHA-256 ends the process: no store could
/// be trusted then.
std::string sha256(std::string_view bytes);

/// Returns whether `text` is written as `sha256` writes.
bool is_sha256(std::string_view text);

} // namespace conclave::wire
