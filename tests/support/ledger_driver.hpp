// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Drives a ledger as the orchestrator does, in virtual time: each step decides, folds and begins what is wanted. After every step
/// the invariants are checked; a broken one throws. Neither CAF nor rapidcheck, so that both kinds of test can use it.

#include "protocols/ledger.hpp"

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

  ledger_driver(const ledger::rules& r, std::vector<std::string> ids) : s(ledger::make(r, ids)), rules_(r), ids_(std::move(ids)) {}

  decision start(const std::string& question = "why?") {
    command c;
    c.text = question;
    return step(std::move(c));
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
    auto x = ledger::make(rules_, ids_);
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
    if (told)
      told(c, d);
    for (auto& e : d.events)
      take(e);
    require(ledger::check(s));
    if (d.kind == ruling_kind::refused && c.kind != command_kind::start)
      require(d.events.size() == 1 && d.events[0].type == event_type::refused && s == before, "a refusal changed the state");
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
  void take(event e) {
    require(s.phase != ledger::phase::done, "I7: an event after the terminal one");
    require(e.time_ms == now, "an event has not the time of its command");
    auto epoch = s.epoch;
    e.seq = log.size() + 1;
    ledger::fold(s, e);
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
  int presented_ = 0;
};

} // namespace conclave::test
