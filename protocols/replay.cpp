// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay.hpp"

#include "protocols/events.hpp"
#include "protocols/spelling.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace conclave::ledger {

namespace {

constexpr std::size_t max_named = 5;

std::string at(std::uint64_t seq) {
  return "event " + std::to_string(seq);
}

/// Names of the types that this build does not know, in a sentence; empty if there is none.
std::string unknown_types(const std::vector<event>& log) {
  std::set<std::string> names;
  for (const auto& e : log)
    if (e.type == event_type::unknown && names.size() <= max_named) {
      std::string name = to_string(e.type);
      wire::get(e.extra, "type", name);
      names.insert("'" + shown_text(name) + "'");
    }
  std::string list;
  std::size_t told = 0;
  for (const auto& name : names)
    if (told++ < max_named)
      list += (list.empty() ? "" : ", ") + name;
  if (names.size() > max_named)
    list += " and others";
  return list.empty() ? list
                      : "it holds events this version of conclave does not know (" + list + "): a newer one can go on with it";
}

/// Why a log cannot be gone on with, as far as its order tells; empty if it can.
std::string disorder(const std::vector<event>& log) {
  if (log.empty())
    return "it is empty";
  for (std::size_t i = 0; i < log.size(); ++i)
    if (log[i].seq != i + 1)
      return "its events are not complete: " + at(i + 1) + " is missing, " + at(log[i].seq) + " stands there";
  if (log.front().type != event_type::task_opened)
    return "it was written by a version of conclave that did not store how a task is played (it does not begin with task_opened)";
  auto ended = false;
  for (std::size_t i = 0; i < log.size(); ++i) {
    if (ended)
      return at(log[i].seq) + " stands behind the end of the task";
    if (i > 0 && log[i].type == event_type::task_opened)
      return at(log[i].seq) + " opens the task once more";
    ended = log[i].type == event_type::task_ended;
  }
  return unknown_types(log);
}

std::vector<std::string> ids_of(const opening& o) {
  std::vector<std::string> ids;
  for (const auto& a : o.agents)
    ids.push_back(a.id);
  return ids;
}

/// Reads what stands at the beginning of a log in order; sets `error` or the state before the first event.
void begin(const std::vector<event>& log, restored& r) {
  r.error = disorder(log);
  if (!r.error.empty() || !from_json(log.front().detail, r.opening, r.error))
    return;
  auto ids = ids_of(r.opening);
  for (const auto& e : log)
    if (e.type == event_type::session_start && e.labels != ids) {
      r.error = at(e.seq) + " names other agents than the opening of the task";
      return;
    }
  r.state = make(r.opening.rules, ids);
}

} // namespace

restored restore(const std::vector<event>& log) {
  restored r;
  begin(log, r);
  if (!r.error.empty())
    return r;
  for (const auto& e : log) {
    fold(r.state, e);
    r.last_ms = std::max(r.last_ms, e.time_ms);
  }
  r.seq = log.back().seq;
  return r;
}

namespace {

/// Follows the runs of a log.
class run_book {
public:
  void take(const event& e) {
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

  std::vector<unfinished_run> open() && {
    std::vector<unfinished_run> out;
    for (auto& [id, known] : runs_) {
      known.run.calls_made = calls_[known.run.agent];
      out.push_back(std::move(known.run));
    }
    return out;
  }

private:
  struct entry {
    unfinished_run run;
    std::map<std::uint64_t, std::size_t> place; ///< of a call in run.calls
  };

  entry* find(const event& e) {
    auto i = runs_.find(e.run);
    return i != runs_.end() && i->second.run.agent == e.agent ? &i->second : nullptr;
  }

  void begin(const event& e) {
    entry x;
    x.run.agent = e.agent;
    x.run.run = e.run;
    x.run.present = e.run == presenting_;
    runs_[e.run] = std::move(x);
  }

  void go_on(const event& e) {
    auto old = runs_.find(e.number > 0 ? static_cast<std::uint64_t>(e.number) : 0);
    if (old == runs_.end() || old->second.run.agent != e.agent)
      return;
    auto known = std::move(old->second);
    runs_.erase(old);
    known.run.run = e.run;
    runs_[e.run] = std::move(known);
  }

  // The conversation is what still stands of it and what is new.
  static void settle(entry& x, const event& e) {
    auto& r = x.run;
    r.state = e.state;
    r.talk.resize(static_cast<std::size_t>(std::min<std::uint64_t>(e.kept, r.talk.size())));
    auto last = e.type == event_type::call_started && e.target != events::model_target && !e.said.empty() ? 1 : 0;
    r.talk.insert(r.talk.end(), e.said.begin(), e.said.end() - last); // a tool's arguments are no message
    r.refused = e.type == event_type::refused;
    r.refusal = {};
    if (r.refused)
      r.refusal = {ruling_kind::refused, e.reason, e.labels};
  }

  // Without a state nothing is known of the run behind the refusal: it hands in once more what it did, and is refused once more.
  void refuse(const event& e) {
    if (auto* x = find(e); x != nullptr && !e.state.empty())
      settle(*x, e);
  }

  void call(const event& e) {
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
      return;
    }
    auto known = events::call_of(e);
    if (!e.state.empty())
      settle(*x, e);
    x->place[number] = x->run.calls.size();
    std::vector<std::string> sent;
    if (!known.model && !e.said.empty())
      sent.push_back(e.said.back());
    x->run.calls.push_back({number, e.target, false, "", {}, std::move(sent), known.repeatable});
  }

  std::map<std::uint64_t, entry> runs_;
  std::map<std::string, std::uint64_t> calls_;
  std::uint64_t presenting_ = 0;
};

} // namespace

std::vector<unfinished_run> unfinished(const std::vector<event>& log) {
  run_book book;
  for (const auto& e : log)
    book.take(e);
  return std::move(book).open();
}

std::map<std::string, std::uint64_t> played(const std::vector<event>& log) {
  std::map<std::string, std::uint64_t> out;
  for (const auto& e : log)
    if (e.type == event_type::call_ended && events::call_of(e).model && !e.said.empty())
      ++out[e.agent];
  return out;
}

namespace {

/// The one line to change where a decision is made in place.
decision decide_again(const state& s, const command& c) {
  return decide(s, c);
}

/// What the log and a decision say differently about one event; empty if nothing. Where it stands and why it was made are no part
/// of what was decided.
std::string difference(event stored, event decided) {
  stored.seq = decided.seq = 0;
  stored.cause.clear();
  decided.cause.clear();
  if (stored == decided)
    return {};
  constexpr std::size_t most = 600;
  return "the log says " + shown_text(wire::to_json(stored), most) + ", this build decides "
         + shown_text(wire::to_json(decided), most);
}

std::string verify_decision(const std::vector<event>& group, const std::function<const std::string*(const std::string&)>& find,
                            state& s) {
  command c;
  if (!read_cause(group, find, c))
    return at(group.front().seq) + ": its cause cannot be read: " + shown_text(group.front().cause, 200);
  auto d = decide_again(s, c);
  for (std::size_t i = 0; i < std::max(group.size(), d.events.size()); ++i) {
    if (i == group.size())
      return at(group.back().seq + 1) + ": this build decides " + shown_text(wire::to_json(d.events[i]), 600)
             + " besides, which the log does not hold";
    if (i == d.events.size())
      return at(group[i].seq) + ": the log says " + shown_text(wire::to_json(group[i]), 600) + ", this build decides nothing there";
    if (auto text = difference(group[i], d.events[i]); !text.empty())
      return at(group[i].seq) + ": " + text;
  }
  for (const auto& e : group)
    fold(s, e);
  return {};
}

} // namespace

std::string verify(const std::vector<event>& log, const std::function<const std::string*(const std::string&)>& find) {
  restored r;
  begin(log, r);
  if (!r.error.empty())
    return "the log cannot be verified: " + r.error;
  if (log.front().cause.empty())
    return "the log cannot be verified: " + at(log.front().seq) + " does not say what caused it";
  std::vector<event> group;
  for (const auto& e : log) {
    if (!e.cause.empty() && !group.empty()) {
      if (auto text = verify_decision(group, find, r.state); !text.empty())
        return text;
      group.clear();
    }
    group.push_back(e);
  }
  return verify_decision(group, find, r.state);
}

} // namespace conclave::ledger
