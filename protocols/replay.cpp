// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay.hpp"

#include "protocols/events.hpp"
#include "protocols/ledger_draft.hpp"
#include "protocols/replay_book.hpp"
#include "protocols/replay_compare.hpp"
#include "protocols/replay_runs.hpp"
#include "protocols/text.hpp"
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
    if (is_delivery(log[i].type)) {
      if (!ended)
        return at(log[i].seq) + " tells what was done with the files of the task before it had ended";
      continue;
    }
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
void begin(const std::vector<event>& log, const opening* known, restored& r) {
  r.error = disorder(log);
  if (!r.error.empty() || (known == nullptr && !from_json(log.front().detail, r.opening, r.error)))
    return;
  if (known != nullptr)
    r.opening = *known;
  auto ids = ids_of(r.opening);
  for (const auto& e : log)
    if (e.type == event_type::session_start && e.labels != ids) {
      r.error = at(e.seq) + " names other agents than the opening of the task";
      return;
    }
  r.state = make(r.opening.rules, ids);
}

} // namespace

restored restore(const std::vector<event>& log, const opening* known) {
  restored r;
  begin(log, known, r);
  if (!r.error.empty())
    return r;
  for (const auto& e : log) {
    if (e.type == event_type::task_opened) // it is read already, and may be long
      open_task(r.state, r.opening);
    else
      fold(r.state, e);
    if (!is_delivery(e.type))
      r.last_ms = std::max(r.last_ms, e.time_ms);
  }
  r.seq = log.back().seq;
  return r;
}

std::vector<unfinished_run> unfinished(const std::vector<event>& log) {
  run_book book;
  for (const auto& e : log)
    book.take(e);
  return std::move(book).open();
}

std::uint64_t stored_bytes(const std::vector<event>& events) {
  std::uint64_t bytes = 0;
  for (const auto& e : events)
    bytes += e.text.size() + e.reason.size() + e.cause.size() + e.detail.size();
  return bytes;
}

std::map<std::string, std::uint64_t> played(const std::vector<event>& log) {
  std::map<std::string, std::uint64_t> out;
  for (const auto& e : log)
    if (e.type == event_type::call_ended && events::call_of(e).model && !e.said.empty())
      ++out[e.agent];
  return out;
}

std::map<std::string, std::uint32_t> backends_in_use(const std::vector<event>& log) {
  std::map<std::string, std::uint32_t> placed, out;
  for (const auto& e : log) // placed once at the start, and once for each further backend
    if (e.type == event_type::agent_placed && ++placed[e.agent] > 1)
      out[e.agent] = placed[e.agent] - 1;
  return out;
}

namespace {

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

/// An agent lives where the opening says.
std::string misplaced(const opening& o, const event& e) {
  auto p = events::placed_of(e);
  for (std::size_t i = 0; i < o.agents.size(); ++i) {
    if (o.agents[i].id != p.agent)
      continue;
    auto& b = o.agents[i].backend;
    const placement opened{p.agent, i < o.nodes.size() ? o.nodes[i] : "", b.type, b.model};
    auto fits = false;
    each_backend(o.agents[i], [&](const backend_config& x, const std::string&) {
      fits = fits || p == placement{opened.agent, opened.node, x.type, x.model};
    });
    return fits ? std::string{}
                : at(e.seq) + ": the agent is placed on node '" + shown_text(p.node) + "' with '" + shown_text(p.backend)
                      + "' and '" + shown_text(p.model) + "', by the opening of the task on '" + shown_text(opened.node)
                      + "' with '" + shown_text(opened.backend) + "' and '" + shown_text(opened.model) + "'";
  }
  return {};
}

std::string verify_decision(const opening& o, const std::vector<event>& group, const checked_bodies& bodies, state& s,
                            run_follower& runs) {
  command c;
  const auto& find = bodies.find();
  for (const auto& e : group) {
    if (auto text = bodies.missing(e); !text.empty())
      return at(e.seq) + ": " + text;
    if (auto text = e.type == event_type::agent_placed ? misplaced(o, e) : std::string{}; !text.empty())
      return text;
  }
  if (!read_cause(group, find, c))
    return at(group.front().seq) + ": its cause cannot be read: " + shown_text(group.front().cause, 200)
           + (bodies.misfit().empty() ? "" : "; " + bodies.misfit());
  auto d = advance(s, c); // the state takes what is decided, which is what the log says or the end of this
  for (std::size_t i = 0; i < std::max(group.size(), d.events.size()); ++i) {
    if (i == group.size())
      return at(group.back().seq + 1) + ": this build decides " + shown_text(wire::to_json(d.events[i]), 600)
             + " besides, which the log does not hold";
    if (i == d.events.size())
      return at(group[i].seq) + ": the log says " + shown_text(wire::to_json(group[i]), 600) + ", this build decides nothing there";
    if (auto text = difference(group[i], d.events[i]); !text.empty())
      return at(group[i].seq) + ": " + text;
  }
  return runs.take(c, group, s);
}

} // namespace

std::string verify(const std::vector<event>& log, const std::function<const std::string*(const std::string&)>& find,
                   run_check* runs) {
  restored r;
  begin(log, nullptr, r);
  if (!r.error.empty())
    return "the log cannot be verified: " + r.error;
  if (log.front().cause.empty())
    return "the log cannot be verified: " + at(log.front().seq) + " does not say what caused it";
  run_check unused;
  checked_bodies bodies{find};
  run_follower follower{r.opening, log, bodies.find(), runs != nullptr ? *runs : unused};
  std::vector<event> group;
  for (const auto& e : log) {
    if (is_delivery(e.type)) // nobody decided that
      break;
    if (!e.cause.empty() && !group.empty()) {
      if (auto text = verify_decision(r.opening, group, bodies, r.state, follower); !text.empty())
        return text;
      group.clear();
    }
    group.push_back(e);
  }
  return verify_decision(r.opening, group, bodies, r.state, follower);
}

} // namespace conclave::ledger
