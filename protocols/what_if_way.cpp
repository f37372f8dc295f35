// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Two states go side by side: `was`, which takes the events of the log, and `would`, which judges what caused them under the other
/// rules. A run of the log stands for one of `would` if that wants the agent asked at that time; timers of `would` strike by the
/// times of the events. Where `would` wants something that the log does not hold, that is noted as a gap, and the agent abstains.

#include "protocols/what_if_way.hpp"

#include "protocols/events.hpp"
#include "protocols/ledger_draft.hpp"

#include <algorithm>
#include <utility>

namespace conclave::ledger {

namespace {

std::string listed(const std::vector<std::string>& ids) {
  std::string out;
  for (auto& id : ids)
    out += (out.empty() ? "" : ", ") + quoted(id);
  return out;
}

/// Why an answer is refused, without what the model is to do instead.
std::string cause_in(const std::string& reason) {
  return shown_text(reason.substr(0, reason.find_first_of(";:.")), 200);
}

std::vector<std::string> sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

const event* seek(const std::vector<event>& decision, std::initializer_list<event_type> types) {
  auto i = std::find_if(decision.begin(), decision.end(),
                        [&](const event& e) { return std::find(types.begin(), types.end(), e.type) != types.end(); });
  return i == decision.end() ? nullptr : &*i;
}

/// What the ledger made of a verdict: accepted, ignored or refused; nullptr if nothing.
const event* judged(const std::vector<event>& decision) {
  return seek(decision, {event_type::new_answer, event_type::vote_cast, event_type::vote_ignored, event_type::refused});
}

bool is(const event* e, event_type type) {
  return e != nullptr && e->type == type;
}

} // namespace

other_way::other_way(const opening& o, const other_rules& other) {
  std::vector<std::string> ids;
  for (auto& a : o.agents) {
    ids.push_back(a.id);
    if (!a.failover.empty())
      has_failover_.insert(a.id);
  }
  was_ = make(o.rules, ids);
  open_task(was_, o);
  auto changed = o;
  changed.rules = other.rules;
  other_budgets_ = !(other.rules.budget == o.rules.budget);
  for (auto& a : changed.agents)
    if (auto i = other.budgets.find(a.id); i != other.budgets.end() && !(i->second == a.budget)) {
      a.budget = i->second;
      other_budgets_ = true;
    }
  would_ = make(changed.rules, ids);
  open_task(would_, std::move(changed));
  for (auto& m : would_.members)
    for (auto& a : m.answers) {
      labels_[a.label] = a.label;
      sources_[a.label] = {a.label, 1};
    }
  auto place = [&](const member& m) { return std::find(other.order.begin(), other.order.end(), m.id) - other.order.begin(); };
  std::stable_sort(would_.members.begin(), would_.members.end(), [&](auto& a, auto& b) { return place(a) < place(b); });
}

void other_way::note(std::uint64_t seq, std::string text, bool gap) {
  notes_.push_back({seq, std::move(text), gap});
}

other_way::source other_way::source_of(const std::string& label) const {
  auto i = sources_.find(label);
  return i == sources_.end() ? source{} : i->second;
}

void other_way::take(command c, const std::vector<event>& decision) {
  seq_ = decision.front().seq;
  c.now_ms = decision.front().time_ms;
  // The time that nobody worked on the task lets nothing become due.
  const auto until = c.kind == command_kind::take_over ? was_.last_ms : c.now_ms;
  fire_due(until);
  if (would_.phase == phase::coordinating || would_.phase == phase::idle) {
    // What follows from this decision happens when it was made: deadlines hang on it, and it may be long after the event before.
    would_.last_ms = std::max(would_.last_ms, until);
    switch (c.kind) {
    case command_kind::start:
      c.opening.clear();
      c.said.clear();
      c.placements.clear();
      apply(std::move(c));
      break;
    case command_kind::begin_run:
      begin(std::move(c), decision);
      break;
    case command_kind::answer:
    case command_kind::vote:
      hand_in(std::move(c), decision);
      break;
    case command_kind::fail:
      fail(std::move(c), decision);
      break;
    case command_kind::begin_call:
      begin_call(std::move(c), decision);
      break;
    case command_kind::end_call:
      end_call(std::move(c));
      break;
    case command_kind::timer:
      if (c.timer.run != 0) {
        auto i = runs_.find(c.timer.run);
        c.timer.run = i == runs_.end() ? 0 : i->second.ours;
      }
      apply(std::move(c));
      break;
    case command_kind::lose_agent:
    case command_kind::lose_node:
    case command_kind::cancel:
    case command_kind::take_over:
      apply(std::move(c));
      break;
    case command_kind::continue_run:
      go_on(decision);
      break;
    default: // notices and the presentation choose nobody
      break;
    }
  }
  for (auto& e : decision)
    if (e.type != event_type::task_opened) // taken at the beginning
      fold(was_, e);
  seq_ = decision.back().seq;
  if (would_.phase == phase::coordinating)
    follow(decision);
  if (would_.phase != phase::coordinating && was_.phase == phase::coordinating)
    tell_end();
  if (would_.phase != phase::coordinating || was_.phase != phase::coordinating)
    end();
}

decision other_way::apply(command c) {
  return advance(would_, c);
}

// Timers of the other rules alone: those that the log has as well strike when they did there.
void other_way::fire_due(std::int64_t until) {
  while (would_.phase == phase::coordinating) {
    const auto timers = want(would_).timers;
    const timer_key* next = nullptr;
    for (auto& t : timers)
      if (t.due_ms <= until && !log_has(t) && (next == nullptr || t.due_ms < next->due_ms))
        next = &t;
    if (next == nullptr)
      return;
    command c;
    c.kind = command_kind::timer;
    c.timer = *next;
    c.now_ms = next->due_ms;
    auto d = apply(c);
    tell_timer(*next, d.events);
    if (d.events.empty())
      return;
    follow_waits();
  }
}

bool other_way::log_has(const timer_key& t) const {
  const auto timers = want(was_).timers;
  return std::any_of(timers.begin(), timers.end(), [&](const timer_key& x) {
    auto i = runs_.find(x.run);
    auto ours = x.run == 0 ? 0 : i == runs_.end() ? 0 : i->second.ours;
    return x.kind == t.kind && x.agent == t.agent && x.due_ms == t.due_ms && ours == t.run;
  });
}

void other_way::tell_timer(const timer_key& t, const std::vector<event>& events) {
  if (events.empty())
    return;
  if (t.kind == timer_kind::coordination)
    return note(seq_, "the time to decide would have been over before this", false);
  if (t.kind == timer_kind::run)
    return note(seq_, "the run of " + quoted(t.agent) + " would have been ended before this: its time was over", false);
  if (auto* e = seek(events, {event_type::round_timeout}))
    note(seq_, "round " + std::to_string(e->round) + " would have ended before this without " + listed(e->labels), false);
}

std::vector<std::string> other_way::translated(const std::vector<std::string>& labels) const {
  std::vector<std::string> out;
  for (auto& label : labels) {
    auto i = labels_.find(label);
    out.push_back(i == labels_.end() ? "" : i->second);
  }
  return sorted(std::move(out));
}

std::vector<std::string> other_way::shown_now(const std::string& agent) const {
  return sorted(shown(would_, agent));
}

void other_way::begin(command c, const std::vector<event>& decision) {
  auto* e = seek(decision, {event_type::run_started});
  if (e == nullptr || was_.phase != phase::coordinating)
    return;
  auto& r = runs_[e->run] = {c.agent, 0, e->labels};
  auto* m = find(would_, c.agent);
  if (m == nullptr || !may_begin(would_, *m))
    return;
  auto told = translated(r.shown);
  auto late = waits_.find(c.agent);
  auto who = quoted(c.agent);
  if (late != waits_.end() && late->second.shown != told)
    note(late->second.seq, who + " would have been asked here already: that run is not in the log", true);
  else if (shown_now(c.agent) != told)
    gap(who + " would have been shown other answers: what it would have said to those is not in the log");
  if (ledger::may_answer(would_, c.agent) && !ledger::may_answer(was_, c.agent))
    gap(who + " would have been offered a new answer besides the vote: whether it would have given one is not in the log");
  begin_as(c.agent, r);
}

void other_way::begin_as(const std::string& agent, run& r) {
  waits_.erase(agent);
  command c;
  c.kind = command_kind::begin_run;
  c.agent = agent;
  c.now_ms = would_.last_ms;
  apply(std::move(c));
  if (auto* m = find(would_, agent))
    r.ours = m->run.id;
}

other_way::run* other_way::run_of(const command& c) {
  auto i = runs_.find(c.run);
  auto* m = find(would_, c.agent);
  if (i == runs_.end() || m == nullptr || i->second.ours == 0 || i->second.agent != c.agent || m->run.id != i->second.ours)
    return nullptr;
  return &i->second;
}

void other_way::hand_in(command c, const std::vector<event>& decision) {
  auto* there = judged(decision);
  auto* r = run_of(c);
  if (r == nullptr)
    return skip_verdict(c.agent, there);
  if (c.kind == command_kind::vote && there != nullptr && !names_what_stands(c, *there))
    return abstain(c.agent);
  c.run = r->ours;
  auto d = apply(c);
  if (c.kind == command_kind::answer)
    judge_answer(c, there, d);
  else if (c.kind == command_kind::vote)
    judge_vote(c, there, d);
}

void other_way::skip_verdict(const std::string& agent, const event* there) {
  if (is(there, event_type::new_answer))
    note(seq_, "the answer " + there->label + " of " + quoted(agent) + " would not have come: no such run", false);
  else if (is(there, event_type::vote_cast))
    note(seq_, "this vote of " + quoted(agent) + " would not have come: no such run", false);
}

void other_way::judge_answer(const command& c, const event* there, const decision& d) {
  auto* here = judged(d.events);
  auto who = quoted(c.agent);
  auto taken = is(there, event_type::new_answer);
  if (is(here, event_type::new_answer)) {
    if (taken)
      labels_[there->label] = here->label;
    else
      note(seq_, "the answer of " + who + " that was refused here would have been taken", false);
    sources_[here->label] = {taken ? there->label : "", there == nullptr ? seq_ : there->seq};
  } else if (taken) {
    gap("the answer " + there->label + " of " + who + " would have been refused ("
        + (here == nullptr ? "it is stale" : cause_in(d.reason)) + "); what it would have done instead is not in the log");
    abstain(c.agent);
  }
}

void other_way::judge_vote(const command& c, const event* there, const decision& d) {
  auto* here = judged(d.events);
  auto who = quoted(c.agent);
  auto counted = is(there, event_type::vote_cast);
  if (is(here, event_type::vote_cast)) {
    if (!counted)
      note(seq_, "the vote of " + who + " for " + quoted(here->target) + " would have counted", false);
  } else if (is(here, event_type::vote_ignored)) {
    if (counted)
      note(seq_, "the vote of " + who + " would have come too late: an answer it was not shown would have been there", false);
  } else if (counted || is(there, event_type::vote_ignored)) {
    gap("the vote of " + who + " would have been refused; what it would have done instead is not in the log");
    abstain(c.agent);
  }
}

// A vote is for a text, not for an agent.
bool other_way::names_what_stands(const command& c, const event& there) {
  auto label = there.type == event_type::vote_cast ? there.target_label : std::string{};
  auto& r = runs_[c.run];
  auto* target = find(was_, there.target);
  if (there.type == event_type::vote_ignored && target != nullptr)
    for (auto& l : r.shown)
      if (shown_id(l) == anonymous(*target))
        label = l;
  if (label.empty())
    return true; // it names nobody, or was refused: it is judged again
  auto i = labels_.find(label);
  auto& shown = find(would_, c.agent)->run.shown;
  if (i != labels_.end() && std::find(shown.begin(), shown.end(), i->second) != shown.end())
    return true;
  gap("the vote of " + quoted(c.agent) + " is for " + label
      + ", which it would not have been shown: what else it would have said is not in the log");
  return false;
}

void other_way::go_on(const std::vector<event>& decision) {
  auto* e = seek(decision, {event_type::run_continued});
  if (e == nullptr)
    return;
  auto names = events::continued_of(*e);
  if (auto i = runs_.find(names.old_run); i != runs_.end()) {
    auto moved = std::move(i->second);
    runs_.erase(i);
    runs_[names.new_run] = std::move(moved);
  }
}

} // namespace conclave::ledger
