// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/message_types.hpp"

#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

namespace conclave {

void add_messages(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::conclave>();
}

} // namespace conclave
