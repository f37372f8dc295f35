// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/ledger_draft.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace conclave::ledger {

void draft::emit(event e) {
  e.time_ms = now;
  fold(s, e);
  d.events.push_back(std::move(e));
}

void draft::emit(event_type type, const std::string& agent, std::uint64_t run) {
  event e;
  e.type = type;
  e.agent = agent;
  e.run = run;
  emit(std::move(e));
}

void draft::end_run(const std::string& agent, std::uint64_t run, const char* how, const std::string& partial, ec code) {
  event e;
  e.type = event_type::run_ended;
  e.agent = agent;
  e.run = run;
  e.reason = how;
  e.text = kept_partial(s, agent, partial);
  e.code = code;
  emit(std::move(e));
}

void draft::end_all_runs(const char* how, ec code) {
  for (std::size_t i = 0; i < s.members.size(); ++i)
    if (s.members[i].run.id != 0)
      end_run(std::string{s.members[i].id}, s.members[i].run.id, how, {}, code);
}

void draft::put_out(const std::string& agent, ec code, const std::string& reason) {
  auto* m = find(s, agent);
  if (m == nullptr || !m->live)
    return;
  if (m->run.id != 0)
    end_run(agent, m->run.id, "lost", {}, code);
  if (s.presentation.id != 0 && s.winner == agent)
    end_run(agent, s.presentation.id, "lost", {}, code);
  event e;
  e.type = event_type::agent_out;
  e.agent = agent;
  e.code = code;
  e.reason = reason;
  emit(std::move(e));
}

void draft::settle() {
  if (s.phase != phase::coordinating)
    return;
  auto some_live = std::any_of(s.members.begin(), s.members.end(), [](const member& m) { return m.live; });
  if (s.late)
    return s.epoch == 0 ? finish(outcome_kind::timed_out, no_answer("the coordination deadline passed"), ec::timeout) : choose();
  if (!some_live)
    return s.epoch == 0 ? finish(outcome_kind::failed, no_answer(""), first_code()) : choose();
  if (s.rules.pacing == pacing::eager)
    settle_eager();
  else
    settle_rounds();
}

void draft::settle_rounds() {
  auto over = [this] { return std::none_of(s.members.begin(), s.members.end(), [this](const member& m) { return needed(s, m); }); };
  while (s.phase == phase::coordinating && over()) {
    // Whoever still works may hand in nothing any more (a limit was used up meanwhile).
    end_all_runs("round_over");
    if (s.round > 0 && !s.improved)
      return choose();
    if (s.epoch == 0)
      return finish(outcome_kind::failed, no_answer("the limit of runs is used up"), first_code());
    next_round(s.round + 1);
  }
}

void draft::settle_eager() {
  if (std::any_of(s.members.begin(), s.members.end(), [this](const member& m) { return needed(s, m); }))
    return;
  if (s.epoch == 0)
    return finish(outcome_kind::failed, no_answer("the limit of runs is used up"), first_code());
  choose();
}

void draft::next_round(std::uint32_t round) {
  event e;
  e.type = event_type::round_started;
  e.round = round;
  emit(std::move(e));
}

void draft::choose() {
  end_all_runs("round_over"); // none today; a topology that shows an agent nothing could leave one
  auto votes = tally(s);
  auto most = votes.empty() ? 0 : *std::max_element(votes.begin(), votes.end());
  const member* best = nullptr;
  auto tied = 0;
  for (std::size_t i = 0; i < s.members.size(); ++i) {
    auto& m = s.members[i];
    if (m.answers.empty())
      continue;
    if (most > 0) {
      if (votes[i] != most)
        continue;
      ++tied;
      best = best == nullptr ? &m : best;
    } else if (best == nullptr || m.answers.back().epoch > best->answers.back().epoch) {
      best = &m; // nobody holds a vote: the newest answer, then registration order
    }
  }
  if (best == nullptr) // cannot be: an epoch above 0 means an answer. Never hang on a damaged log.
    return finish(outcome_kind::failed, no_answer("no answer is stored"), ec::unknown);
  auto how = most == 0 ? "no current votes: newest answer" : tied > 1 ? "tie: first in registration order" : "most votes";
  select(std::string{best->id}, how, most, tied > 1);
}

void draft::select(const std::string& winner, const std::string& how, std::int64_t votes, bool tie) {
  auto last = s.round;
  for (auto& m : s.members)
    last = std::max(last, m.restarts);
  event begin;
  begin.type = event_type::final_round_start;
  begin.agent = winner;
  begin.round = last + 1;
  emit(std::move(begin));
  event e;
  e.type = event_type::final_agent_selected;
  e.agent = winner;
  e.reason = how;
  e.number = votes;
  e.flag = tie;
  for (auto& m : s.members)
    if (!m.answers.empty())
      e.labels.push_back(m.answers.back().label);
  emit(std::move(e));
  auto* m = find(s, winner);
  if (!m->live)
    return fall_back("the winner is out: " + m->out_reason, outcome_kind::failed, m->out_code);
  if (s.rules.strategy == strategy::winner_reuse && !m->answers.empty())
    deliver(std::string{m->answers.back().text}, false);
}

void draft::fall_back(const std::string& reason, outcome_kind without_answer, ec code) {
  auto* m = find(s, s.winner);
  if (m->answers.empty()) // only when coordination was skipped
    return finish(without_answer, no_answer(reason), code);
  auto text = m->answers.back().text;
  event e;
  e.type = event_type::presentation_fallback;
  e.agent = s.winner;
  e.reason = reason;
  e.text = text;
  emit(std::move(e));
  deliver(text, false);
}

void draft::deliver(const std::string& text, bool truncated) {
  event e;
  e.type = event_type::final_answer;
  e.agent = s.winner;
  e.label = anonymous(*find(s, s.winner)) + ".final";
  e.text = text;
  e.flag = truncated;
  emit(std::move(e));
  finish(outcome_kind::answered, std::string{s.finish_reason}, ec::none);
}

void draft::finish(outcome_kind how, const std::string& text, ec code) {
  emit(event_type::session_end);
  event e;
  e.type = event_type::task_ended;
  e.reason = to_string(how);
  e.text = text;
  e.code = code;
  emit(std::move(e));
}

void draft::settle_cancel() {
  auto active =
      s.presentation.id != 0 || std::any_of(s.members.begin(), s.members.end(), [](const member& m) { return m.run.id != 0; });
  if (s.phase == phase::cancelling && !active)
    finish(outcome_kind::interrupted, s.cancel_reason.empty() ? "interrupted" : "interrupted: " + s.cancel_reason, ec::cancelled);
}

std::string draft::no_answer(const std::string& why) const {
  // A cause that several agents share is said once.
  std::vector<std::pair<std::string, std::vector<std::string>>> causes;
  for (auto& m : s.members) {
    auto& cause = m.out_reason.empty() ? m.last_error : m.out_reason;
    auto text = !cause.empty() ? cause : m.live ? std::string{} : to_string(m.out_code);
    if (text.empty())
      continue;
    auto known = std::find_if(causes.begin(), causes.end(), [&](auto& c) { return c.first == text; });
    if (known == causes.end())
      causes.push_back({text, {m.id}});
    else
      known->second.push_back(m.id);
  }
  std::string out = "no answer: " + why;
  auto first = why.empty();
  for (auto& [text, ids] : causes) {
    std::string who;
    for (auto& id : ids)
      who += (who.empty() ? "" : ", ") + id;
    if (ids.size() > 1 && ids.size() == s.members.size())
      who = ids.size() == 2 ? "both agents" : "all " + std::to_string(ids.size()) + " agents";
    out += (first ? "" : "; ") + who + ": " + text;
    first = false;
  }
  return out;
}

ec draft::first_code() const {
  for (auto& m : s.members) {
    if (m.out_code != ec::none)
      return m.out_code;
    if (m.last_code != ec::none)
      return m.last_code;
  }
  return ec::unknown;
}

} // namespace conclave::ledger
