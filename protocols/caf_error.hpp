// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Ties `ec` to `caf::error`: `make_error(ec::timeout, "what was attempted, on what, what came back")`.

#include "protocols/error.hpp"

#include <caf/atom.hpp>
#include <caf/deep_to_string.hpp>
#include <caf/error.hpp>
#include <caf/make_message.hpp> // CAF_ERROR_CODE_ENUM of 0.17.6 does not include it
#include <caf/message.hpp>

#include <string>

namespace conclave {

inline constexpr caf::atom_value error_category = caf::atom("conclave");

inline caf::error make_error(ec code, std::string text) {
  return caf::error{static_cast<std::uint8_t>(code), error_category, caf::make_message(std::move(text))};
}

/// Returns our code of any CAF error: CAF's own become unavailable (peer lost), timeout or unknown.
ec code_of(const caf::error& e);

/// Returns the sentence of an error of ours, or CAF's rendering.
std::string text_of(const caf::error& e);

} // namespace conclave
