// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Where a log and other rules part: runs that one of them has and the other has not.

#include "protocols/ledger_draft.hpp"
#include "protocols/what_if_way.hpp"

#include <utility>

namespace conclave::ledger {

void other_way::follow(const std::vector<event>& decision) {
  follow_ends(decision);
  follow_rounds(decision);
  follow_waits();
}

// What the log ended by itself and these rules would not have ended.
void other_way::follow_ends(const std::vector<event>& decision) {
  for (auto& e : decision) {
    auto i = e.type == event_type::run_ended ? runs_.find(e.run) : runs_.end();
    if (i == runs_.end())
      continue;
    auto r = std::move(i->second);
    runs_.erase(i);
    auto* m = find(would_, r.agent);
    if (would_.phase != phase::coordinating || r.ours == 0 || m == nullptr || m->run.id != r.ours)
      continue;
    note(e.seq, "the run of " + quoted(r.agent) + " would have gone on; what it would have handed in is not in the log", true);
    abstain(r.agent);
  }
}

// The log goes on to a round that these rules have not come to: nobody is waited for of whom it holds nothing.
void other_way::follow_rounds(const std::vector<event>& decision) {
  if (would_.rules.pacing != pacing::barrier)
    return;
  for (auto& e : decision)
    while (e.type == event_type::round_started && e.round > would_.round && would_.phase == phase::coordinating
           && !waits_.empty()) {
      auto [agent, since] = *waits_.begin();
      waits_.erase(waits_.begin());
      note(since.seq, quoted(agent) + " would have been asked here: that run is not in the log", true);
      abstain(agent);
    }
}

void other_way::follow_waits() {
  for (auto changed = true; std::exchange(changed, false) && would_.phase == phase::coordinating;)
    for (std::size_t i = 0; i < would_.members.size(); ++i)
      changed = follow_wait(std::string{would_.members[i].id}) || changed;
}

/// Returns whether the state has changed by it.
bool other_way::follow_wait(const std::string& agent) {
  auto* m = find(would_, agent);
  auto since = waits_.find(agent);
  if (!may_begin(would_, *m)) {
    if (since != waits_.end() && m->run.id == 0) // it was not asked at all
      note(since->second.seq, quoted(agent) + " would have been asked here: that run is not in the log", true);
    if (since != waits_.end())
      waits_.erase(since);
    return false;
  }
  if (since != waits_.end() || log_asks(agent))
    return false;
  if (adopt(agent))
    return true;
  auto* there = find(was_, agent);
  if (there != nullptr && there->live) {
    waits_[agent] = {seq_, shown_now(agent)};
    return false;
  }
  gap(quoted(agent) + " would have been asked again; in the log it is out, so that run is not there");
  abstain(agent);
  return true;
}

/// Whether the log is about to ask the same.
bool other_way::log_asks(const std::string& agent) const {
  auto* there = find(was_, agent);
  return there != nullptr && may_begin(was_, *there) && translated(shown(was_, agent)) == shown_now(agent);
}

/// A run of the log that is under way, and was shown the same, stands for the one that is wanted now.
bool other_way::adopt(const std::string& agent) {
  auto* there = find(was_, agent);
  auto i = there == nullptr || there->run.id == 0 ? runs_.end() : runs_.find(there->run.id);
  if (i == runs_.end() || i->second.ours != 0 || translated(i->second.shown) != shown_now(agent))
    return false;
  begin_as(agent, i->second);
  return true;
}

/// Nothing is known of what an agent does in this round.
void other_way::abstain(const std::string& agent) {
  auto* m = find(would_, agent);
  if (would_.phase != phase::coordinating || m == nullptr || !m->live)
    return;
  draft x{would_, would_.last_ms};
  if (m->run.id != 0)
    x.end_run(agent, m->run.id, "straggler");
  x.emit(events::round_timeout(would_.round, {agent}, "nothing is known of it"));
  x.settle();
}

/// These rules have come to an end, the log goes on.
void other_way::tell_end() {
  if (!would_.late && would_.over_budget.empty() && would_.runs_started >= run_limit(would_))
    note(seq_, "nobody would have been asked again after this: the runs are used up (`max_runs`)", false);
  else if (notes_.empty())
    note(seq_, "after this no answer and no vote would have been waited for", false);
}

void other_way::end() {
  for (auto& [agent, since] : waits_)
    note(since.seq, quoted(agent) + " would have been asked here: that run is not in the log", true);
  waits_.clear();
  over_ = true;
}

} // namespace conclave::ledger
