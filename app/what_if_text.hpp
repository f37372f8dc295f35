// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What `conclave replay TASK --rules FILE` says. Pure.

#include "protocols/what_if.hpp"

#include <string>
#include <vector>

namespace conclave {

struct what_if_report {
  std::string task, file;
  ledger::rule_changes changes;
  std::vector<std::string> then_order, order; ///< of the agents, as ties break
  std::vector<std::string> strangers;         ///< agents of the file that the task does not have
  ledger::what_if result;
};

/// Returns lines for people, ids as they are: print() cleans them for terminals.
std::string what_if_text(const what_if_report& r);

/// Returns one JSON object and a line feed; docs/cli.md has its members.
std::string what_if_json(const what_if_report& r);

} // namespace conclave
