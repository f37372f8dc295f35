// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The judgement of what a current run hands in: answers, votes, the presentation.

#include "protocols/ledger_draft.hpp"
#include "protocols/workspace_paths.hpp"

#include <algorithm>

namespace conclave::ledger {

namespace {

std::vector<std::string> ids_of(const std::vector<std::string>& labels) {
  std::vector<std::string> ids;
  ids.reserve(labels.size());
  for (auto& label : labels)
    ids.push_back(shown_id(label));
  return ids;
}

std::string joined(const std::vector<std::string>& ids) {
  std::string out;
  for (auto& id : ids)
    out += (out.empty() ? "" : ", ") + id;
  return out;
}

// What a run may do instead of an answer that is not taken.
std::string instead(const active_run& run) {
  return run.shown.empty() ? "." : "; vote for one of: " + joined(ids_of(run.shown)) + ".";
}

// In eager an agent whose view is stale gets no correction but a fresh run with the new answers (docs/protocol.md 2.6).
bool stale(const state& s, const member& m) {
  return s.rules.pacing == pacing::eager && m.restart_pending;
}

decision refuse(state& s, const command& c, std::string reason, std::vector<std::string> allowed) {
  draft x{s, c.now_ms};
  if (s.phase == phase::coordinating && stale(s, *find(s, c.agent))) {
    x.end_run(c.agent, c.run, "restarted", c.text);
    x.settle();
    x.d.kind = ruling_kind::superseded;
    return std::move(x.d);
  }
  x.emit(events::refused(c.agent, c.run, reason, allowed, {c.said, c.state, c.kept}));
  x.d.kind = ruling_kind::refused;
  x.d.reason = std::move(reason);
  x.d.allowed = std::move(allowed);
  return std::move(x.d);
}

const member* owner(const state& s, const std::string& label) {
  for (auto& m : s.members)
    if (anonymous(m) == shown_id(label))
      return &m;
  return nullptr;
}

/// A text as it is compared with others.
struct comparable {
  explicit comparable(const std::string& given) : text(folded(given)), key(key_of(text)) {}
  std::string text, key;
};

// Why an answer is not taken; empty if it is. Names no real id.
std::string objection(const state& s, const member& m, const std::string& text, const std::string& snapshot) {
  auto& r = s.rules;
  if (r.max_answers_global > 0 && s.epoch - s.earlier >= r.max_answers_global)
    return "No further answers are taken in this task (limit of " + std::to_string(r.max_answers_global) + " used up)"
           + instead(m.run);
  if (r.max_answers_per_agent > 0 && m.answers.size() - m.earlier >= r.max_answers_per_agent)
    return "You have used up your " + std::to_string(r.max_answers_per_agent) + " answers" + instead(m.run);
  if (blank(text))
    return "The answer is blank: put the whole answer into `content`.";
  if (r.max_answer_bytes > 0 && text.size() > r.max_answer_bytes)
    return "The answer has " + std::to_string(text.size()) + " bytes, the limit is " + std::to_string(r.max_answer_bytes)
           + ": hand in a shorter one.";
  comparable given{text};
  // With other files it is another answer.
  auto equal = [&](const answer& a, const comparable& x) {
    return a.key == x.key && a.snapshot == snapshot && folded(a.text) == x.text;
  };
  for (auto& a : m.answers)
    if (equal(a, given))
      return "This equals an answer you have handed in before: improve it" + instead(m.run);
  for (auto& label : m.run.shown) {
    auto* a = find_answer(s, label);
    if (a == nullptr)
      continue;
    // Where its own files lie does not make it another one.
    auto* of = owner(s, label);
    auto theirs = snapshot.empty() || of == nullptr ? text : workspace_paths::as_of(text, m.number, of->number);
    if (equal(*a, given) || (theirs != text && equal(*a, comparable{theirs})))
      return "This equals the answer of " + shown_id(label) + ", which you were shown: improve it" + instead(m.run);
  }
  return {};
}

// The label a vote is for, resolved through what the run was shown; empty if there is none. A real id counts only where it is
// nobody's anonymous id: "agent2" in a team whose members are named agent2, agent1 means what the voter was shown.
std::string resolve(const state& s, const active_run& run, const std::string& given) {
  auto first = given.find_first_not_of(" \t\r\n");
  if (first == std::string::npos)
    return {};
  auto target = given.substr(first, given.find_last_not_of(" \t\r\n") - first + 1);
  for (auto& label : run.shown)
    if (shown_id(label) == target)
      return label;
  for (auto& m : s.members)
    if (anonymous(m) == target)
      return {};
  if (auto* m = find(s, target))
    for (auto& label : run.shown)
      if (shown_id(label) == anonymous(*m))
        return label;
  return {};
}

decision ignore_vote(state& s, const command& c, const active_run& run, const std::string& label) {
  draft x{s, c.now_ms};
  auto* target = label.empty() ? nullptr : owner(s, label);
  x.emit(events::vote_ignored(c.agent, c.run, target == nullptr ? "" : target->id, s.epoch, run.epoch));
  x.end_run(c.agent, c.run, "ignored");
  x.settle();
  return std::move(x.d);
}

} // namespace

decision hand_in_answer(state& s, const command& c) {
  if (s.phase == phase::presenting)
    return refuse(s, c, "This run presents the final answer: reply with its text alone, no tool is offered.", {});
  auto& m = *find(s, c.agent);
  if (auto reason = objection(s, m, c.text, c.files.snapshot); !reason.empty())
    return refuse(s, c, std::move(reason), ids_of(m.run.shown));
  if (c.files.mend)
    return refuse(s, c, c.files.why, ids_of(m.run.shown));
  draft x{s, c.now_ms};
  auto label = anonymous(m) + "." + std::to_string(m.answers.size() + 1);
  x.emit(events::new_answer(c.agent, c.run, label, c.text, c.step, s.epoch + 1));
  x.keep_files(c, label, true);
  x.end_run(c.agent, c.run, "answered");
  if (s.rules.pacing == pacing::eager) {
    std::vector<std::string> live;
    for (auto& other : s.members)
      if (other.live)
        live.push_back(other.id);
    x.emit(events::restart_triggered(c.agent, std::move(live)));
    x.emit(events::restart_completed(c.agent, m.restarts + 1)); // the answerer has no run that would have to end first
  }
  x.settle();
  return std::move(x.d);
}

decision hand_in_vote(state& s, const command& c) {
  if (s.phase == phase::presenting)
    return refuse(s, c, "This run presents the final answer: reply with its text alone, no tool is offered.", {});
  auto& voter = *find(s, c.agent);
  auto& run = voter.run;
  auto label = resolve(s, run, c.target);
  // A first run was offered no vote: what it sends is a mistake, not a stale vote.
  auto first = s.rules.pacing == pacing::barrier && run.shown.empty();
  if (run.epoch != s.epoch && !first)
    return ignore_vote(s, c, run, label);
  if (run.shown.empty())
    return refuse(s, c, "There is no answer to vote for: hand in your own with `new_answer`.", {});
  auto* target = label.empty() ? nullptr : owner(s, label);
  if (target == nullptr)
    return refuse(s, c, "No such agent to vote for. Valid ids: " + joined(ids_of(run.shown)) + ".", ids_of(run.shown));
  draft x{s, c.now_ms};
  events::vote v;
  v.agent = c.agent;
  v.run = c.run;
  v.epoch = s.epoch;
  v.label = anonymous(voter) + ".vote" + std::to_string(voter.votes_cast + 1);
  v.target = target->id;
  v.target_label = label;
  v.reason = s.rules.max_reason_chars > 0 ? cut_chars(c.reason, s.rules.max_reason_chars) : c.reason;
  v.step = c.step;
  x.emit(events::vote_cast(std::move(v)));
  x.end_run(c.agent, c.run, "voted");
  x.settle();
  return std::move(x.d);
}

decision hand_in_presentation(state& s, const command& c) {
  if (s.phase != phase::presenting)
    return refuse(s, c, "This run ends with `new_answer` or `vote`, not with plain text.", ids_of(find(s, c.agent)->run.shown));
  draft x{s, c.now_ms};
  if (blank(c.text)) {
    x.end_run(c.agent, c.run, "failed", {}, ec::bad_reply);
    fail_presentation(x, c.run, ec::bad_reply, "the presentation is blank");
    return std::move(x.d);
  }
  auto most = s.rules.max_answer_bytes;
  auto text = most > 0 ? cut_utf8(c.text, most) : c.text;
  x.end_run(c.agent, c.run, "presented");
  x.keep_files(c, anonymous(*find(s, c.agent)) + ".final", false); // its changes are proposed at once
  for (auto& change : c.files.changes)
    x.emit(events::changes_proposed(c.agent, c.run, change));
  x.deliver(blank(text) ? c.text : text, c.truncated || text.size() < c.text.size());
  return std::move(x.d);
}

} // namespace conclave::ledger
