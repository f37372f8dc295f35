// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A stored log under other rules. The winners of the logs that are made by hand are computed by hand.

#define CAF_SUITE protocols.what_if

#include "protocols/what_if.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "support/stored_task.hpp"

#include <algorithm>

using namespace conclave;
using namespace conclave::ledger;
using conclave::test::log_t;
using conclave::test::play;
using conclave::test::stored_task;

namespace {

what_if ask(const stored_task& t, const log_t& log, const rules& r, const std::vector<std::string>& order = {}) {
  return ask_what_if(log, [&](const std::string& name) { return t.find(name); }, {r, order});
}

what_if ask(const stored_task& t, const rules& r, const std::vector<std::string>& order = {}) {
  return ask(t, t.log(), r, order);
}

std::uint64_t seq_of(const stored_task& t, const std::string& label) {
  for (auto& e : t.log())
    if (e.type == event_type::new_answer && e.label == label)
      return e.seq;
  return 0;
}

bool tells(const what_if& w, const std::string& part) {
  return std::any_of(w.notes.begin(), w.notes.end(), [&](auto& n) { return n.text.find(part) != std::string::npos; });
}

std::string votes(const what_if& w) {
  std::string out;
  for (auto& a : w.answers) {
    out += (out.empty() ? "" : " ") + a.agent + ":" + a.label + "=";
    for (auto& v : a.voters)
      out += v;
  }
  return out;
}

/// Three agents; in round 1 c improves after a has voted for b and before b votes for a, in round 2 everybody is for c.
stored_task improved() {
  stored_task t{rules{}, {"a", "b", "c"}};
  for (auto* id : {"a", "b", "c"}) {
    t.x.wait(300);
    t.x.answer(id, std::string{"first of "} + id);
  }
  t.x.wait(1'000);
  t.x.vote("a", "agent2");
  t.x.wait(1'000);
  t.x.answer("c", "second of c");
  t.x.wait(1'000);
  t.x.vote("b", "agent1"); // stale
  t.x.wait(10'000);
  for (auto* id : {"a", "b", "c"})
    t.x.vote(id, "agent3");
  t.x.present("the final words");
  return t;
}

} // namespace

CAF_TEST(the same rules give the same winner at whatever event the log stops) {
  std::size_t chosen = 0, none = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    rules r;
    r.pacing = seed % 3 == 0 ? pacing::eager : pacing::barrier;
    r.strategy = seed % 4 == 0 ? strategy::winner_reuse : strategy::winner_present;
    r.skip_coordination = seed % 20 == 19;
    r.max_answers_per_agent = 1 + seed % 3;
    r.max_answers_global = seed % 5 == 0 ? 3 : 0;
    r.max_answer_bytes = seed % 2 == 0 ? 300 : 262'144;
    r.patience_ms = seed % 4 == 1 ? 3'000 : 70'000;
    r.coordination_ms = seed % 6 == 5 ? 20'000 : 900'000;
    stored_task t{r, {"zeta", "alpha", "agent1", "d"}};
    play(t, seed, 15 + seed);
    if (seed % 3 == 1)
      t.x.crash(40'000);
    play(t, seed + 1'000);
    auto log = t.log();
    state s;
    std::vector<std::string> winners;
    for (auto& e : log) {
      fold(s, e);
      winners.push_back(s.winner);
    }
    for (auto n = log.size(); n > 0; n = n > 40 ? n - 37 : n - 1) {
      if (n < log.size() && log[n].cause.empty())
        continue; // within a decision
      auto w = ask(t, log_t(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(n)), r);
      if (w.error != "" || w.winner != winners[n - 1] || w.then_winner != w.winner || w.label != w.then_label || w.known_until != 0
          || !w.notes.empty())
        CAF_ERROR("seed " << seed << " up to " << n << ": " << w.error << w.winner << " instead of " << winners[n - 1] << ", "
                          << (w.notes.empty() ? "" : w.notes.front().text));
    }
    ++(winners.back().empty() ? none : chosen);
  }
  CAF_CHECK(chosen > 30 && none > 3);
}

CAF_TEST(what was done with the files of a task is no part of what would have been) {
  auto t = improved();
  const auto log = t.log();
  CAF_REQUIRE(log.back().type == event_type::task_ended);
  auto more = log;
  for (auto e : {events::changes_applied({"/home/u", 3, "abcdef"}), events::changes_undone({"/home/u", 3, "abcdef"})}) {
    e.seq = more.size() + 1;
    e.time_ms = more.back().time_ms + 86'400'000;
    more.push_back(std::move(e));
  }
  for (auto cap : {1u, 5u}) {
    rules r;
    r.max_answers_per_agent = cap;
    auto was = ask(t, log, r), is = ask(t, more, r);
    CAF_CHECK_EQUAL(is.error, "");
    CAF_CHECK(is.winner == was.winner && is.label == was.label && is.notes == was.notes && is.answers == was.answers);
    CAF_CHECK_EQUAL(is.known_until, was.known_until);
  }
}

CAF_TEST(a tie goes to the first of the other order) {
  stored_task t{rules{}, {"a", "b", "c"}};
  for (auto* id : {"a", "b", "c"})
    t.x.answer(id, std::string{"by "} + id);
  t.x.vote("a", "agent3");
  t.x.vote("b", "agent2");
  t.x.fail("c", ec::unauthorized, "401");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "b");
  auto w = ask(t, rules{}, {"c", "b", "a"});
  CAF_CHECK_EQUAL(w.winner + " " + w.label, "c agent3.1");
  CAF_CHECK(w.tied == (std::vector<std::string>{"c", "b"}));
  CAF_CHECK_EQUAL(w.known_until, 0u);
  CAF_CHECK_EQUAL(votes(w), "c:agent3.1=a b:agent2.1=b a:agent1.1=");
  CAF_CHECK_EQUAL(w.how, "tie: first in the other order");
  CAF_CHECK_EQUAL(ask(t, rules{}, {"c"}).winner, "c");
  CAF_CHECK_EQUAL(ask(t, rules{}, {"a"}).winner, "b");
}

CAF_TEST(a smaller cap takes an answer away and what made votes void with it) {
  auto t = improved();
  CAF_REQUIRE_EQUAL(t.x.s.winner, "c");
  rules r;
  r.max_answers_per_agent = 1;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner + " " + w.label, "a agent1.1");
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1=b b:agent2.1=a c:agent3.1=");
  CAF_CHECK_EQUAL(w.known_until, seq_of(t, "agent3.2"));
  CAF_CHECK(tells(w, "agent3.2"));
  CAF_CHECK(tells(w, "the vote of 'b' for 'a' would have counted"));
  CAF_CHECK_EQUAL(w.then_winner + " " + w.then_label, "c agent3.2");
  CAF_CHECK_EQUAL(ask(t, r, {"b"}).winner, "b");
  rules all;
  all.max_answers_global = 3;
  CAF_CHECK_EQUAL(ask(t, all).winner, "a");
  all.max_answers_global = 4;
  CAF_CHECK_EQUAL(ask(t, all).winner, "c");
  CAF_CHECK_EQUAL(ask(t, all).known_until, 0u);
}

CAF_TEST(a global cap below the first round leaves the answers that came first) {
  auto t = improved();
  rules r;
  r.max_answers_global = 2;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1=b b:agent2.1=a"); // c abstains
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK(w.known_until > 0 && w.known_until <= seq_of(t, "agent3.1"));
}

CAF_TEST(a smaller limit of bytes refuses the answers that are longer) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.answer("a", "short");
  t.x.answer("b", std::string(100, 'b'));
  t.x.vote("a", "agent2");
  t.x.vote("b", "agent2");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "b");
  rules r;
  r.max_answer_bytes = 50;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner, "a"); // the only one; votes for the other text do not count for it
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1=");
  CAF_CHECK_EQUAL(w.known_until, seq_of(t, "agent2.1"));
}

CAF_TEST(a vote for a text that would not be there is none for the text before it) {
  stored_task t{rules{}, {"a", "b", "c"}};
  for (auto* id : {"a", "b", "c"})
    t.x.answer(id, std::string{"first of "} + id);
  t.x.answer("c", "second of c");
  t.x.fail("a", ec::unavailable, "503");
  t.x.fire(timer_kind::backoff, "a");
  t.x.vote("a", "agent3"); // of round 1, for agent3.2
  t.x.vote("b", "agent2");
  for (auto* id : {"a", "b", "c"})
    t.x.vote(id, "agent3");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "c");
  rules r;
  r.max_answers_per_agent = 1;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1= b:agent2.1=b c:agent3.1=");
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK(tells(w, "the vote of 'a' is for agent3.2"));
}

CAF_TEST(a larger cap takes an answer the log refused) {
  rules then;
  then.max_answers_per_agent = 1;
  stored_task t{then, {"a", "b", "c"}};
  for (auto* id : {"a", "b", "c"})
    t.x.answer(id, std::string{"by "} + id);
  t.x.vote("a", "agent1");
  t.x.answer("c", "a second text of c, long enough to be stored as a body and not within the cause of its event");
  t.x.vote("c", "agent1");
  t.x.vote("b", "agent2");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "a");
  rules r;
  r.max_answers_per_agent = 2;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner + w.label, "c"); // all votes are void; the newest answer
  CAF_CHECK(w.seq > 0 && t.log()[w.seq - 1].type == event_type::refused);
  CAF_CHECK(w.known_until > 0 && w.known_until < w.seq); // from round 1 on everybody would have been offered an answer
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1= b:agent2.1= c:=");
}

CAF_TEST(an earlier deadline chooses among what there was by then) {
  auto t = improved();
  rules r;
  r.coordination_ms = 2'400; // a has voted for b, c has not improved yet
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner + " " + w.label, "b agent2.1");
  CAF_CHECK_EQUAL(w.how, "most votes");
  CAF_CHECK_EQUAL(w.known_until, 0u);
  r.coordination_ms = 3'400; // c has: no vote is current
  CAF_CHECK_EQUAL(ask(t, r).winner + ask(t, r).label, "cagent3.2");
  r.coordination_ms = 1'000; // half of it has struck in round 0: a alone
  w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner + " " + w.label, "a agent1.1");
  r.coordination_ms = 200; // nobody has answered
  w = ask(t, r);
  CAF_CHECK(!w.chosen() && w.answers.empty());
  CAF_CHECK(w.none.find("no answer") != std::string::npos);
}

CAF_TEST(time that nobody worked on the task does not count under other rules either) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.wait(1'000);
  t.x.answer("a", "by a");
  t.x.crash(100'000);
  t.x.wait(1'000);
  t.x.answer("b", "by b");
  t.x.wait(1'000);
  t.x.vote("a", "agent2");
  t.x.vote("b", "agent2");
  rules r;
  r.coordination_ms = 4'100;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK(w.notes.empty());
}

CAF_TEST(eager pacing is told of a log of rounds as far as it goes) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.answer("a", "by a");
  t.x.answer("b", "by b");
  t.x.vote("a", "agent2");
  t.x.vote("b", "agent2");
  rules r;
  r.pacing = pacing::eager;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1= b:agent2.1=ab");
  auto log = t.log();
  CAF_REQUIRE(w.known_until > 0);
  CAF_CHECK(w.known_until >= seq_of(t, "agent1.1") && w.known_until < seq_of(t, "agent2.1")); // a would have been asked at once
}

CAF_TEST(rounds are told of an eager log as far as it goes) {
  rules then;
  then.pacing = pacing::eager;
  stored_task t{then, {"a", "b"}};
  t.x.answer("a", "by a");
  t.x.vote("a", "agent1"); // alone in sight
  t.x.answer("b", "by b"); // voids it
  t.x.vote("a", "agent2");
  t.x.vote("b", "agent2");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "b");
  auto w = ask(t, rules{});
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1= b:agent2.1=ab");
  CAF_CHECK(tells(w, "no such run"));
}

CAF_TEST(more patience asks for a run the log has cut off) {
  rules then;
  then.patience_ms = 5'000;
  stored_task t{then, {"a", "b"}};
  t.x.wait(1'000);
  t.x.answer("a", "by a");
  t.x.fire(timer_kind::patience);
  t.x.vote("a", "agent1");
  t.x.vote("b", "agent1");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "a");
  auto w = ask(t, rules{});
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_REQUIRE(w.known_until > 0);
  CAF_CHECK_EQUAL(to_string(t.log()[w.known_until - 1].type), "run_ended");
}

CAF_TEST(less patience leaves a straggler out) {
  stored_task t{rules{}, {"a", "b", "c"}};
  t.x.wait(1'000);
  t.x.answer("a", "by a");
  t.x.answer("b", "by b");
  t.x.wait(60'000);
  t.x.answer("c", "by c");
  t.x.vote("a", "agent2");
  t.x.vote("b", "agent3");
  t.x.vote("c", "agent3");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "c");
  rules r;
  r.patience_ms = 10'000;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1= b:agent2.1=a"); // those for c's text are for none that there would have been
  CAF_CHECK_EQUAL(w.winner, "b");
  CAF_CHECK(w.known_until > 0 && w.known_until <= seq_of(t, "agent3.1"));
}

CAF_TEST(an agent that is out in the log only is not known of) {
  rules then;
  then.max_failed_runs = 1;
  stored_task t{then, {"a", "b"}};
  t.x.answer("a", "by a");
  t.x.fail("b", ec::unavailable, "503");
  t.x.vote("a", "agent1");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "a");
  auto w = ask(t, rules{});
  CAF_CHECK_EQUAL(w.winner, "a");
  CAF_CHECK(w.known_until > 0);
}

CAF_TEST(without coordination the first agent presents) {
  auto t = improved();
  rules r;
  r.skip_coordination = true;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner + w.label, "a");
  CAF_CHECK_EQUAL(w.known_until, 0u);
  CAF_CHECK_EQUAL(ask(t, r, {"b"}).winner, "b");
  stored_task alone{r, {"a", "b"}};
  alone.x.present("the text");
  w = ask(alone, rules{});
  CAF_CHECK(!w.chosen() && w.known_until > 0 && w.then_winner == "a");
}

CAF_TEST(a log that ends without a winner names nobody as such) {
  stored_task t{rules{}, {"a", "b"}};
  t.x.answer("a", "by a");
  auto log = t.log();
  rules r;
  r.max_answers_per_agent = 1;
  auto w = ask(t, log, r);
  CAF_CHECK(!w.chosen() && w.leading == "a");
  t.x.cancel("SIGINT");
  w = ask(t, r);
  CAF_CHECK(!w.chosen() && w.none.find("SIGINT") != std::string::npos);
  CAF_CHECK_EQUAL(votes(w), "a:agent1.1=");
}

CAF_TEST(answers of an earlier task are among what there is and count for no cap) {
  stored_task t{rules{}, {"a", "b"}, {{"a", "agent1.1", "by a", 1}, {"b", "agent2.1", "by b", 2}}};
  t.x.vote("a", "agent2");
  t.x.answer("b", "better by b");
  t.x.vote("a", "agent2");
  t.x.vote("b", "agent2");
  CAF_REQUIRE_EQUAL(t.x.s.winner, "b");
  rules r;
  CAF_CHECK(ask(t, r).notes.empty());
  r.max_answers_per_agent = 1;
  CAF_CHECK_EQUAL(ask(t, r).winner + ask(t, r).label, "bagent2.2");
  CAF_CHECK_EQUAL(ask(t, r).known_until, 0u);
  r.skip_coordination = true;
  auto w = ask(t, r);
  CAF_CHECK_EQUAL(w.winner + " " + w.label + " " + std::to_string(w.seq), "b agent2.1 1"); // the newest there is
}

CAF_TEST(a log that was meddled with is told of without a crash) {
  using change = void (*)(event&);
  const change changes[] = {[](event& e) { e.agent = e.agent == "a" ? "b" : "nobody"; },
                            [](event& e) { e.run += 1; },
                            [](event& e) {
                              e.labels = {"agent9.9", ""};
                            },
                            [](event& e) { e.type = event_type::run_started; },
                            [](event& e) { e.type = event_type::vote_ignored; },
                            [](event& e) { e.time_ms = INT64_MAX; },
                            [](event& e) { e.time_ms = INT64_MIN; },
                            [](event& e) { e.round = UINT32_MAX; },
                            [](event& e) { e.target_label = "agent2.1"; },
                            [](event& e) { e.cause.clear(); }};
  auto t = improved();
  rules r;
  r.coordination_ms = 2'000;
  r.max_answers_per_agent = 1;
  for (std::size_t i = 1; i < t.log().size(); ++i)
    for (auto f : changes) {
      auto log = t.log();
      f(log[i]);
      for (auto pace : {pacing::barrier, pacing::eager}) {
        r.pacing = pace;
        auto w = ask(t, log, r);
        CAF_REQUIRE(!w.error.empty() || w.chosen() != !w.none.empty());
      }
    }
}

CAF_TEST(a log that tells no causes is not asked) {
  auto t = improved();
  auto log = t.log();
  log.front().cause.clear();
  CAF_CHECK(!ask(t, log, rules{}).error.empty());
  log = t.log();
  log[5].cause = "{";
  CAF_CHECK(!ask(t, log, rules{}).error.empty());
  CAF_CHECK(!ask(t, log_t{}, rules{}).error.empty());
}

CAF_TEST(whatever the other rules a log is told without a crash and alike each time) {
  std::size_t known = 0, cut = 0;
  for (unsigned seed = 0; seed < 200; ++seed) {
    rules then, r;
    then.pacing = seed % 2 == 0 ? pacing::eager : pacing::barrier;
    then.max_answers_per_agent = 1 + seed % 4;
    then.max_failed_runs = 1 + seed % 3;
    r.pacing = seed % 3 == 0 ? pacing::eager : pacing::barrier;
    r.max_answers_per_agent = seed % 5;
    r.max_answers_global = seed % 7;
    r.max_failed_runs = 1 + seed % 2;
    r.max_runs = seed % 11 == 0 ? 4 : 0;
    r.coordination_ms = seed % 4 == 0 ? 15'000 : 1'800'000;
    r.initial_run_ms = seed % 6 == 0 ? 2'000 : 600'000;
    r.patience_ms = seed % 8 == 0 ? 1'000 : 0;
    stored_task t{then, {"a", "b", "c", "d"}};
    play(t, seed);
    auto w = ask(t, r, {"d", "b"});
    CAF_CHECK_EQUAL(w.error, "");
    CAF_CHECK(w.chosen() || !w.none.empty());
    CAF_CHECK(std::none_of(w.notes.begin(), w.notes.end(), [&](auto& n) { return n.gap && n.seq < w.known_until; }));
    auto most =
        std::max_element(w.answers.begin(), w.answers.end(), [](auto& x, auto& y) { return x.voters.size() < y.voters.size(); });
    for (auto& a : w.answers)
      if (a.agent == w.winner)
        CAF_CHECK_EQUAL(a.voters.size(), most->voters.size());
    ++(w.known_until == 0 ? known : cut);
  }
  CAF_CHECK(known > 10 && cut > 50);
}
