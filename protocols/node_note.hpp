// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a node tells its operator: one entry per connection, task, agent, failure and end. Pure.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

/// Who wants to read it: `detail` those who look for a fault, `trouble` everybody.
enum class note_weight : std::uint8_t { detail, info, trouble };

struct node_note {
  note_weight weight = note_weight::info;
  std::string type;                                        ///< connected, refused, task_started, ... (docs/cluster.md)
  std::vector<std::pair<std::string, std::string>> fields; ///< in the order they are shown; empty values are left out
};

/// Keeps a note. Any thread; must not block.
using note_taker = std::function<void(node_note)>;

} // namespace conclave
