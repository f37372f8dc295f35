// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a crash of the engine must not change (docs/protocol.md 9.4).

#include "protocols/ledger.hpp"

#include <string>

namespace conclave::test {

/// Compares a member before a crash and once its run goes on. Returns what is wrong, empty = nothing.
inline std::string changed_by_crash(const ledger::member& was, const ledger::member& m, bool runs) {
  if (m.answers != was.answers || !(m.vote == was.vote) || m.votes_cast != was.votes_cast)
    return "a crash lost an answer or a vote of " + m.id;
  if (m.failures != was.failures || m.attempts != was.attempts || m.restarts != was.restarts || m.live != was.live)
    return "a crash counted for " + m.id;
  if (!m.open.empty())
    return "a call from before the crash is under way: " + m.id;
  if ((m.run.id == 0) != (was.run.id == 0) || m.run.shown != was.run.shown || m.run.epoch != was.run.epoch
      || m.run.round != was.run.round)
    return "a crash changed the run of " + m.id;
  return runs && m.run.id != 0 && m.run.id == was.run.id ? "the run from before the crash kept its number: " + m.id : "";
}

/// The same of the whole task.
inline std::string changed_by_crash(const ledger::state& was, const ledger::state& s) {
  if (s.epoch != was.epoch || s.round != was.round || s.runs_started != was.runs_started
      || s.presentation_tries != was.presentation_tries || s.presentation_starts != was.presentation_starts)
    return "a crash changed a count of the task";
  if (was.phase != ledger::phase::closing && s.terminals != was.terminals)
    return "I7: a crash added a terminal event";
  for (std::size_t i = 0; i < s.members.size(); ++i)
    if (auto what = changed_by_crash(was.members[i], s.members[i], s.phase == ledger::phase::coordinating); !what.empty())
      return what;
  return {};
}

} // namespace conclave::test
