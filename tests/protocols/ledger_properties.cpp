// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Random executions of the ledger: answers, votes, calls, failures, timers, losses, cancels, repetitions, late reports and crashes
/// in any order, by rules that are not the defaults, which the log alone brings back after a crash. The driver checks the
/// invariants after every step; then the deadlines that are left strike, and the task must end.
///
///   ledger_properties [--seconds N]     RC_PARAMS="max_success=100000 seed=1" as usual

#include "tests/support/ledger_driver.hpp"

#include <rapidcheck.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace conclave;
using namespace conclave::test;

// One word of the generated sequence, consumed digit by digit; a shrunk word means the simplest choice.
struct dice {
  std::uint64_t word;
  std::uint32_t roll(std::uint32_t sides) {
    auto x = static_cast<std::uint32_t>(word % sides);
    word /= sides;
    return x;
  }
};

// No value is the default: what a log forgets shows.
ledger::rules random_rules(dice d) {
  ledger::rules r;
  r.pacing = d.roll(2) == 0 ? ledger::pacing::barrier : ledger::pacing::eager;
  r.strategy = d.roll(4) == 3 ? ledger::strategy::winner_reuse : ledger::strategy::winner_present;
  r.skip_coordination = d.roll(16) == 15;
  r.max_answers_per_agent = std::vector<std::uint32_t>{2, 1, 4, 0}[d.roll(4)];
  r.max_answers_global = 1 + (d.roll(3) == 2 ? d.roll(4) : 30);
  r.max_failed_runs = std::vector<std::uint32_t>{2, 1, 4, 0}[d.roll(4)];
  r.max_runs = d.roll(4) == 3 ? 1 + d.roll(12) : 40;
  r.max_answer_bytes = d.roll(3) == 2 ? 12 : 1'000;
  r.max_reason_chars = 50;
  r.patience_ms = d.roll(3) == 2 ? 0 : 90'000;
  r.coordination_ms = d.roll(4) == 3 ? 0 : 1'200'000;
  r.initial_run_ms = d.roll(4) == 3 ? 0 : 400'000;
  r.later_run_ms = d.roll(4) == 3 ? 0 : 500'000;
  r.presentation_ms = d.roll(4) == 3 ? 0 : 200'000;
  r.backoff_ms = d.roll(4) == 3 ? 0 : 700;
  r.backoff_cap_ms = 20'000;
  r.cancel_grace_ms = d.roll(4) == 3 ? 0 : 1'100;
  r.closing_ms = d.roll(4) == 3 ? 0 : 1'300;
  return r;
}

std::vector<std::string> random_team(dice d) {
  auto size = 1 + d.roll(5);
  std::vector<std::string> ids;
  for (std::uint32_t i = 0; i < size; ++i)
    ids.push_back("r" + std::to_string(i));
  if (size > 1 && d.roll(4) == 3) { // real ids that look like somebody else's anonymous one
    ids[0] = "agent2";
    ids[1] = "agent1";
  }
  return ids;
}

class chaos {
public:
  chaos(const ledger::rules& r, std::vector<std::string> ids, dice earlier) : team_(ids), x_(r, std::move(ids)) {
    x_.begins = false;
    x_.opens = true;
    // One task in eight goes on from another one.
    for (std::uint64_t n = earlier.roll(8) == 7 ? 1 + earlier.roll(4) : 0; n > 0; --n) {
      auto who = earlier.roll(static_cast<std::uint32_t>(team_.size()));
      auto nth = ++earlier_[who];
      x_.played_by.answers.push_back({team_[who], "agent" + std::to_string(who + 1) + "." + std::to_string(nth),
                                      "E" + std::to_string(n), x_.played_by.answers.size() + 1});
    }
  }

  void run(const std::vector<std::uint64_t>& words) {
    x_.start();
    x_.begin_all();
    for (auto word : words) {
      dice d{word};
      x_.jitter = d.roll(2) * 250;
      x_.now += d.roll(4) * 1'700;
      act(d);
      if (d.roll(4) != 3)
        x_.begin_all();
      RC_ASSERT(x_.handed_in.size() < 10'000U);
    }
    x_.drain();
    judge();
  }

private:
  // Something happens to one agent or to the task.
  void act(dice& d) {
    auto kind = d.roll(32);
    auto agent = team_[d.roll(static_cast<std::uint32_t>(team_.size()))];
    if (kind < 5)
      x_.answer(agent, text(d));
    else if (kind < 12)
      x_.vote(agent, target(d), d.roll(4) == 3 ? std::string(3'000, 'x') : "good");
    else if (kind < 14)
      x_.fail(agent, d.roll(2) == 0 ? ec::unavailable : ec::context_overflow, "broke", d.roll(2) == 0 ? "" : "partial");
    else if (kind == 14)
      x_.fail(agent, d.roll(6) == 5 ? ec::unauthorized : ec::bad_reply);
    else if (kind < 18)
      present(d, agent);
    else if (kind == 18)
      fire(d);
    else if (kind == 19)
      repeat(d);
    else if (kind == 20)
      late(d, agent);
    else if (kind == 21)
      lose(d, agent);
    else if (kind == 22)
      forge(d, agent);
    else if (kind < 26)
      x_.begin_call(agent, d.roll(3) == 2 ? "mcp__files__read" : "model", d.roll(8) == 7 ? 1 + d.roll(20) : 0);
    else if (kind < 29)
      end_call(d);
    else if (kind == 29)
      x_.notice(d.roll(4) == 3 ? "stranger" : agent, "a tool is missing");
    else if (kind == 30)
      crash(d);
    else if (d.roll(12) == 11)
      x_.cancel();
  }

  // The end of a call that is under way, of a run that is over too; at times twice, or of none.
  void end_call(dice& d) {
    std::vector<std::pair<std::string, ledger::open_call>> open;
    for (auto& m : x_.s.members)
      for (auto& o : m.open)
        open.emplace_back(m.id, o);
    if (open.empty() || d.roll(16) == 15) {
      RC_ASSERT(x_.end_call(team_.front(), 1 + d.roll(20), 1'000).kind == ruling_kind::superseded);
      return;
    }
    auto& [agent, o] = open[d.roll(static_cast<std::uint32_t>(open.size()))];
    RC_ASSERT(x_.end_call(agent, o.run, o.call).kind == ruling_kind::accepted);
    RC_ASSERT(x_.end_call(agent, o.run, o.call).events.empty());
  }

  // Twice in a row at times, after a pause or with a clock that went back.
  void crash(dice& d) {
    for (auto n = 1 + d.roll(2); n > 0; --n)
      x_.crash(std::vector<std::int64_t>{0, 5'000, 3'600'000'000, -60'000}[d.roll(4)]);
  }

  std::string text(dice& d) {
    switch (d.roll(5)) {
    case 0:
      return "A" + std::to_string(++fresh_);
    case 1:
      return " a1 ";
    case 2:
      return "B";
    case 3:
      return d.roll(2) == 0 ? " \t" : "a text of more than twelve bytes";
    default:
      return "b" + std::to_string(d.roll(3));
    }
  }

  std::string target(dice& d) {
    switch (d.roll(4)) {
    case 2:
      return team_[d.roll(static_cast<std::uint32_t>(team_.size()))];
    case 3:
      return std::vector<std::string>{"", "agent9", "agent1.1", "agent", "nobody"}[d.roll(5)];
    default:
      return "agent" + std::to_string(1 + d.roll(static_cast<std::uint32_t>(team_.size())));
    }
  }

  void present(dice& d, const std::string& agent) {
    if (d.roll(8) == 7) { // the wrong kind of verdict for the run, or no run at all
      auto c = x_.of_run(command_kind::present, agent);
      c.text = "P";
      x_.apply(std::move(c));
      return;
    }
    x_.present(d.roll(3) == 2 ? " " : "final", d.roll(2) == 1);
  }

  void fire(dice& d) {
    auto timers = ledger::want(x_.s).timers;
    if (timers.empty())
      return;
    auto key = timers[d.roll(static_cast<std::uint32_t>(timers.size()))];
    if (d.roll(4) == 3) { // one that nobody waits for any more
      key.due_ms -= 1;
      auto d2 = x_.fire(key);
      RC_ASSERT(d2.events.empty());
      return;
    }
    x_.fire(key);
  }

  // The same verdict again, as after a lost reply: it must change nothing.
  void repeat(dice& d) {
    if (x_.handed_in.empty())
      return;
    auto c =
        x_.handed_in[x_.handed_in.size() - 1 - d.roll(static_cast<std::uint32_t>(std::min<std::size_t>(x_.handed_in.size(), 8)))];
    if (x_.run_of(c.agent) == c.run)
      return; // a run that still goes on may hand in again
    auto epoch = x_.s.epoch;
    auto got = x_.apply(c);
    RC_ASSERT(got.kind == ruling_kind::superseded);
    RC_ASSERT(x_.s.epoch == epoch);
  }

  void late(dice& d, const std::string& agent) {
    command c;
    c.kind = command_kind::fail;
    c.agent = agent;
    c.run = d.roll(2) == 0 ? x_.of(agent).abandoned : d.roll(40);
    if (x_.run_of(agent) == c.run)
      return;
    c.code = ec::cancelled;
    c.text = "partial";
    auto before = x_.s;
    auto got = x_.apply(std::move(c));
    RC_ASSERT(got.kind == ruling_kind::superseded);
    before.last_ms = x_.s.last_ms;
    for (auto& m : before.members)
      if (m.id == agent)
        m.abandoned = x_.of(agent).abandoned;
    RC_ASSERT(before == x_.s);
  }

  void lose(dice& d, const std::string& agent) {
    if (d.roll(3) == 2)
      x_.lose_node("n", {team_.front(), team_.back()});
    else if (d.roll(3) == 0)
      x_.lose(agent, ec::unavailable, "gone");
  }

  // Verdicts of unknown agents and of runs that never were.
  void forge(dice& d, const std::string& agent) {
    command c;
    c.kind =
        std::vector<command_kind>{command_kind::answer,       command_kind::vote,       command_kind::fail,  command_kind::present,
                                  command_kind::begin_run,    command_kind::lose_agent, command_kind::start, command_kind::end_call,
                                  command_kind::continue_run, command_kind::begin_call}[d.roll(10)];
    c.agent = d.roll(2) == 0 || c.kind == command_kind::begin_run || c.kind == command_kind::lose_agent ? "stranger" : agent;
    c.run = 100'000 + d.roll(10);
    c.text = "forged";
    c.target = "agent1";
    auto got = x_.apply(std::move(c));
    RC_ASSERT(got.kind == ruling_kind::superseded);
    RC_ASSERT(got.events.empty());
  }

  // The task is over: exactly one terminal event, and the log alone gives the same state.
  void judge() {
    auto& s = x_.s;
    RC_ASSERT(x_.count(event_type::task_ended) == 1U);
    RC_ASSERT(x_.log.back().type == event_type::task_ended);
    RC_ASSERT(x_.count(event_type::session_end) == 1U);
    RC_ASSERT(x_.replayed() == s);
    RC_ASSERT(x_.coordination_runs == s.runs_started);
    RC_ASSERT(x_.coordination_runs <= ledger::run_limit(s));
    RC_ASSERT(x_.presentation_runs <= 2U);
    RC_ASSERT(x_.count(event_type::run_ended) == x_.count(event_type::run_started));
    RC_ASSERT(x_.count(event_type::call_ended) == x_.count(event_type::call_started));
    auto o = x_.result();
    RC_ASSERT(o.agents.size() == team_.size());
    RC_ASSERT((o.kind == outcome_kind::answered) == !o.answer.empty());
    RC_ASSERT((o.kind == outcome_kind::answered) == o.error.empty());
    if (o.finish_reason == "votes incomplete")
      judge_incomplete();
    RC_TAG(to_string(o.kind), o.finish_reason, x_.crashes > 0 ? "crashed" : "undisturbed");
  }

  // Nobody's vote is lost but a straggler's, or where the runs are used up.
  void judge_incomplete() {
    auto& s = x_.s;
    auto stragglers = false;
    for (auto& e : x_.log) {
      if (e.type == event_type::round_started)
        stragglers = false;
      stragglers = stragglers || e.type == event_type::round_timeout;
    }
    RC_ASSERT(stragglers || s.runs_started >= ledger::run_limit(s));
  }

  std::vector<std::string> team_;
  ledger_driver x_;
  std::map<std::uint32_t, int> earlier_;
  int fresh_ = 0;
};

void execution() {
  auto word = rc::gen::arbitrary<std::uint64_t>();
  auto rules = *word.as("rules");
  auto team = *word.as("team");
  auto words = *rc::gen::scale(
      1.5, rc::gen::container<std::vector<std::uint64_t>>(rc::gen::noShrink(rc::gen::inRange<std::uint64_t>(0, UINT64_MAX))));
  auto earlier = *word.as("earlier");
  chaos x{random_rules(dice{rules}), random_team(dice{team}), dice{earlier}};
  x.run(words);
}

} // namespace

int main(int argc, char** argv) {
  using clock = std::chrono::steady_clock;
  auto seconds = 0;
  for (auto i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], "--seconds") == 0)
      seconds = std::atoi(argv[i + 1]);
  auto params = rc::detail::configuration().testParams;
  if (std::getenv("RC_PARAMS") == nullptr)
    params.maxSuccess = 10'000;
  rc::detail::TestMetadata meta;
  meta.id = meta.description = "random executions keep the invariants and end";
  std::size_t passed = 0;
  std::size_t failed = 0;
  auto begun = clock::now();
  auto left = [&] { return clock::now() - begun < std::chrono::seconds(seconds); };
  do {
    auto result = rc::detail::checkTestable(execution, meta, params);
    if (result.is<rc::detail::SuccessResult>()) {
      passed += static_cast<std::size_t>(result.get<rc::detail::SuccessResult>().numSuccess);
      if (seconds == 0)
        rc::detail::printResultMessage(result, std::cerr);
    } else {
      ++failed;
      std::cerr << "seed " << params.seed << ": ";
      rc::detail::printResultMessage(result, std::cerr);
    }
    params.seed = params.seed * 6364136223846793005U + 1442695040888963407U;
  } while (failed == 0 && left());
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - begun).count();
  std::cout << "\n" << passed << " passed, " << failed << " failed (" << ms << " ms)\n";
  return failed == 0 && passed > 0 ? 0 : 1;
}
