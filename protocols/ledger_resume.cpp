// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What a task begins with, and how it goes on after its engine died, or ends because its store did (docs/protocol.md 9.4).

#include "protocols/ledger_draft.hpp"
#include "protocols/opening.hpp"

#include <algorithm>
#include <utility>

namespace conclave::ledger {

decision take_over(state& s, const command& c) {
  if (s.phase == phase::idle || s.phase == phase::done)
    return superseded();
  draft x{s, c.now_ms};
  x.emit(events::task_resumed(c.target, c.fence, x.now - s.last_ms));
  x.end_all_calls();
  x.settle_closing();
  return std::move(x.d);
}

decision continue_run(state& s, const command& c) {
  if (!is_current(s, c.agent, c.run) || (s.phase != phase::coordinating && s.phase != phase::presenting))
    return superseded();
  draft x{s, c.now_ms};
  x.emit(events::run_continued(c.agent, c.run, s.next_run));
  return std::move(x.d);
}

decision give_up(const state& s, const command& c) {
  decision d;
  d.events.push_back(events::task_ended(outcome_kind::failed, c.reason, c.code));
  d.events.back().time_ms = std::max(c.now_ms, s.last_ms);
  return d;
}

void open_task(state& s, const event& e) {
  opening o;
  std::string error;
  if (s.phase == phase::idle && from_json(e.detail, o, error)) // whoever goes on with a task reads its opening first, and says
    open_task(s, std::move(o));                                // what is wrong with it
}

void open_task(state& s, opening o) {
  s.rules = o.rules;
  if (!o.agents.empty()) {
    std::vector<std::string> ids;
    for (auto& a : o.agents)
      ids.push_back(a.id);
    s.members = make(s.rules, ids).members;
    for (std::size_t i = 0; i < o.agents.size(); ++i)
      s.members[i].budget = o.agents[i].budget;
  }
  std::stable_sort(o.answers.begin(), o.answers.end(), [](auto& a, auto& b) { return a.epoch < b.epoch; });
  for (auto& given : o.answers) {
    auto m = std::find_if(s.members.begin(), s.members.end(), [&](const member& x) { return x.id == given.agent; });
    if (m == s.members.end() || blank(given.text))
      continue;
    auto key = key_of(folded(given.text));
    m->answers.push_back({std::move(given.label), std::move(given.text), ++s.epoch, std::move(key)});
    if (!given.snapshot.empty()) {
      auto& a = m->answers.back();
      a.snapshot = std::move(given.snapshot);
      a.files = given.files;
      a.bytes = given.bytes;
      a.changes = std::move(given.changes);
    }
    ++m->earlier;
  }
  s.earlier = s.epoch;
}

} // namespace conclave::ledger
