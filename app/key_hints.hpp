// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Keys that others spell otherwise, or that stand at the wrong level of a team file. Pure.

#include "protocols/config_keys.hpp"

#include <string>

namespace conclave {

struct key_hint {
  std::string text;        ///< "write `base_url`"; empty = nothing is known of this key
  bool connection = false; ///< it says where requests go, or with what key: sent along as a parameter it would be lost
  bool limits = false;     ///< it limits what is spent, which the provider does not: an error even if it says nothing
};

/// What may have been meant by a key that `at` does not have; `type`: of the backend, empty elsewhere.
key_hint hint_of(const std::string& key, key_scope at, const std::string& type, const key_table& keys);

} // namespace conclave
