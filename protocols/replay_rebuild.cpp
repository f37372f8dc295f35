// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A run of a stored log that was cut off, put together again.

#include "protocols/events.hpp"
#include "protocols/replay_runs.hpp"

#include <utility>

namespace conclave::ledger {

std::set<std::uint64_t> calls_behind(const run::state& s) {
  std::set<std::uint64_t> out{s.model_call, s.reply_call};
  for (auto& p : s.pending)
    out.insert(p.number);
  for (auto& r : s.long_results)
    out.insert(r.call);
  return out;
}

bool read_talk(const std::vector<std::string>& names, const run::finder& find, std::vector<message>& out, std::string& problem) {
  for (auto& sha : names) {
    message m;
    if (!run::find_message(sha, find, m, problem))
      return false;
    out.push_back(std::move(m));
  }
  return true;
}

bool rebuild(const unfinished_run& r, const std::set<std::uint64_t>& calls, const run::finder& find, stored_run& out,
             std::string& problem) {
  auto* text = find(r.state);
  if (text == nullptr) {
    problem = "its state is not in the store";
    return false;
  }
  out.state = *text;
  out.refused = r.refused;
  out.refusal = r.refusal;
  if (!read_talk(r.talk, find, out.talk, problem))
    return false;
  for (auto& c : r.calls) {
    if (calls.count(c.call) == 0)
      continue;
    known_end end;
    end.call = c.call;
    end.effect = c.effect;
    end.ended = c.ended && !c.said.empty() && c.status != events::unknown_status;
    if (end.ended
        && !(c.target == events::model_target ? run::find_completion(c.said.front(), find, end.reply, problem)
                                              : run::find_result(c.said.front(), find, end.result, problem)))
      return false;
    out.ends.push_back(std::move(end));
  }
  return true;
}

} // namespace conclave::ledger
