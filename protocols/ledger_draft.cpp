// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/ledger_draft.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace conclave::ledger {

draft::draft(state& of, std::int64_t now_ms) : s(of), now(std::clamp(now_ms, of.last_ms, std::max(of.last_ms, max_time_ms))) {}

void draft::emit(event e) {
  e.time_ms = now;
  fold(s, e);
  d.events.push_back(std::move(e));
}

void draft::end_run(const std::string& agent, std::uint64_t run, const char* how, const std::string& partial, ec code) {
  emit(events::run_ended(agent, run, how, kept_partial(s, agent, partial), code));
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
  emit(events::agent_out(agent, code, reason));
}

void draft::settle() {
  if (s.phase != phase::coordinating)
    return;
  auto some_live = std::any_of(s.members.begin(), s.members.end(), [](const member& m) { return m.live; });
  if (!s.over_budget.empty())
    return s.epoch == 0 ? finish(outcome_kind::failed, no_answer(s.over_budget), ec::budget_exceeded) : choose();
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
    emit(events::round_started(s.round + 1));
  }
}

void draft::settle_eager() {
  if (std::any_of(s.members.begin(), s.members.end(), [this](const member& m) { return needed(s, m); }))
    return;
  if (s.epoch == 0)
    return finish(outcome_kind::failed, no_answer("the limit of runs is used up"), first_code());
  choose();
}

void draft::choose() {
  end_all_runs("round_over"); // none today; a topology that shows an agent nothing could leave one
  auto votes = tally(s);
  auto most = votes.empty() ? 0 : *std::max_element(votes.begin(), votes.end());
  const member* best = nullptr;
  auto tied = 0U;
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

void draft::select(const std::string& winner, const std::string& how, std::uint32_t votes, bool tie) {
  auto last = s.round;
  std::vector<std::string> candidates;
  for (auto& m : s.members) {
    last = std::max(last, m.restarts);
    if (!m.answers.empty())
      candidates.push_back(m.answers.back().label);
  }
  emit(events::final_round_start(winner, last + 1));
  emit(events::final_agent_selected(winner, std::move(candidates), votes, tie, how));
  auto* m = find(s, winner);
  if (!m->live)
    return fall_back("the winner is out: " + m->out_reason, outcome_kind::failed, m->out_code);
  if (s.rules.strategy == strategy::winner_reuse && !m->answers.empty())
    return deliver(answer{m->answers.back()});
  if (!s.over_budget.empty())
    fall_back("the budget has no room for a presentation", outcome_kind::failed, ec::budget_exceeded);
}

void draft::fall_back(const std::string& reason, outcome_kind without_answer, ec code) {
  auto* m = find(s, s.winner);
  if (m->answers.empty()) // only when coordination was skipped
    return finish(without_answer, no_answer(reason), code);
  auto stored = m->answers.back();
  emit(events::presentation_fallback(s.winner, reason, stored.text));
  deliver(stored);
}

void draft::deliver(const answer& stored) {
  for (auto& change : stored.changes)
    emit(events::changes_proposed(s.winner, 0, change));
  deliver(stored.text, false);
}

void draft::deliver(const std::string& text, bool truncated) {
  emit(events::final_answer(s.winner, anonymous(*find(s, s.winner)) + ".final", text, truncated));
  finish(outcome_kind::answered, std::string{s.finish_reason}, ec::none);
}

void draft::keep_files(const command& c, const std::string& label, bool changes) {
  auto kept = c.files;
  if (!changes)
    kept.changes.clear();
  if (!kept.snapshot.empty())
    emit(events::snapshot_taken(c.agent, c.run, label, kept));
  else if (!c.files.why.empty())
    emit(events::snapshot_failed(c.agent, c.run, label, c.files.why));
}

void draft::finish(outcome_kind how, const std::string& text, ec code) {
  // A cancel has waited for the cancelled runs already, and as long for their calls.
  auto waited = s.phase == phase::cancelling && now >= s.cancel_deadline_ms;
  if (has_open_calls(s) && s.rules.closing_ms > 0 && !waited)
    return emit(events::task_closing(how, text, code));
  end_all_calls();
  emit(events::session_end());
  emit(events::task_ended(how, text, code));
}

void draft::settle_closing() {
  if (s.phase != phase::closing || has_open_calls(s))
    return;
  emit(events::session_end());
  emit(events::task_ended(s.outcome, s.outcome == outcome_kind::answered ? s.finish_reason : s.error, s.error_code));
}

void draft::end_calls(const std::string& agent) {
  auto* m = find(s, agent);
  while (m != nullptr && !m->open.empty()) {
    auto& c = m->open.front();
    usage use;
    use.unreported = c.target == events::model_target ? 1 : 0;
    if (auto reserve = amount_of(c.reserve); use.unreported > 0 && !(reserve == amount{}))
      use.unpriced = 1;
    end_call({agent, c.run, c.call, c.target}, events::unknown_status, use, {});
  }
}

void draft::end_all_calls() {
  for (auto& m : s.members)
    end_calls(m.id);
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
