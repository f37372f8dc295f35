// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Drives a ledger as the orchestrator does, in virtual time: each step decides, folds and begins what is wanted. After every step
/// the invariants are checked; a broken one throws. Neither CAF nor rapidcheck, so that both kinds of test can use it.

#include "protocols/ledger.hpp"
#include "protocols/opening.hpp"
#include "tests/support/ledger_crash.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace conclave::test {

using ledger::command;
using ledger::command_kind;
using ledger::decision;
using ledger::timer_kind;

class ledger_driver {
public:
  ledger::state s;
  std::vector<event> log;
  std::int64_t now = 1'700'000'000'000;
  std::uint32_t jitter = 0;
  std::size_t coordination_runs = 0; ///< begin_run commands carried out
  std::size_t presentation_runs = 0;
  bool begins = true; ///< begin wanted runs after each step
  std::vector<command> handed_in;
  std::function<void(const command&, const decision&)> told; ///< of every decision, before it is folded
  opening played_by;                                         ///< what `start` opens the task with, where `opens`
  bool opens = false;                                        ///< else the log begins with session_start
  std::size_t crashes = 0;                                   ///< times it was taken over

  ledger_driver(const ledger::rules& r, std::vector<std::string> ids) : s(ledger::make(r, ids)), rules_(r), ids_(std::move(ids)) {}

  decision start(const std::string& question = "why?") {
    command c;
    c.text = question;
    if (opens) {
      played_by.rules = rules_;
      for (auto& id : ids_) {
        played_by.agents.emplace_back().id = id;
        c.placements.push_back({id, "local", "scripted", "m"});
      }
      c.opening = to_json(played_by);
    }
    return step(std::move(c));
  }

  /// A call of the agent's run; `run` 0 = the one it has.
  decision begin_call(const std::string& agent, const std::string& target = "model", std::uint64_t run = 0) {
    auto c = of_run(command_kind::begin_call, agent);
    c.run = run == 0 ? c.run : run;
    auto* m = ledger::find(s, agent);
    c.call = m == nullptr ? 1 : m->calls + 1;
    c.target = target;
    c.hash = "0123456789abcdef";
    return step(std::move(c));
  }

  decision end_call(const std::string& agent, std::uint64_t run, std::uint64_t call, const std::string& status = "finished") {
    command c;
    c.kind = command_kind::end_call;
    c.agent = agent;
    c.run = run;
    c.call = call;
    c.status = status;
    c.use = {10, 0, 5, 0, 1, 0};
    return step(std::move(c));
  }

  /// Every call under way ends.
  void end_calls() {
    for (auto& m : std::vector<ledger::member>{s.members})
      for (auto& o : m.open)
        end_call(m.id, o.run, o.call);
  }

  decision notice(const std::string& agent, const std::string& reason) {
    command c;
    c.kind = command_kind::note;
    c.agent = agent;
    c.reason = reason;
    return step(std::move(c));
  }

  decision take_over(const std::string& owner = "next", std::uint64_t fence = 2) {
    command c;
    c.kind = command_kind::take_over;
    c.target = owner;
    c.fence = fence;
    return step(std::move(c));
  }

  decision continue_run(const std::string& agent) { return step(of_run(command_kind::continue_run, agent)); }

  /// The engine dies: all that is left is the log. Another one takes over.
  void crash(std::int64_t pause_ms = 0) {
    auto before = s;
    s = replayed();
    require(s == before, "the log alone gives another state");
    now += pause_ms;
    ++crashes;
    auto d = apply([&] {
      command c;
      c.kind = command_kind::take_over;
      c.target = "owner" + std::to_string(crashes);
      c.fence = crashes + 1;
      return c;
    }());
    if (before.phase == ledger::phase::idle || before.phase == ledger::phase::done) {
      require(d.kind == ruling_kind::superseded && d.events.empty(), "a task at rest was taken over");
      return;
    }
    for (auto& m : std::vector<ledger::member>{s.members})
      if (run_of(m.id) != 0 && (s.phase == ledger::phase::coordinating || s.phase == ledger::phase::presenting))
        apply(of_run(command_kind::continue_run, m.id));
    require(changed_by_crash(before, s));
  }

  decision answer(const std::string& agent, const std::string& text) { return verdict(command_kind::answer, agent, text); }

  decision vote(const std::string& agent, const std::string& target, const std::string& reason = "good") {
    auto c = of_run(command_kind::vote, agent);
    c.target = target;
    c.reason = reason;
    return step(std::move(c));
  }

  decision fail(const std::string& agent, ec code = ec::unavailable, const std::string& reason = "503",
                const std::string& partial = "") {
    auto c = of_run(command_kind::fail, agent);
    c.code = code;
    c.reason = reason;
    c.text = partial;
    return step(std::move(c));
  }

  decision present(const std::string& text, bool truncated = false) {
    auto c = of_run(command_kind::present, s.winner);
    c.text = text;
    c.truncated = truncated;
    return step(std::move(c));
  }

  decision lose(const std::string& agent, ec code, const std::string& reason) {
    command c;
    c.kind = command_kind::lose_agent;
    c.agent = agent;
    c.code = code;
    c.reason = reason;
    return step(std::move(c));
  }

  decision lose_node(const std::string& node, std::vector<std::string> agents) {
    command c;
    c.kind = command_kind::lose_node;
    c.target = node;
    c.agents = std::move(agents);
    c.reason = "node '" + node + "' is lost";
    return step(std::move(c));
  }

  decision cancel(const std::string& reason = "SIGINT") {
    command c;
    c.kind = command_kind::cancel;
    c.reason = reason;
    return step(std::move(c));
  }

  /// Lets the wanted timer of this kind (and agent) fire when it is due.
  decision fire(timer_kind kind, const std::string& agent = "") {
    for (auto& t : ledger::want(s).timers)
      if (t.kind == kind && t.agent == agent)
        return fire(t);
    throw std::logic_error("no such timer is wanted");
  }

  decision fire(const ledger::timer_key& key) {
    now = std::max(now, key.due_ms);
    command c;
    c.kind = command_kind::timer;
    c.timer = key;
    return step(std::move(c));
  }

  bool wants(timer_kind kind, const std::string& agent = "") const {
    auto w = ledger::want(s);
    return std::any_of(w.timers.begin(), w.timers.end(), [&](auto& t) { return t.kind == kind && t.agent == agent; });
  }

  std::int64_t due(timer_kind kind, const std::string& agent = "") const {
    for (auto& t : ledger::want(s).timers)
      if (t.kind == kind && t.agent == agent)
        return t.due_ms;
    return -1;
  }

  void wait(std::int64_t ms) { now += ms; }

  /// Fails every active run's deadline, timer by timer, earliest first, until the task ends. Runs without any deadline fail.
  void drain() {
    for (auto i = 0; s.phase != ledger::phase::done; ++i) {
      if (i > 5'000)
        throw std::logic_error("the task does not end");
      begin_all();
      auto w = ledger::want(s);
      if (w.timers.empty()) {
        if (w.runs.empty())
          throw std::logic_error("nothing is wanted");
        command c = of_run(command_kind::fail, w.runs.front().agent);
        c.code = ec::stream_broken;
        c.reason = "hung";
        step(std::move(c));
        continue;
      }
      fire(*std::min_element(w.timers.begin(), w.timers.end(), [](auto& a, auto& b) { return a.due_ms < b.due_ms; }));
    }
  }

  std::uint64_t run_of(const std::string& agent) const {
    auto* m = ledger::find(s, agent);
    if (m != nullptr && m->run.id != 0)
      return m->run.id;
    return s.winner == agent ? s.presentation.id : 0;
  }

  const ledger::member& of(const std::string& agent) const { return *ledger::find(s, agent); }

  outcome result() const { return ledger::to_outcome(s, "t"); }

  std::size_t count(event_type type, const std::string& agent = "") const {
    return static_cast<std::size_t>(
        std::count_if(log.begin(), log.end(), [&](auto& e) { return e.type == type && (agent.empty() || e.agent == agent); }));
  }

  const event& last(event_type type) const {
    for (auto i = log.rbegin(); i != log.rend(); ++i)
      if (i->type == type)
        return *i;
    throw std::logic_error("no event " + to_string(type));
  }

  /// The log as "type agent label" per line, of the given types (all if empty).
  std::string story(const std::set<event_type>& only = {}) const {
    std::ostringstream out;
    for (auto& e : log)
      if (only.empty() || only.count(e.type) > 0)
        out << to_string(e.type) << (e.agent.empty() ? "" : " ") << e.agent << (e.label.empty() ? "" : " ") << e.label << "\n";
    return out.str();
  }

  ledger::state replayed() const {
    auto x = opens ? ledger::state{} : ledger::make(rules_, ids_); // an opening says all that is needed
    for (auto& e : log)
      ledger::fold(x, e);
    return x;
  }

  void begin_all() {
    for (auto progress = true; progress;) {
      progress = false;
      for (auto& w : ledger::want(s).runs)
        if (w.run == 0) {
          begin(w.agent, w.present);
          progress = true;
          break;
        }
    }
  }

  void begin(const std::string& agent, bool present) {
    command c;
    c.kind = command_kind::begin_run;
    c.agent = agent;
    if (apply(std::move(c)).events.empty())
      throw std::logic_error("a wanted run did not begin: " + agent);
    ++(present ? presentation_runs : coordination_runs);
  }

  command of_run(command_kind kind, const std::string& agent) const {
    command c;
    c.kind = kind;
    c.agent = agent;
    c.run = run_of(agent);
    return c;
  }

  decision step(command c) {
    auto d = apply(std::move(c));
    if (begins)
      begin_all();
    return d;
  }

  decision apply(command c) {
    c.now_ms = now;
    c.jitter_permille = jitter;
    auto before = s;
    auto d = ledger::decide(s, c);
    require(s == before, "decide changed the state");
    if (told)
      told(c, d);
    for (auto& e : d.events)
      take(e, std::max(now, before.last_ms));
    if (log.size() % 4 == 0) { // what it costs to know
      auto other = before;
      require(ledger::advance(other, c).events == d.events && other == s, "advance and decide differ");
    }
    require(ledger::check(s));
    before.last_ms = s.last_ms;
    if (d.kind == ruling_kind::refused && c.kind != command_kind::start && c.kind != command_kind::begin_call)
      require(d.events.size() == 1 && d.events[0].type == event_type::refused && s == before, "a refusal changed the state");
    if (c.kind == command_kind::begin_call && d.kind != ruling_kind::accepted)
      require(d.events.empty() || (!s.over_budget.empty() && d.events.front().flag) || !ledger::find(s, c.agent)->live,
              "a call that is not made is in the log");
    if (c.kind == command_kind::timer && !d.events.empty())
      for (auto& t : ledger::want(s).timers)
        require(!(t == c.timer), "a timer that has fired is wanted still");
    if (c.kind == command_kind::answer || c.kind == command_kind::vote || c.kind == command_kind::fail
        || c.kind == command_kind::present)
      handed_in.push_back(std::move(c));
    return d;
  }

  void require(const std::string& broken) const {
    if (!broken.empty())
      throw std::logic_error(broken + "\n" + story());
  }

  void require(bool ok, const char* what) const {
    if (!ok)
      throw std::logic_error(std::string{what} + "\n" + story());
  }

private:
  decision verdict(command_kind kind, const std::string& agent, const std::string& text) {
    auto c = of_run(kind, agent);
    c.text = text;
    return step(std::move(c));
  }

  // Folds one event and checks what needs the states before and after it.
  void take(event e, std::int64_t time) {
    require(s.phase != ledger::phase::done, "I7: an event after the terminal one");
    require(e.time_ms == time, "an event has not the time of its command, or goes back");
    if (s.phase == ledger::phase::closing)
      require(e.type == event_type::call_ended || e.type == event_type::session_end || e.type == event_type::task_ended
                  || e.type == event_type::task_resumed,
              "something happens while the end is awaited");
    auto epoch = s.epoch;
    e.seq = log.size() + 1;
    ledger::fold(s, e);
    if (e.type == event_type::call_started)
      require(calls_.emplace(e.agent + " " + std::to_string(e.number), 0).second, "a call began twice");
    if (e.type == event_type::call_ended)
      require(calls_.count(e.agent + " " + std::to_string(e.number)) == 1
                  && ++calls_[e.agent + " " + std::to_string(e.number)] == 1,
              "a call ended twice, or never began");
    if (e.type == event_type::task_ended)
      for (auto& [call, ends] : calls_)
        require(ends == 1, "a call has no end");
    if (e.type == event_type::new_answer) {
      require(s.epoch == epoch + 1 && e.epoch == s.epoch, "an answer did not raise the epoch");
      require(texts_.emplace(e.label, e.text).second, "I8: a label was given twice");
      for (auto& m : s.members)
        require(!ledger::holds_vote(s, m), "I3: a vote outlived an answer");
    }
    if (e.type == event_type::vote_cast)
      require(e.epoch == epoch, "I2: a vote of another epoch counted");
    if (e.type == event_type::new_answer || e.type == event_type::vote_cast || e.type == event_type::vote_ignored)
      require(acted_.insert(e.run).second, "I1: a run acted twice");
    if (e.type == event_type::presentation_started)
      require(++presented_ == 1, "I5: the presentation started twice");
    log.push_back(std::move(e));
  }

  ledger::rules rules_;
  std::vector<std::string> ids_;
  std::map<std::string, std::string> texts_;
  std::set<std::uint64_t> acted_;
  std::map<std::string, int> calls_; ///< "agent number" and how often it ended
  int presented_ = 0;
};

} // namespace conclave::test
