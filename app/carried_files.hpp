// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The files of answers that a task goes on from. Blocks on the disk.

#include "protocols/opening.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// The task they are to go with. A reference to its agents.
struct carrying_task {
  std::string home; ///< of this process
  std::string task;
  std::uint64_t seed = 0;
  const std::vector<agent_config>& agents;
};

/// Looks, before a call is paid for, whether the files of these answers are whole in the store of this home, by existence and size.
/// Returns which answer's are not and what to do, or empty. `or_gone`: also if nothing is left of them, which carry_files() tells.
/// `task`: whose they are.
std::string damaged_files(const std::string& home, const std::string& task, const std::vector<earlier_answer>& answers,
                          bool or_gone);

/// Holds the files of these answers for the task, so that they stay when the one they come from is deleted, and has its agents
/// begin from theirs. An answer whose files are gone goes on without: `gone` gets a sentence for each. Returns why the task
/// cannot begin, or empty.
std::string carry_files(std::vector<earlier_answer>& answers, const carrying_task& into, std::vector<std::string>& gone);

/// Takes that back, of a task that did not begin.
void drop_carried_files(const carrying_task& into);

} // namespace conclave
