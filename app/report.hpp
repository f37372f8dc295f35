// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The text of `conclave show`: a stored run explained from its events alone. Pure.

#include "protocols/coordination.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

struct report_options {
  bool running = false;   ///< the task is under way: no end is no interruption
  bool resumable = false; ///< it was cut off, and its log has what is needed to go on
  bool full = false;      ///< do not shorten answers and partial texts (the final answer never is)
  std::size_t width = 0;  ///< columns of the terminal, lines break there between words; 0: they are not broken
  /// What the replies of an agent name as their sources, for people: pairs of agent and source, in order.
  std::vector<std::pair<std::string, std::string>> sources = {};
  std::map<std::string, std::string> arguments = {}; ///< of tool calls, by the SHA-256 that starts of calls name; those of `full`
  std::vector<std::string> deliveries = {};          ///< what was written into folders of the user's, a line each, for people
  bool raw = false; ///< model text as it is, for a target that is no terminal; ids and reasons are cleaned always
};

/// Returns the explanation: question, outcome, what happened in order with who saw what, answers, votes, why the winner won,
/// partial texts, calls and tokens, sources, what was applied, the final answer. Lines of model text are prefixed "| ", so they can
/// forge nothing. An empty list of events gives a text that says so.
std::string report(const std::string& task, const std::vector<event>& events, const report_options& options);

} // namespace conclave
