// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Agents that play a script.

#include "protocols/config.hpp"

#include <initializer_list>
#include <string>

namespace conclave::test {

/// One that answers "from <id>", votes for the first and presents "final".
inline agent_config scripted_member(const std::string& id) {
  agent_config a;
  a.id = id;
  a.backend.type = "scripted";
  a.backend.script.resize(3);
  a.backend.script[0].calls = {{"", "new_answer", "{\"content\":\"from " + id + "\"}"}};
  a.backend.script[1].calls = {{"", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"fine\"}"}};
  a.backend.script[2].text = "final";
  a.backend.script[2].optional = true;
  return a;
}

inline run_config scripted_team(std::initializer_list<const char*> ids) {
  run_config out;
  for (const char* id : ids)
    out.agents.push_back(scripted_member(id));
  return out;
}

} // namespace conclave::test
