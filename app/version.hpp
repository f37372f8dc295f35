// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

namespace conclave {
inline constexpr const char* version = "0.1.0";
} // namespace conclave
