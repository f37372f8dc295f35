// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay_book.hpp"

#include "protocols/events.hpp"

#include <algorithm>
#include <utility>

namespace conclave::ledger {

namespace {

// The conversation is what still stands of it and what is new.
void settle(unfinished_run& r, const event& e) {
  r.state = e.state;
  for (auto& c : r.calls)
    c.unsettled = c.unsettled && !c.ended;
  r.talk.resize(static_cast<std::size_t>(std::min<std::uint64_t>(e.kept, r.talk.size())));
  auto last = e.type == event_type::call_started && e.target != events::model_target && !e.said.empty() ? 1 : 0;
  r.talk.insert(r.talk.end(), e.said.begin(), e.said.end() - last); // a tool's arguments are no message
  r.refused = e.type == event_type::refused;
  r.refusal = {};
  if (r.refused)
    r.refusal = {ruling_kind::refused, e.reason, e.labels};
}

} // namespace

void run_book::take(const event& e) {
  switch (e.type) {
  case event_type::presentation_started:
  case event_type::presentation_retried:
    presenting_ = e.run;
    return;
  case event_type::run_started:
    return begin(e);
  case event_type::run_continued:
    return go_on(e);
  case event_type::run_ended:
    if (find(e) != nullptr)
      runs_.erase(e.run);
    return;
  case event_type::refused:
    return refuse(e);
  case event_type::call_started:
  case event_type::call_ended:
    return call(e);
  case event_type::task_ended:
    runs_.clear();
    return;
  default:
    return;
  }
}

const unfinished_run* run_book::find(std::uint64_t run) const {
  auto i = runs_.find(run);
  return i == runs_.end() ? nullptr : &i->second.run;
}

std::vector<unfinished_run> run_book::open() && {
  std::vector<unfinished_run> out;
  for (auto& [id, known] : runs_) {
    known.run.calls_made = calls_[known.run.agent];
    out.push_back(std::move(known.run));
  }
  return out;
}

run_book::entry* run_book::find(const event& e) {
  auto i = runs_.find(e.run);
  return i != runs_.end() && i->second.run.agent == e.agent ? &i->second : nullptr;
}

void run_book::begin(const event& e) {
  entry x;
  x.run.agent = e.agent;
  x.run.run = e.run;
  x.run.present = e.run == presenting_;
  runs_[e.run] = std::move(x);
}

void run_book::go_on(const event& e) {
  auto old = runs_.find(e.number > 0 ? static_cast<std::uint64_t>(e.number) : 0);
  if (old == runs_.end() || old->second.run.agent != e.agent)
    return;
  auto known = std::move(old->second);
  runs_.erase(old);
  known.run.run = e.run;
  runs_[e.run] = std::move(known);
}

// Without a state nothing is known of the run behind the refusal: it hands in once more what it did, and is refused once more.
void run_book::refuse(const event& e) {
  if (auto* x = find(e); x != nullptr && !e.state.empty())
    settle(x->run, e);
}

void run_book::call(const event& e) {
  auto number = e.number > 0 ? static_cast<std::uint64_t>(e.number) : 0;
  auto& made = calls_[e.agent];
  made = std::max(made, number);
  auto* x = find(e);
  if (x == nullptr)
    return;
  if (e.type == event_type::call_ended) {
    auto i = x->place.find(number);
    if (i == x->place.end())
      return;
    auto& c = x->run.calls[i->second];
    c.ended = true;
    c.status = e.reason;
    c.said = e.said;
    c.unsettled = e.reason == events::unknown_status;
    return;
  }
  auto known = events::call_of(e);
  if (!e.state.empty())
    settle(x->run, e);
  x->place[number] = x->run.calls.size();
  std::vector<std::string> sent;
  if (!known.model && !e.said.empty())
    sent.push_back(e.said.back());
  x->run.calls.push_back({number, e.target, false, "", {}, std::move(sent), known.effect});
}

} // namespace conclave::ledger
