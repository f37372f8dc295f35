// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What counts as a slip of the keys. Stricter than nearest() of config.hpp, for places where a wrong guess costs something:
/// another company's server, or a question that is paid for. Pure.

#include <string_view>

namespace conclave {

/// Returns whether two words are equal, or one letter apart: one more, one less, another one, or two neighbours swapped. Case of
/// ASCII letters does not count.
bool is_one_slip(std::string_view a, std::string_view b);

} // namespace conclave
