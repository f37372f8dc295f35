// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/ledger.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

const std::string& why_none(const member& m) {
  return m.out_reason.empty() ? m.last_error : m.out_reason;
}

bool may_answer(const state& s, const member& m) {
  if (s.phase != phase::coordinating)
    return false;
  auto& r = s.rules;
  if (r.max_answers_global > 0 && s.epoch - s.earlier >= r.max_answers_global)
    return false;
  return r.max_answers_per_agent == 0 || m.answers.size() - m.earlier < r.max_answers_per_agent;
}

} // namespace

state make(const rules& r, const std::vector<std::string>& agent_ids) {
  state s;
  s.rules = r;
  for (auto& id : agent_ids) {
    member m;
    m.id = id;
    m.number = static_cast<std::uint32_t>(s.members.size() + 1);
    s.members.push_back(std::move(m));
  }
  return s;
}

std::vector<std::string> shown(const state& s, const std::string&) {
  std::vector<std::string> labels;
  auto blind = s.rules.pacing == pacing::barrier && s.round == 0 && s.phase == phase::coordinating;
  if (blind)
    return labels;
  for (auto& m : s.members)
    if (!m.answers.empty())
      labels.push_back(m.answers.back().label);
  return labels;
}

bool may_answer(const state& s, const std::string& agent) {
  auto* m = find(s, agent);
  return m != nullptr && may_answer(s, *m);
}

bool may_vote(const state& s, const std::string& agent) {
  auto* m = find(s, agent);
  if (m == nullptr || s.phase != phase::coordinating)
    return false;
  // A run that has begun votes on what it was shown, a later one on what it would be shown.
  if (s.rules.pacing == pacing::barrier && s.round == 0)
    return false;
  return !shown(s, agent).empty();
}

const member* find(const state& s, const std::string& agent) {
  for (auto& m : s.members)
    if (m.id == agent)
      return &m;
  return nullptr;
}

const answer* find_answer(const state& s, const std::string& label) {
  for (auto& m : s.members)
    for (auto& a : m.answers)
      if (a.label == label)
        return &a;
  return nullptr;
}

std::string shown_id(const std::string& label) {
  return label.substr(0, label.find('.'));
}

bool holds_vote(const state& s, const member& m) {
  return !m.vote.target.empty() && m.vote.epoch == s.epoch;
}

std::vector<std::uint32_t> tally(const state& s) {
  std::vector<std::uint32_t> votes(s.members.size(), 0);
  for (auto& voter : s.members)
    if (holds_vote(s, voter))
      for (std::size_t i = 0; i < s.members.size(); ++i)
        if (s.members[i].id == voter.vote.target)
          ++votes[i];
  return votes;
}

std::uint32_t run_limit(const state& s) {
  return s.rules.max_runs > 0 ? s.rules.max_runs : static_cast<std::uint32_t>(20 * s.members.size());
}

bool needed(const state& s, const member& m) {
  if (!m.live || m.closed || s.phase != phase::coordinating)
    return false;
  if (m.run.id == 0 && s.runs_started >= run_limit(s))
    return false;
  return may_answer(s, m) || may_vote(s, m.id);
}

bool may_begin(const state& s, const member& m) {
  if (s.phase == phase::presenting)
    return s.winner == m.id && s.presentation.id == 0;
  return m.run.id == 0 && m.not_before_ms == 0 && needed(s, m);
}

bool has_open_calls(const state& s) {
  return std::any_of(s.members.begin(), s.members.end(), [](const member& m) { return !m.open.empty(); });
}

outcome to_outcome(const state& s, const std::string& task) {
  outcome o;
  o.task = task;
  o.kind = s.outcome;
  o.winner = s.winner;
  o.finish_reason = s.finish_reason;
  if (s.phase == phase::done && s.outcome == outcome_kind::answered) {
    o.answer = s.final_text;
    o.truncated = s.final_truncated;
    if (s.final_truncated)
      o.warnings.push_back("the final answer was cut at a length limit");
    o.snapshot = s.final_snapshot;
    o.files = s.final_files;
    o.changes = s.changes;
    if (auto* m = find(s, s.winner); o.snapshot.empty() && m != nullptr && !m->answers.empty()) { // the answer as it is
      o.snapshot = m->answers.back().snapshot;
      o.files = m->answers.back().files;
    }
    if (s.fallback)
      o.warnings.push_back("the stored answer is delivered, not a presentation: " + s.presentation_error);
  } else {
    o.error = s.error;
    o.code = s.error_code;
  }
  auto votes = tally(s);
  for (std::size_t i = 0; i < s.members.size(); ++i) {
    auto& m = s.members[i];
    agent_summary a;
    a.id = m.id;
    a.anonymous = "agent" + std::to_string(m.number);
    a.answers = static_cast<std::uint32_t>(m.answers.size());
    a.votes_received = votes[i];
    a.calls = m.model_calls;
    a.use = m.use;
    a.out_reason = m.live ? "" : (why_none(m).empty() ? to_string(m.out_code) : why_none(m));
    if (!m.live)
      o.warnings.push_back(m.id + " is out: " + a.out_reason);
    o.agents.push_back(std::move(a));
  }
  return o;
}

} // namespace conclave::ledger
