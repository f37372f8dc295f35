// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

#include <caf/fwd.hpp>

namespace conclave {

/// Tells a system of all our messages. Compiled once: each of them is written, read and shown by code that is made here.
void add_messages(caf::actor_system_config& config);

} // namespace conclave
