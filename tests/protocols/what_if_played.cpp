// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a log is told to have been under other rules, against the same team played under them.

#define CAF_SUITE protocols.what_if_played

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/what_if.hpp"
#include "support/stored_task.hpp"

#include <algorithm>
#include <functional>
#include <map>

using namespace conclave;
using namespace conclave::ledger;
using conclave::test::stored_task;

namespace {

/// A team whose members do the same whenever they are shown the same: so what a log does not tell can be had by playing it.
class fixed_team {
public:
  /// `calls`: each run makes a model call before it hands in.
  fixed_team(const rules& r, unsigned seed, std::vector<std::string> ids, bool calls = false)
      : task_(r, std::move(ids)), seed_(seed), calls_(calls) {
    for (auto i = 0; task_.x.s.phase != phase::done && i < 2'000; ++i)
      step();
  }

  const stored_task& task() const { return task_; }

private:
  std::size_t draw(const member& m) const {
    std::vector<std::string> texts;
    for (auto& label : m.run.shown)
      texts.push_back(find_answer(task_.x.s, label)->text);
    std::sort(texts.begin(), texts.end());
    auto key = std::to_string(seed_) + m.id + std::to_string(m.attempts);
    for (auto& text : texts)
      key += "/" + text;
    return std::hash<std::string>{}(key);
  }

  void step() {
    auto& x = task_.x;
    if (x.s.phase == phase::presenting) {
      x.present("the final words");
      return;
    }
    const member* next = nullptr;
    std::int64_t due = 0;
    for (auto& m : x.s.members) {
      if (m.run.id == 0)
        continue;
      offered_.emplace(m.run.id, may_answer(x.s, m.id));
      auto end = m.run.started_ms + 100 + static_cast<std::int64_t>(draw(m) % 19'997);
      if (next == nullptr || end < due) {
        next = &m;
        due = end;
      }
    }
    const auto timers = want(x.s).timers;
    auto timer = std::min_element(timers.begin(), timers.end(), [](auto& a, auto& b) { return a.due_ms < b.due_ms; });
    if (timer != timers.end() && (next == nullptr || timer->due_ms < due)) {
      x.fire(*timer);
      return;
    }
    x.now = std::max(x.now, due);
    hand_in(member{*next});
  }

  void hand_in(const member& m) {
    auto& x = task_.x;
    auto h = draw(m) / 20'000;
    if (calls_ && !call(m, h))
      return;
    if (h % 10 == 0) {
      x.fail(m.id, ec::unavailable, "503");
      return;
    }
    auto refused = true;
    if (offered_[m.run.id] && (m.run.shown.empty() || h / 10 % 3 == 0))
      refused = x.answer(m.id, m.id + " says " + std::to_string(draw(m))).kind == ruling_kind::refused;
    if (refused && !m.run.shown.empty())
      refused = x.vote(m.id, shown_id(m.run.shown[h / 30 % m.run.shown.size()])).kind == ruling_kind::refused;
    if (refused)
      x.fail(m.id, ec::bad_reply, "no verdict");
  }

  /// Returns false if it is not made, which ends the run.
  bool call(const member& m, std::size_t h) {
    auto& x = task_.x;
    command c;
    c.kind = command_kind::begin_call;
    c.agent = m.id;
    c.run = m.run.id;
    c.call = m.calls + 1;
    c.target = events::model_target;
    c.hash = "0123456789abcdef";
    c.use.input_tokens = static_cast<std::int64_t>(50 + h % 50);
    auto d = x.step(c);
    if (d.kind == ruling_kind::refused)
      x.fail(m.id, d.code, d.reason);
    if (d.kind != ruling_kind::accepted)
      return false;
    c.kind = command_kind::end_call;
    c.status = "finished";
    c.use.input_tokens /= 2;
    x.step(c);
    return true;
  }

  stored_task task_;
  unsigned seed_;
  bool calls_;
  std::map<std::uint64_t, bool> offered_;
};

what_if ask(const stored_task& t, const rules& r) {
  return ask_what_if(t.log(), [&](const std::string& name) { return t.find(name); }, {r, {}});
}

} // namespace

CAF_TEST(what is told without a gap is what the same team does under the other rules) {
  std::size_t whole = 0, other_winner = 0;
  for (unsigned seed = 0; seed < 160; ++seed) {
    auto drawn = [&](unsigned n) {
      return static_cast<std::uint32_t>(std::hash<std::string>{}(std::to_string(seed) + "/" + std::to_string(n)));
    };
    rules then;
    then.pacing = drawn(0) % 3 == 0 ? pacing::eager : pacing::barrier;
    then.max_answers_per_agent = 1 + drawn(1) % 3;
    auto r = then;
    switch (seed % 8) {
    case 0:
      r.max_answers_per_agent = 1 + drawn(2) % 3;
      break;
    case 1:
      r.max_answers_global = 1 + drawn(2) % 8;
      break;
    case 2:
      r.coordination_ms = 5'000 + static_cast<std::int64_t>(drawn(2) % 60'000);
      break;
    case 3:
      r.patience_ms = 1'000 + static_cast<std::int64_t>(drawn(2) % 20'000);
      break;
    case 4:
      r.initial_run_ms = r.later_run_ms = 5'000 + static_cast<std::int64_t>(drawn(2) % 20'000);
      break;
    case 5:
      r.max_failed_runs = 1 + drawn(2) % 2;
      break;
    case 6:
      r.max_runs = 3 + drawn(2) % 12;
      break;
    default:
      r.pacing = r.pacing == pacing::eager ? pacing::barrier : pacing::eager;
    }
    const std::vector<std::string> ids{"a", "b", "c", "d"};
    fixed_team log{then, seed, ids}, played{r, seed, ids};
    auto there = ask(log.task(), r);
    auto back = ask(played.task(), then);
    for (auto [w, truth] : {std::pair{&there, &played}, std::pair{&back, &log}}) {
      if (w->known_until != 0)
        continue;
      ++whole;
      other_winner += w->winner != w->then_winner ? 1 : 0;
      if (w->winner != truth->task().x.s.winner)
        CAF_ERROR("seed " << seed << ": '" << w->winner << "' instead of '" << truth->task().x.s.winner << "'");
    }
  }
  CAF_MESSAGE(whole << " told, " << other_winner << " with another winner");
  CAF_CHECK(whole > 100 && other_winner > 10);
}

CAF_TEST(what is told of other budgets is what the same team does under them) {
  std::size_t whole = 0, other_winner = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    auto drawn = [&](unsigned n) {
      return static_cast<std::uint32_t>(std::hash<std::string>{}(std::to_string(seed) + "/" + std::to_string(n)));
    };
    rules then;
    then.pacing = drawn(0) % 3 == 0 ? pacing::eager : pacing::barrier;
    if (seed % 4 == 0)
      then.budget.tokens = 1'000;
    auto r = then;
    r.budget.tokens = 50 + drawn(1) % 700;
    r.budget.on_exceed = drawn(2) % 3 == 0 ? exceed_policy::terminate : exceed_policy::block;
    const std::vector<std::string> ids{"a", "b", "c", "d"};
    fixed_team log{then, seed, ids, true}, played{r, seed, ids, true};
    auto w = ask(log.task(), r);
    CAF_CHECK(ask(played.task(), r).notes.empty());
    if (w.known_until != 0)
      continue;
    ++whole;
    other_winner += w.winner != w.then_winner ? 1 : 0;
    if (w.winner != played.task().x.s.winner)
      CAF_ERROR("seed " << seed << ": '" << w.winner << "' instead of '" << played.task().x.s.winner << "'");
  }
  CAF_MESSAGE(whole << " told, " << other_winner << " with another winner");
  CAF_CHECK(whole > 30 && other_winner > 10);
}
