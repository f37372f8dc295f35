// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a configuration comes to: every key that holds, its value, and where that is from.

#include "protocols/config.hpp"
#include "protocols/secrets.hpp"

#include <string>

namespace conclave {

/// Returns "path: value (line 7)" a line, by the rows of protocols/config_tables.hpp; "(default)" where nothing says otherwise,
/// "(from other keys)" what follows from them. Literal secrets are `***`, also the `known` ones of the machine.
std::string effective_text(const run_config& c, const secrets* known = nullptr);

} // namespace conclave
