// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The end of a task as its host sees it. Plain data.

#include "protocols/chat.hpp"
#include "protocols/kept_files.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// How a task ended.
enum class outcome_kind : std::uint8_t { answered, failed, timed_out, interrupted };
std::string to_string(outcome_kind x);

/// Totals of one agent.
struct agent_summary {
  std::string id;
  std::string anonymous; ///< "agent2"
  std::uint32_t answers = 0;
  std::uint32_t votes_received = 0;
  std::uint64_t calls = 0; ///< of its model
  usage use;
  std::string out_reason; ///< why it is out; empty if it is not
  bool operator==(const agent_summary&) const = default;
};

/// The end of a task as the host sees it.
struct outcome {
  std::string task;
  outcome_kind kind = outcome_kind::failed;
  std::string answer;        ///< answered only
  std::string winner;        ///< real id
  std::string finish_reason; ///< docs/protocol.md 4.5
  std::string error;         ///< one sentence, not answered only
  ec code = ec::none;
  bool truncated = false;
  std::vector<agent_summary> agents;
  std::vector<std::string> warnings;
  std::string snapshot = {};               ///< of the files that go with the answer; empty = none
  std::int64_t files = 0;                  ///< in it
  std::vector<folder_change> changes = {}; ///< that it proposes; nothing is written before they are applied
  bool operator==(const outcome&) const = default;
};

} // namespace conclave
