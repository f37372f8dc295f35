// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/coordination.hpp"

#include <array>
#include <cstddef>

namespace conclave {

namespace {

// In the order of the enum.
constexpr std::array<std::string_view, event_type_count> event_names{
    "session_start",
    "round_started",
    "run_started",
    "context_received",
    "call_started",
    "call_ended",
    "new_answer",
    "vote_cast",
    "vote_ignored",
    "refused",
    "restart_triggered",
    "restart_completed",
    "run_ended",
    "agent_error",
    "agent_timeout",
    "backoff_over",
    "agent_cancelled",
    "agent_out",
    "node_lost",
    "round_timeout",
    "coordination_timeout",
    "final_agent_selected",
    "final_round_start",
    "presentation_started",
    "presentation_retried",
    "presentation_fallback",
    "final_answer",
    "cancel_requested",
    "session_end",
    "task_ended",
    "unknown",
    "task_opened",
    "agent_placed",
    "agent_notice",
    "late_text",
    "run_continued",
    "task_resumed",
    "task_closing",
    "snapshot_taken",
    "snapshot_failed",
    "changes_proposed",
    "changes_applied",
    "changes_undone",
};
static_assert(!event_names.back().empty());

} // namespace

std::string to_string(event_type x) {
  auto i = static_cast<std::size_t>(x);
  return std::string{event_names[i < event_names.size() ? i : static_cast<std::size_t>(event_type::unknown)]};
}

event_type event_type_from_string(std::string_view name) {
  for (std::size_t i = 0; i < event_names.size(); ++i)
    if (event_names[i] == name)
      return static_cast<event_type>(i);
  return event_type::unknown;
}

std::string to_string(outcome_kind x) {
  switch (x) {
  case outcome_kind::answered:
    return "answered";
  case outcome_kind::failed:
    return "failed";
  case outcome_kind::timed_out:
    return "timed_out";
  case outcome_kind::interrupted:
    return "interrupted";
  }
  return "failed";
}

} // namespace conclave
