// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to replay_*.cpp: what may have become of calls that a reply asks for and a log does not hold.

#include "protocols/chat.hpp"
#include "protocols/events.hpp"
#include "protocols/run_state.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace conclave::ledger {

/// Tools as they may have been when a reply came; all others were offered.
struct tool_guess {
  std::set<std::string> unknown;  ///< never were
  std::set<std::string> gone;     ///< were, and are no more
  std::set<std::string> not_made; ///< of the reply, in every guess the same
};

class reply_calls {
public:
  /// Reads a whole log, which outlives this.
  void read(const std::vector<event>& log);

  /// What may have been when `reply` came, the end of that model call of the agent: a rule was against its calls that were never
  /// made, or their tools were not offered then, or no more. At least one guess, and a bounded number of them, however many names
  /// a reply has. `tools` are those that are taken to have been offered.
  std::vector<tool_guess> guesses(const std::string& agent, std::uint64_t call, const completion& reply,
                                  std::vector<std::string> tools, const run::finder& find) const;

private:
  using model_call = std::pair<std::string, std::uint64_t>; ///< agent, number

  std::vector<message> told_after(const model_call& of, const run::finder& find) const;

  std::map<model_call, std::set<std::string>> made_; ///< tools that were called next
  std::map<model_call, const event*> next_;          ///< with what the model was sent next
};

} // namespace conclave::ledger
