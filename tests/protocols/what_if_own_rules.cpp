// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A log under the rules it was played by: whatever its times, every decision comes out the same.

#define CAF_SUITE protocols.what_if_own_rules

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/what_if.hpp"
#include "support/stored_task.hpp"

#include <algorithm>
#include <random>

using namespace conclave;
using namespace conclave::ledger;
using conclave::test::stored_task;

namespace {

what_if ask(const stored_task& t) {
  return ask_what_if(t.log(), [&](const std::string& name) { return t.find(name); }, {t.x.s.rules, {}});
}

/// A team whose runs begin when its tool servers and nodes are ready, which may be long after they are wanted; timers strike when
/// they are due, or late. Models are called under a budget, the engine dies and another goes on.
class slow_team {
public:
  slow_team(const rules& r, unsigned seed) : task(r, {"zeta", "alpha", "agent1", "d"}, {}, "", false), random_(seed) {
    for (auto i = 0; task.x.s.phase != phase::done && i < 3'000; ++i)
      step();
  }

  stored_task task;
  std::size_t late = 0; ///< runs that began later than the event before them

private:
  std::size_t pick(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  void step() {
    auto& x = task.x;
    x.jitter = static_cast<std::uint32_t>(pick(250));
    x.wait(static_cast<std::int64_t>(pick(3) == 0 ? pick(3'000) : pick(200)));
    const auto w = want(x.s);
    for (auto& t : w.timers)
      if (t.due_ms <= x.now && pick(5) > 0) {
        x.fire(t);
        return;
      }
    if (pick(60) == 0)
      return x.crash(static_cast<std::int64_t>(pick(40'000)));
    auto agent = x.s.members[pick(x.s.members.size())].id;
    for (auto& r : w.runs)
      if (r.agent == agent && r.run == 0) {
        late += x.s.last_ms < x.now ? 1 : 0;
        return x.begin(agent, r.present);
      }
    if (x.run_of(agent) != 0)
      work(agent);
  }

  void work(const std::string& agent) {
    auto& x = task.x;
    auto& open = x.of(agent).open;
    if (!open.empty()) {
      x.end_call(agent, open.front().run, open.front().call);
      return;
    }
    auto text = std::string(pick(4) == 0 ? 400 : 60, static_cast<char>('a' + pick(26))) + std::to_string(pick(3));
    switch (pick(9)) {
    case 0:
      x.fail(agent, pick(9) == 0 ? ec::unauthorized : ec::unavailable, "503: " + text, text);
      break;
    case 1:
    case 2:
      x.begin_call(agent, pick(3) == 0 ? "look" : events::model_target);
      break;
    case 3:
      if (pick(40) == 0)
        x.lose(agent, ec::unavailable, "its node is gone");
      else if (pick(80) == 0)
        x.cancel("SIGINT");
      break;
    case 4:
    case 5:
      x.s.phase == phase::presenting ? x.present(text) : x.answer(agent, text);
      break;
    default:
      x.vote(agent, "agent" + std::to_string(1 + pick(4)), text);
    }
  }

  std::mt19937 random_;
};

} // namespace

CAF_TEST(a run that begins late has the whole of its time under the same rules) {
  rules r;
  r.initial_run_ms = 2'000;
  stored_task t{r, {"ada", "bob"}, {}, "", false};
  t.x.begin("bob", false);
  t.x.wait(30);
  t.x.answer("bob", "of bob");
  t.x.wait(1'500); // her tool server starts
  t.x.begin("ada", false);
  t.x.wait(1'200);
  t.x.answer("ada", "of ada");
  t.x.begins = true;
  t.x.begin_all();
  t.x.vote("ada", "agent1");
  t.x.vote("bob", "agent1");
  auto w = ask(t);
  CAF_CHECK_EQUAL(w.winner, "ada");
  CAF_CHECK(w.notes.empty());
}

CAF_TEST(patience with a late run lasts as long as it did under the same rules) {
  rules r;
  r.patience_ms = 200;
  stored_task t{r, {"ada", "bob", "cyd"}, {}, "", false};
  t.x.begin("cyd", false);
  t.x.wait(800);
  for (auto* id : {"ada", "bob"})
    t.x.begin(id, false);
  t.x.wait(300);
  for (auto* id : {"ada", "bob"})
    t.x.answer(id, std::string{"of "} + id);
  t.x.begins = true;
  t.x.fire(timer_kind::patience);
  for (auto* id : {"ada", "bob", "cyd"})
    t.x.vote(id, "agent1");
  auto w = ask(t);
  CAF_CHECK_EQUAL(w.winner, "ada");
  CAF_CHECK(w.notes.empty());
}

CAF_TEST(under the same rules every log has its own winner and nothing else to tell) {
  std::size_t chosen = 0, none = 0, late = 0, struck = 0, crashes = 0;
  for (unsigned seed = 0; seed < 250; ++seed) {
    std::mt19937 random(seed + 1'000'000);
    auto below = [&](unsigned n) { return static_cast<std::uint32_t>(random() % n); };
    rules r;
    r.pacing = below(3) == 0 ? pacing::eager : pacing::barrier;
    r.strategy = below(4) == 0 ? strategy::winner_reuse : strategy::winner_present;
    r.max_answers_per_agent = 1 + below(3);
    r.max_answers_global = below(5) == 0 ? 3 : 0;
    r.max_answer_bytes = below(2) == 0 ? 300 : 262'144;
    r.patience_ms = below(3) == 0 ? 0 : 500 + below(8'000);
    r.coordination_ms = below(3) == 0 ? 5'000 + below(40'000) : 900'000;
    r.initial_run_ms = below(3) == 0 ? 0 : 2'000 + below(9'000);
    r.later_run_ms = below(3) == 0 ? 0 : 2'000 + below(9'000);
    r.max_runs = below(6) == 0 ? 5 + below(10) : 0;
    if (below(4) == 0) {
      r.budget.tokens = 50 + below(700);
      r.budget.on_exceed = below(2) == 0 ? exceed_policy::terminate : exceed_policy::block;
    }
    slow_team team{r, seed};
    auto& x = team.task.x;
    auto w = ask(team.task);
    if (w.error != "" || w.winner != x.s.winner || w.then_winner != w.winner || w.label != w.then_label || !w.notes.empty())
      CAF_ERROR("seed " << seed << ": " << w.error << "'" << w.winner << "' instead of '" << x.s.winner << "', "
                        << (w.notes.empty() ? "" : w.notes.front().text));
    ++(x.s.winner.empty() ? none : chosen);
    late += team.late;
    struck += x.count(event_type::agent_timeout) + x.count(event_type::round_timeout);
    crashes += x.crashes;
  }
  CAF_MESSAGE(chosen << " winners, " << late << " late runs, " << struck << " deadlines, " << crashes << " crashes");
  CAF_CHECK(chosen > 180 && none > 5 && late > 1'000 && struck > 200 && crashes > 100);
}
