// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a stored log is good for besides being shown: the state of its task, what each run was about, and the proof that the rules
/// of this build decide as those did that wrote it. Pure.

#include "protocols/ledger.hpp"
#include "protocols/opening.hpp"

#include <functional>
#include <string>
#include <vector>

namespace conclave::ledger {

/// Returns the command as the first event of its decision keeps it: JSON, without the texts that are in `events` themselves. A text
/// that is in none of them (of a refused answer) is told to `keep`, which returns its SHA-256.
std::string cause_of(const command& c, const std::vector<event>& events,
                     const std::function<std::string(const std::string&)>& keep);

/// The other way round. `find` returns the text behind a SHA-256, or nullptr. Returns false on a cause that cannot be read.
bool read_cause(const std::vector<event>& decision, const std::function<const std::string*(const std::string&)>& find,
                command& out);

/// A log, taken apart. `error` not empty: it cannot be gone on with, and why (a version from before task_opened, a type of event
/// this build does not know, a gap).
struct restored {
  ledger::state state;
  conclave::opening opening;
  std::uint64_t seq = 0;    ///< of the last event
  std::int64_t last_ms = 0; ///< its time
  std::string error;
};
restored restore(const std::vector<event>& log);

/// A call of an unfinished run, as the log knows it.
struct known_call {
  std::uint64_t call = 0;
  std::string target; ///< "model" or the tool
  bool ended = false;
  std::string status;            ///< if it ended
  std::vector<std::string> said; ///< of its end: what came back
  std::vector<std::string> sent; ///< of its start: a tool's arguments
};

/// A run that was active when the log stops: the newest state that is durable, and what happened since.
struct unfinished_run {
  std::string agent;
  std::uint64_t run = 0;
  bool present = false;
  std::string state;             ///< SHA-256; empty = nothing is known, it starts anew under its new number
  std::vector<std::string> talk; ///< SHA-256 of its conversation's messages at that state, in order
  std::vector<known_call> calls; ///< begun with that state or later, in order
  bool refused = false;          ///< the state was stored with a refusal; as it was given:
  ruling refusal;
  std::uint64_t calls_made = 0; ///< highest call number of the agent
};
std::vector<unfinished_run> unfinished(const std::vector<event>& log);

/// Makes every decision of the log again and compares. Returns an empty text, or the first difference: its seq, what the log says
/// and what this build decides.
std::string verify(const std::vector<event>& log, const std::function<const std::string*(const std::string&)>& find);

} // namespace conclave::ledger
