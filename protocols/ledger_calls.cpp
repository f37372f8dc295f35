// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Calls of models and tools, and notices: what is recorded beside the verdicts (docs/protocol.md 8.1).

#include "protocols/ledger_draft.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

decision no_go(std::string reason) {
  decision d;
  d.kind = ruling_kind::refused;
  d.reason = std::move(reason);
  return d;
}

// The same call, asked for again because the reply was lost.
bool is_repeated(const member& m, const command& c) {
  return std::any_of(m.open.begin(), m.open.end(),
                     [&](const open_call& o) { return o.run == c.run && o.call == c.call && o.target == c.target; });
}

} // namespace

decision begin_call(state& s, const command& c) {
  if (!is_current(s, c.agent, c.run) || (s.phase != phase::coordinating && s.phase != phase::presenting))
    return superseded();
  auto& m = *find(s, c.agent);
  if (is_repeated(m, c))
    return {};
  if (c.call <= m.calls)
    return no_go("call " + std::to_string(c.call) + " of " + m.id + " was made before; the next one is "
                 + std::to_string(m.calls + 1));
  std::vector<event> notices;
  if (auto d = judge_budget(s, c, notices))
    return std::move(*d);
  draft x{s, c.now_ms};
  x.emit(events::call_started({c.agent, c.run, c.call, c.target}, c.hash, {c.said, c.state, c.kept}, c.effect, c.use));
  for (auto& e : notices)
    x.emit(std::move(e));
  return std::move(x.d);
}

decision end_call(state& s, const command& c) {
  auto* m = find(s, c.agent);
  if (m == nullptr)
    return superseded();
  auto open = std::find_if(m->open.begin(), m->open.end(), [&](const open_call& o) { return o.run == c.run && o.call == c.call; });
  if (open == m->open.end()) // ended before, or never begun
    return superseded();
  draft x{s, c.now_ms};
  x.end_call({c.agent, c.run, c.call, std::string{open->target}}, c.status, c.use, c.said);
  x.settle_closing();
  return std::move(x.d);
}

decision note(state& s, const command& c) {
  if (find(s, c.agent) == nullptr || s.phase == phase::idle || s.phase == phase::closing || s.phase == phase::done)
    return superseded();
  draft x{s, c.now_ms};
  x.emit(events::agent_notice(c.agent, c.run, c.code, c.reason));
  for (const auto& p : c.placements) // another backend answers from now on
    x.emit(events::agent_placed(p));
  return std::move(x.d);
}

} // namespace conclave::ledger
