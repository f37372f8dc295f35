// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a node tells its operator: one entry per connection, task, agent, failure and end. Pure.

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave {

/// Who wants to read it: `detail` those who look for a fault, `trouble` everybody.
enum class note_weight : std::uint8_t { detail, info, trouble };

/// A text, a number or a truth value. Empty texts are not shown.
struct note_value {
  std::string text;
  bool is_text = true; ///< else JSON as it stands

  note_value(std::string x) : text(std::move(x)) {}
  note_value(std::string_view x) : text(x) {}
  note_value(const char* x) : text(x) {}
  template <std::integral T>
  note_value(T x) : text(std::to_string(x)), is_text(false) {}
  note_value(bool x) : text(x ? "true" : "false"), is_text(false) {}

  /// Seconds, to the millisecond. `ms` is not negative.
  static note_value seconds(std::int64_t ms) {
    note_value out(ms / 1000);
    auto rest = std::to_string(1000 + ms % 1000).substr(1);
    rest.erase(rest.find_last_not_of('0') + 1);
    if (!rest.empty())
      out.text += "." + rest;
    return out;
  }
};

using note_fields = std::vector<std::pair<std::string, note_value>>;

struct node_note {
  note_weight weight = note_weight::info;
  std::string type;   ///< connected, refused, task_started, ... (docs/cluster.md)
  note_fields fields; ///< in the order they are shown
};

/// Keeps a note. Any thread; must not block.
using note_taker = std::function<void(node_note)>;

} // namespace conclave
