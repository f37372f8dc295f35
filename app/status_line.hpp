// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where a task stands, in one line for people. Pure.

#include "app/task_view.hpp"

#include <cstdint>
#include <string>

namespace conclave {

/// Returns "round 1, decided 3 of 12, waiting for a04, a07, a09 and 2 more, 1m45s, 12,345 tokens"; empty before a task has begun
/// and after it has ended. `now_ms`: Unix time. `names`: whom the task waits for, which a narrow terminal has no room for.
std::string status_text(const task_view& v, std::int64_t now_ms, bool names = true);

} // namespace conclave
