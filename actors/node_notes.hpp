// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a node's log says of its agents. Pure.

#include "actors/node_parts.hpp"

namespace conclave {

/// The beginning of what is said once an agent is ready, or is not.
node_note ready_note(const spawn_agent& order, const connection_parts& c);

/// Says that it is ready, and what is wrong with it all the same.
void note_ready(const note_taker& keep, node_note ready, const agent_ready& r);

/// A failed run; a cancelled one is no trouble.
node_note failed_run_note(const verdict& v);

} // namespace conclave
