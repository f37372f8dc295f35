// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The runs of a stored log: one that was cut off is put together again, and those of a whole log are made again by the run machine
/// of this build, which is given what the models and the tools said. Pure.

#include "protocols/replay.hpp"
#include "protocols/run_state.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace conclave::ledger {

/// Returns the numbers of the calls whose ends a stored state builds on: of the reply it deals with, and of what was under way.
std::set<std::uint64_t> calls_behind(const run::state& s);

/// Puts together what a run goes on from: its state, its conversation, and of its calls the ends of `calls`. Returns false and says
/// why in `problem` if a body is missing or cannot be read.
bool rebuild(const unfinished_run& r, const std::set<std::uint64_t>& calls, const run::finder& find, stored_run& out,
             std::string& problem);

/// Reads the messages of these names. Returns false and says why in `problem` if one is missing or cannot be read.
bool read_talk(const std::vector<std::string>& names, const run::finder& find, std::vector<message>& out, std::string& problem);

/// Makes the runs of a log again, decision by decision. What a log does not tell is tried, and what fits it is gone on with: which
/// tools an agent had after a crash, and what was to be done about calls that may have happened.
class run_follower {
public:
  /// `log` is the whole log that is going to be taken, `find` gives its bodies; both outlive the follower, as does `out`.
  run_follower(const opening& o, const std::vector<event>& log, const run::finder& find, run_check& out);
  ~run_follower();
  run_follower(const run_follower&) = delete;
  run_follower& operator=(const run_follower&) = delete;

  /// Takes the next decision; `s` is the state after it. Returns what this build's runs do otherwise, with its seq; empty if
  /// nothing.
  std::string take(const command& c, const std::vector<event>& decision, const state& s);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace conclave::ledger
