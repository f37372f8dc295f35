// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay_runs.hpp"

#include "protocols/events.hpp"
#include "protocols/replay_book.hpp"
#include "protocols/replay_calls.hpp"
#include "protocols/replay_compare.hpp"
#include "protocols/replay_way.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace conclave::ledger {

namespace {

std::string at(std::uint64_t seq) {
  return "event " + std::to_string(seq) + ": ";
}

std::string count(std::size_t messages) {
  return std::to_string(messages) + (messages == 1 ? " message" : " messages");
}

/// One run and what is known of it; several ways as long as the log does not tell which it went.
struct followed {
  std::string agent;
  std::vector<run_way> ways;
  std::vector<std::string> compared; ///< names of the messages of its last prompt: each is compared once
  bool told = false;                 ///< a state of it is known: what its agent remembers is in it
};

/// What an agent had in the time from one start of an engine to the next.
using tool_set = std::map<std::string, call_effect>; ///< by name

} // namespace

struct run_follower::impl {
  const opening& played_by;
  const run::finder& find;
  run_check& counts;
  run_book book;
  std::map<std::uint64_t, followed> runs;
  std::map<std::uint64_t, std::uint32_t> rounds;      ///< of all runs that began
  std::map<std::uint64_t, run::state> first;          ///< state of each run at its first stored point
  std::vector<std::map<std::string, tool_set>> tools; ///< by engine start, then agent
  std::map<std::string, tool_set> all_tools;          ///< by agent
  reply_calls replies;
  std::size_t engine = 0;
  std::uint64_t fence = 0; ///< of whoever has the task; 0 = of the one it began with, which the log does not tell

  void read_ahead(const std::vector<event>& log);
  std::shared_ptr<const run::setting> setting_of(const std::string& agent, const tool_set& with, run::on_unknown unknown) const;
  std::vector<tool_set> tool_sets(const std::string& agent) const;

  start_run task_of(const command& c, const event& e, const state& s) const;
  void begin(const command& c, const event& e, const state& s);
  std::string go_on(const command& c, const event& e, const state& s);
  std::string same_state(followed& f, const event& e, const std::string& where);
  void end_late(const event& e, const completion& reply);
  void pass_over(followed& f, const event& e);
  std::string begin_model(followed& f, const event& e);
  std::string begin_tool(followed& f, const event& e);
  std::string end_call(followed* f, const event& e);
  void end_model(followed& f, const event& e, std::uint64_t number, const std::optional<completion>& reply, ec without);
  std::string hand_in(followed& f, const command& c, const std::vector<event>& decision);
  std::string compare(const run_way& w, const followed& f, const std::vector<std::string>& talk, std::string& problem) const;

  template <class F>
  static std::string keep(followed& f, std::uint64_t seq, const std::string& log_says, F fits);
};

/// What is needed before it comes: the state a run had at its first call, and the tools an agent had.
void run_follower::impl::read_ahead(const std::vector<event>& log) {
  replies.read(log);
  tools.emplace_back();
  for (const auto& e : log) {
    if (e.type == event_type::task_resumed)
      tools.emplace_back();
    if (auto c = e.type == event_type::call_started ? events::call_of(e) : events::call{}; !c.model && c.number > 0)
      tools.back()[e.agent][e.target] = all_tools[e.agent][e.target] = c.effect;
    std::string problem;
    if ((e.type == event_type::call_started || e.type == event_type::refused) && !e.state.empty() && first.count(e.run) == 0)
      if (auto* text = find(e.state); text != nullptr)
        if (run::state s; run::from_json(*text, s, problem))
          first.emplace(e.run, std::move(s));
  }
}

std::shared_ptr<const run::setting> run_follower::impl::setting_of(const std::string& agent, const tool_set& with,
                                                                   run::on_unknown unknown) const {
  auto out = std::make_shared<run::setting>();
  for (std::size_t i = 0; i < played_by.agents.size(); ++i)
    if (played_by.agents[i].id == agent) {
      out->agent = played_by.agents[i];
      out->number = static_cast<std::uint32_t>(i + 1);
    }
  out->agent.backend.script.clear(); // of no use to a run, and long
  std::size_t source = 0;
  for (const auto& [name, effect] : with) {
    run::offered_tool t;
    t.spec.name = name;
    t.source = source++;
    t.read_only = effect == call_effect::none;
    t.idempotent = effect == call_effect::repeatable;
    out->tools.emplace(name, std::move(t));
  }
  out->unknown = unknown;
  return out;
}

/// All tools that the agent ever called, or those it called since the engine started: others may have been gone.
std::vector<tool_set> run_follower::impl::tool_sets(const std::string& agent) const {
  auto of = [&](const std::map<std::string, tool_set>& known) {
    auto i = known.find(agent);
    return i == known.end() ? tool_set{} : i->second;
  };
  std::vector<tool_set> out{of(all_tools)};
  if (auto now = of(tools[engine]); now != out.front())
    out.push_back(std::move(now));
  return out;
}

start_run run_follower::impl::task_of(const command& c, const event& e, const state& s) const {
  auto t = task_for(s, e.agent, s.presentation.id == e.run);
  t.history = played_by.history;
  for (const auto& a : played_by.attachments)
    if (a.agent.empty() || a.agent == e.agent) {
      t.attachments.push_back(a);
      std::string missing; // found out where its event is read
      run::find_file(a.sha, find, t.attachments.back().data, missing);
    }
  t.now_ms = c.now_ms;
  t.fence = fence;
  for (auto& shown : t.answers)
    if (auto* a = find_answer(s, shown.label))
      shown.text = a->text;
  return t;
}

void run_follower::impl::begin(const command& c, const event& e, const state& s) {
  auto known = first.find(e.run);
  if (known == first.end())
    return; // it made no call
  followed f;
  f.agent = e.agent;
  for (const auto& set : tool_sets(e.agent)) {
    f.ways.emplace_back(setting_of(e.agent, set, run::on_unknown::tell));
    f.ways.back().start(task_of(c, e, s), known->second);
  }
  runs[e.run] = std::move(f);
}

std::string run_follower::impl::go_on(const command& c, const event& e, const state& s) {
  runs.erase(events::continued_of(e).old_run);
  auto* known = book.find(e.run);
  if (known == nullptr || known->state.empty()) {
    begin(c, e, s);
    return {};
  }
  std::set<std::uint64_t> all;
  for (const auto& call : known->calls)
    all.insert(call.call);
  stored_run from;
  run::state stored;
  std::string problem;
  if (!rebuild(*known, all, find, from, problem) || !run::from_json(from.state, stored, problem))
    return at(e.seq) + "the run cannot be put together: " + problem;
  stored.talk = std::move(from.talk);
  stored.kept = stored.talk.size();
  followed f;
  f.agent = e.agent;
  f.told = true;
  const completion* reply = nullptr; // that it acts on only now
  for (const auto& end : from.ends)
    if (end.ended && end.call == stored.model_call && stored.pending.empty() && !stored.handing_in)
      reply = &end.reply;
  for (const auto& set : tool_sets(e.agent))
    for (auto unknown : {run::on_unknown::tell, run::on_unknown::repeat}) {
      run_way way{setting_of(e.agent, set, unknown)};
      std::vector<tool_guess> guesses(1);
      if (reply != nullptr && !reply->calls.empty())
        guesses = replies.guesses(e.agent, stored.model_call, *reply, way.tools(), find);
      for (const auto& guess : guesses) {
        auto guessed = way;
        guessed.offer(guess.unknown, guess.gone);
        guessed.go_on(task_of(c, e, s), stored, from.ends, from.refused, from.refusal);
        if (std::find(f.ways.begin(), f.ways.end(), guessed) == f.ways.end())
          f.ways.push_back(std::move(guessed));
      }
    }
  runs[e.run] = std::move(f);
  return {};
}

/// Leaves the ways that fit. If none does, says what the log has and what the run does instead.
template <class F>
std::string run_follower::impl::keep(followed& f, std::uint64_t seq, const std::string& log_says, F fits) {
  auto doing = f.ways.front().doing();
  std::erase_if(f.ways, [&](run_way& w) { return !fits(w); });
  return f.ways.empty() ? at(seq) + "the log says " + log_says + "; in this build " + doing : std::string{};
}

/// What differs between the conversation of a run and the stored one; empty if nothing.
std::string run_follower::impl::compare(const run_way& w, const followed& f, const std::vector<std::string>& talk,
                                        std::string& problem) const {
  const auto& made = w.names();
  for (std::size_t i = 0; i < std::min(made.size(), talk.size()); ++i) {
    if (made[i] == talk[i] && i < f.compared.size() && f.compared[i] == talk[i])
      continue;
    message stored;
    if (!run::find_message(talk[i], find, stored, problem))
      return problem;
    if (auto text = difference(stored, w.talk()[i]); !text.empty())
      return "message " + std::to_string(i + 1) + " of " + std::to_string(talk.size()) + " (" + to_string(stored.from)
             + "): " + text;
  }
  if (made.size() == talk.size())
    return {};
  return "it has " + count(talk.size()) + " in the log, in this build " + count(made.size());
}

/// Leaves the ways whose state is the one that comes with this event. If none is, that is noted, and where a model call or a
/// refusal waits for its ruling the first goes on from the stored one. Returns why it cannot be compared.
std::string run_follower::impl::same_state(followed& f, const event& e, const std::string& where) {
  auto* text = find(e.state);
  run::state stored;
  std::string problem = "it is not in the store";
  if (text == nullptr || !run::from_json(*text, stored, problem))
    return at(e.seq) + "its state cannot be read: " + problem;
  prompts::cut(stored.partial, run::max_partial); // as the reply it is of is kept
  auto call = events::call_of(e);
  auto of_tool = e.type == event_type::call_started && !call.model;
  std::string unlike;
  if (stored.kept != e.kept)
    unlike = "it keeps " + count(stored.kept) + ", its event " + std::to_string(e.kept);
  else if (e.type == event_type::call_started && call.model && stored.model_call != call.number)
    unlike = "it is that of the model call " + std::to_string(stored.model_call);
  std::vector<run_way> same;
  std::string first_text;
  for (auto& w : f.ways) {
    auto differs = unlike.empty() ? difference(stored, w.state(), of_tool) : unlike;
    if (differs.empty() && of_tool)
      differs = w.unlike_calls(stored, call.number);
    if (differs.empty())
      same.push_back(std::move(w));
    else if (first_text.empty())
      first_text = std::move(differs);
  }
  f.told = true;
  ++counts.states.compared;
  if (!same.empty()) {
    f.ways = std::move(same);
    return {};
  }
  ++counts.states.differing;
  if (counts.states.first.empty())
    counts.states.first = at(e.seq) + "the state of the run at " + where + " of '" + shown_text(f.agent)
                          + "' is another in this build: " + first_text;
  if (!of_tool) {
    f.ways.resize(1, run_way{nullptr});
    f.ways.front().adopt(stored);
  }
  return {};
}

/// No event tells that a budget refused a call, nor that a backend could not be asked at all: that the run goes on with a later one
/// does.
void run_follower::impl::pass_over(followed& f, const event& e) {
  auto* text = find(e.state);
  run::state stored;
  std::string problem;
  if (text == nullptr || !run::from_json(*text, stored, problem))
    return; // said by same_state
  for (auto& w : f.ways)
    while (w.announces_model() && w.state().memory.backend < stored.memory.backend)
      w.rule({ruling_kind::refused, "", {}, ec::budget_exceeded});
}

std::string run_follower::impl::begin_model(followed& f, const event& e) {
  pass_over(f, e);
  if (auto wrong = keep(f, e.seq, "the run of '" + shown_text(f.agent) + "' calls its model",
                        [](const run_way& w) { return w.announces_model(); });
      !wrong.empty())
    return wrong;
  auto* known = book.find(e.run);
  if (known == nullptr)
    return {};
  auto where = "call " + std::to_string(e.number);
  ++counts.prompts.compared;
  std::string problem, first_text;
  std::vector<run_way> same;
  for (auto& w : f.ways) {
    auto text = compare(w, f, known->talk, problem);
    if (text.empty())
      same.push_back(std::move(w));
    else if (first_text.empty())
      first_text = std::move(text);
  }
  std::vector<message> talk;
  if (same.empty() && !problem.empty())
    return at(e.seq) + "its prompt cannot be read: " + problem;
  if (same.empty()) {
    if (!read_talk(known->talk, find, talk, problem))
      return at(e.seq) + "its prompt cannot be read: " + problem;
    ++counts.prompts.differing;
    if (counts.prompts.first.empty())
      counts.prompts.first =
          at(e.seq) + "the prompt of " + where + " of '" + shown_text(f.agent) + "' is another in this build: " + first_text;
    f.ways.resize(1, run_way{nullptr});
    f.ways.front().adopt(std::move(talk), known->talk);
  } else {
    f.ways.clear();
    for (auto& w : same)
      if (std::find(f.ways.begin(), f.ways.end(), w) == f.ways.end())
        f.ways.push_back(std::move(w));
  }
  f.compared = known->talk;
  for (auto& w : f.ways)
    w.number(static_cast<std::uint64_t>(e.number));
  auto wrong = same_state(f, e, where);
  for (auto& w : f.ways)
    w.rule({ruling_kind::accepted, "", {}});
  return wrong;
}

std::string run_follower::impl::begin_tool(followed& f, const event& e) {
  auto* arguments = e.said.empty() ? nullptr : find(e.said.back());
  if (arguments == nullptr)
    return at(e.seq) + "the arguments of the call are not in the store";
  auto number = static_cast<std::uint64_t>(e.number);
  auto wrong = keep(f, e.seq, "the run of '" + shown_text(f.agent) + "' calls the tool '" + shown_text(e.target) + "'",
                    [&](run_way& w) { return w.begin_tool(number, e.target, *arguments); });
  return wrong.empty() && !e.state.empty() ? same_state(f, e, "call " + std::to_string(number)) : wrong;
}

/// What became of the calls of a reply that were never made, the next prompt tells.
void run_follower::impl::end_model(followed& f, const event& e, std::uint64_t number, const std::optional<completion>& reply,
                                   ec without) {
  std::vector<tool_guess> guesses(1);
  if (reply && !reply->calls.empty() && !f.ways.empty())
    guesses = replies.guesses(e.agent, number, *reply, f.ways.front().tools(), find);
  std::vector<run_way> ways;
  for (auto& w : f.ways)
    for (const auto& guess : guesses) {
      ways.push_back(w);
      ways.back().offer(guess.unknown, guess.gone);
      ways.back().without(guess.not_made);
      ways.back().end_model(reply, without);
    }
  f.ways = std::move(ways);
}

/// What the agent remembers changes with a call of an earlier run, too.
void run_follower::impl::end_late(const event& e, const completion& reply) {
  for (auto& [run, f] : runs)
    if (f.agent == e.agent && f.told && run != e.run)
      for (auto& w : f.ways)
        w.end_late(e.run, events::call_of(e).number, rounds[e.run], reply);
}

/// Of no run that goes on: nullptr.
std::string run_follower::impl::end_call(followed* f, const event& e) {
  auto call = events::call_of(e);
  std::string problem;
  std::optional<completion> reply;
  if (call.model && !e.said.empty() && !run::find_completion(e.said.front(), find, reply.emplace(), problem))
    return at(e.seq) + "the reply cannot be read: " + problem;
  if (auto text = difference(e, reply ? &*reply : nullptr); !text.empty())
    return at(e.seq) + text;
  if (call.status == events::unknown_status)
    return {};
  if (call.model && f == nullptr && reply)
    end_late(e, *reply);
  if (f == nullptr)
    return {};
  if (call.model) {
    end_model(*f, e, call.number, reply, ec_from_string(std::string{call.status}));
    return {};
  }
  tool_result result;
  if (e.said.empty())
    return {};
  if (!run::find_result(e.said.front(), find, result, problem))
    return at(e.seq) + "the result cannot be read: " + problem;
  for (auto& w : f->ways)
    w.end_tool(call.number, result);
  return {};
}

std::string run_follower::impl::hand_in(followed& f, const command& c, const std::vector<event>& decision) {
  auto seq = decision.front().seq;
  if (c.kind == command_kind::fail) { // one that the run itself does not know of comes from outside: a cancel, a lost connection
    return c.code == ec::cancelled ? std::string{} : keep(f, seq, "the run fails with " + to_string(c.code), [&](const run_way& w) {
      return w.failed() == nullptr || w.failed()->code == c.code;
    });
  }
  auto kind = c.kind == command_kind::vote     ? verdict_kind::vote
              : c.kind == command_kind::answer ? verdict_kind::answer
                                               : verdict_kind::presented;
  for (auto& w : f.ways)
    w.keep_files(c.files);
  auto says =
      kind == verdict_kind::vote ? "the run votes for '" + shown_text(c.target) + "'" : "the run hands in " + quoted(c.text, 0);
  auto wrong = keep(f, seq, says, [&](const run_way& w) {
    auto* v = w.handed_in();
    return v != nullptr && v->kind == kind && v->text == c.text && v->target == c.target && v->reason == c.reason
           && v->step == c.step && v->truncated == c.truncated;
  });
  auto refused = std::find_if(decision.begin(), decision.end(), [](const event& e) { return e.type == event_type::refused; });
  if (!wrong.empty() || refused == decision.end())
    return wrong;
  if (!refused->state.empty())
    wrong = same_state(f, *refused, "the refusal");
  for (auto& w : f.ways)
    w.rule({ruling_kind::refused, refused->reason, refused->labels});
  return wrong;
}

run_follower::run_follower(const opening& o, const std::vector<event>& log, const run::finder& find, run_check& out)
    : impl_(new impl{o, find, out, {}, {}, {}, {}, {}, {}, {}, 0, 0}) {
  impl_->read_ahead(log);
}

run_follower::~run_follower() = default;

std::string run_follower::take(const command& c, const std::vector<event>& decision, const state& s) {
  auto& x = *impl_;
  auto run = x.runs.find(c.run);
  auto ours = run != x.runs.end() && run->second.agent == c.agent;
  auto verdict = c.kind == command_kind::answer || c.kind == command_kind::vote || c.kind == command_kind::present
                 || c.kind == command_kind::fail;
  std::string wrong;
  if (ours && verdict)
    wrong = x.hand_in(run->second, c, decision);
  for (const auto& e : decision) {
    if (!wrong.empty())
      return wrong;
    x.book.take(e);
    switch (e.type) {
    case event_type::run_started:
      x.rounds[e.run] = e.round;
      x.begin(c, e, s);
      break;
    case event_type::task_resumed:
      ++x.engine;
      x.fence = events::resumed_of(e).fence;
      x.runs.clear();
      break;
    case event_type::run_continued:
      x.rounds[e.run] = x.rounds[events::continued_of(e).old_run];
      wrong = x.go_on(c, e, s);
      break;
    case event_type::run_ended:
      x.runs.erase(e.run);
      break;
    case event_type::call_started:
      if (ours)
        wrong = e.target == events::model_target ? x.begin_model(run->second, e) : x.begin_tool(run->second, e);
      break;
    case event_type::call_ended:
      if (c.kind != command_kind::end_call)
        break; // the ledger's own: made again with its decision
      wrong = c.target.empty() || c.target == e.target
                  ? x.end_call(ours ? &run->second : nullptr, e)
                  : at(e.seq) + "the call was of '" + shown_text(e.target) + "', its end tells of '" + shown_text(c.target) + "'";
      break;
    default:
      break;
    }
  }
  return wrong;
}

} // namespace conclave::ledger
