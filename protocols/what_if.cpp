// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/what_if.hpp"

#include "protocols/ledger_draft.hpp"
#include "protocols/replay.hpp"
#include "protocols/what_if_way.hpp"

#include <algorithm>
#include <utility>

namespace conclave::ledger {

namespace {

/// The end of the walk: who is chosen, and how it stands.
class verdict_of {
public:
  /// `then`: the state the whole log leads to.
  verdict_of(other_way& way, const state& then, what_if& out) : way_(way), then_(then), out_(out) {}

  void tell() {
    auto& would = way_.would();
    if (auto* m = find(then_, then_.winner)) {
      out_.then_winner = then_.winner;
      out_.then_label = m->answers.empty() ? "" : m->answers.back().label;
    }
    auto open = would.phase == phase::coordinating;
    auto stops = open && way_.was().phase == phase::coordinating; // the log has no end, or no more is known of either
    choose(stops);
    answers();
    if (out_.winner.empty())
      out_.none = why_none(stops);
  }

private:
  void choose(bool stops) {
    auto& would = way_.would();
    if (stops) {
      auto end = would;
      if (end.epoch > 0)
        draft{end, end.last_ms}.choose();
      out_.leading = end.winner;
      return;
    }
    if (would.phase == phase::coordinating && would.epoch > 0) {
      way_.gap("the other rules would have gone on here: no more runs are in the log");
      draft{would, would.last_ms}.choose();
    }
    auto* m = find(would, would.winner);
    if (m == nullptr)
      return;
    out_.winner = would.winner;
    auto as_registered =
        std::is_sorted(would.members.begin(), would.members.end(), [](auto& a, auto& b) { return a.number < b.number; });
    out_.how = would.tie && !as_registered ? "tie: first in the other order" : would.win_reason;
    if (m->answers.empty())
      return;
    auto source = way_.source_of(m->answers.back().label);
    out_.label = source.label;
    out_.seq = source.seq;
  }

  void answers() {
    auto& would = way_.would();
    auto before = tally(then_);
    std::size_t most = 0;
    for (auto& m : would.members) {
      if (m.answers.empty())
        continue;
      auto source = way_.source_of(m.answers.back().label);
      what_if_answer a{m.id, source.label, source.seq, {}, 0};
      for (auto& voter : would.members)
        if (holds_vote(would, voter) && voter.vote.target == m.id)
          a.voters.push_back(voter.id);
      for (std::size_t i = 0; i < then_.members.size(); ++i) {
        auto& x = then_.members[i];
        if (x.id == m.id && !x.answers.empty() && x.answers.back().label == source.label)
          a.votes_then = before[i];
      }
      most = std::max(most, a.voters.size());
      out_.answers.push_back(std::move(a));
    }
    if (most == 0 || out_.winner.empty())
      return;
    for (auto& a : out_.answers)
      if (a.voters.size() == most)
        out_.tied.push_back(a.agent);
    if (out_.tied.size() < 2)
      out_.tied.clear();
  }

  std::string why_none(bool stops) const {
    auto& would = way_.would();
    if (would.phase == phase::cancelling || (would.phase == phase::done && would.outcome == outcome_kind::interrupted))
      return "the task was ended from outside while its agents were still at work: "
             + (would.cancel_reason.empty() ? std::string{"interrupted"} : would.cancel_reason);
    if (out_.answers.empty())
      return "the log holds no answer that these rules would have taken";
    return stops ? "the log stops before a winner is chosen" : "no winner is chosen";
  }

  other_way& way_;
  const state& then_;
  what_if& out_;
};

} // namespace

what_if ask_what_if(const std::vector<event>& log, const std::function<const std::string*(const std::string&)>& find,
                    const other_rules& other) {
  what_if out;
  auto stored = restore(log);
  out.error = stored.error;
  if (out.error.empty() && log.front().cause.empty())
    out.error = "event 1 does not say what caused it";
  if (!out.error.empty())
    return out;
  other_way way{stored.opening, other};
  std::vector<event> group;
  for (std::size_t i = 0; i < log.size() && !way.over(); ++i) {
    group.push_back(log[i]);
    if (i + 1 < log.size() && log[i + 1].cause.empty())
      continue; // of the same decision
    command c;
    if (!read_cause(group, find, c)) {
      out.error = "the cause of event " + std::to_string(group.front().seq) + " cannot be read";
      return out;
    }
    way.take(std::move(c), group);
    group.clear();
  }
  verdict_of{way, stored.state, out}.tell();
  out.notes = way.notes();
  std::stable_sort(out.notes.begin(), out.notes.end(), [](auto& a, auto& b) { return a.seq < b.seq; });
  auto first = std::find_if(out.notes.begin(), out.notes.end(), [](auto& n) { return n.gap; });
  out.known_until = first == out.notes.end() ? 0 : first->seq;
  return out;
}

} // namespace conclave::ledger
