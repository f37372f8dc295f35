// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.stale_owner

// A task that another engine has taken over: whatever its former owner still says changes nothing, at the node, at the orchestrator
// and in the store. And what one agent says at once: each of its reports gets its own ruling.

#include "support/store_fixture.hpp"
#include "support/task_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

struct heard {
  std::vector<run_report> reports;
  std::vector<agent_lost> lost;
};

orchestrator_actor::behavior_type listening_boss(std::shared_ptr<heard> to) {
  return {
      [to](const run_report& r) -> caf::result<ruling> {
        to->reports.push_back(r);
        return ruling{ruling_kind::accepted, "", {}};
      },
      [](const body_part&) { return body_ack{}; },
      [to](const agent_lost& l) { to->lost.push_back(l); },
      [](const question&) -> caf::result<outcome> { return outcome{}; },
      [](const cancel_task&) {},
  };
}

struct two_owners : fixture {
  std::shared_ptr<heard> old_heard = std::make_shared<heard>(), new_heard = std::make_shared<heard>();
  std::shared_ptr<seen_by_host> seen = std::make_shared<seen_by_host>();
  node_actor node = spawn_node(sys, node_resources{});
  event_sink_actor sink = sys.spawn(host_eyes, seen);
  orchestrator_actor old_boss = sys.spawn(listening_boss, old_heard), new_boss = sys.spawn(listening_boss, new_heard);
  std::vector<caf::error> refused;

  ~two_owners() {
    kill(node);
    kill(sink);
    kill(old_boss);
    kill(new_boss);
  }

  void hire(std::uint64_t fence, const orchestrator_actor& boss) {
    spawn_agent o;
    o.task = "t";
    o.fence = fence;
    o.agent.id = "a";
    o.agent.backend.type = "scripted";
    o.agent.backend.decision = "tools";
    o.agent.backend.script = {hangs()};
    o.number = o.team = 1;
    auto caller = sys.spawn([this, o, boss](caf::event_based_actor* me) {
      me->request(node, caf::infinite, o, boss, sink)
          .then([](const agent_ready&) {}, [this](caf::error& e) { refused.push_back(std::move(e)); });
    });
    settle();
    kill(caller);
  }

  start_run work(std::uint64_t fence, std::vector<shown_answer> shown = {}) {
    start_run r;
    r.task = "t";
    r.fence = fence;
    r.agent = "a";
    r.run = 1;
    r.question = "why?";
    r.answers = std::move(shown);
    return r;
  }

  template <class T>
  void say(T what) {
    caf::anon_send(node, std::move(what));
    settle();
  }

  /// The model call of the new owner's run is under way.
  bool at_work() const { return new_heard->reports.size() == 1; }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(node_tests, two_owners)

CAF_TEST(a node starts no run for a former owner) {
  hire(1, old_boss);
  hire(2, new_boss);
  say(work(1));
  CAF_CHECK(old_heard->reports.empty());
  CAF_CHECK(new_heard->reports.empty());
  say(work(2));
  CAF_CHECK(at_work());
}

CAF_TEST(a node hires nobody for a former owner) {
  hire(2, new_boss);
  say(work(2));
  hire(1, old_boss);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(code_of(refused[0]) == ec::denied);
  say(end_task{"t", 2});
  hire(1, old_boss); // also when the newer one has left
  CAF_CHECK_EQUAL(refused.size(), 2u);
}

CAF_TEST(a former owner cancels no run and ends no task) {
  hire(1, old_boss);
  hire(2, new_boss);
  say(work(2));
  CAF_REQUIRE(at_work());
  say(cancel_run{{"t", 1, 1}, "a", "late"});
  say(end_task{"t", 1});
  kill(old_boss);
  CAF_CHECK(at_work()); // a run that ends reports
  CAF_CHECK(new_heard->lost.empty());
  say(cancel_run{{"t", 2, 1}, "a", "now"});
  CAF_CHECK_EQUAL(new_heard->reports.size(), 2u);
}

CAF_TEST(an answer that a former owner publishes is shown to nobody) {
  hire(1, old_boss);
  hire(2, new_boss);
  say(publish_answer{"t", 1, "agent1.1", "of the former owner"});
  say(work(2, {{"agent1", "agent1.1", ""}}));
  CAF_REQUIRE_EQUAL(new_heard->lost.size(), 1u); // the label is not known
  say(publish_answer{"t", 2, "agent1.1", "of the owner"});
  say(publish_answer{"t", 1, "agent1.1", "of the former owner"});
  say(work(2, {{"agent1", "agent1.1", ""}}));
  CAF_REQUIRE_EQUAL(new_heard->reports.size(), 1u);
  std::string said;
  for (auto& b : new_heard->reports[0].bodies)
    said += b.bytes;
  CAF_CHECK(said.find("of the owner") != std::string::npos);
  CAF_CHECK(said.find("of the former owner") == std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE_END()

namespace {

/// A node of the test's own: it hires everybody and keeps what it is told; the test says what its agents say.
struct told {
  orchestrator_actor boss;
  std::vector<start_run> runs;
};

node_actor::behavior_type obedient_node(std::shared_ptr<told> t) {
  return {[t](const spawn_agent& o, const orchestrator_actor& boss, const event_sink_actor&) -> caf::result<agent_ready> {
            t->boss = boss;
            agent_ready r;
            r.agent = o.agent.id;
            return r;
          },
          [](const publish_answer&) {},
          [](const publish_file&) {},
          [t](const start_run& r) { t->runs.push_back(r); },
          [](const cancel_run&) {},
          [](const end_task& e) -> caf::result<task_closed> {
            return task_closed{e.task, {}};
          }};
}

struct owner_fixture : task_fixture {
  std::shared_ptr<told> at_node = std::make_shared<told>();
  std::vector<ruling> rulings;
  std::vector<caf::error> broken;
  std::vector<caf::actor> callers;

  void begin() {
    nodes.push_back(sys.spawn(obedient_node, at_node));
    member("a", {});
    ask();
    CAF_REQUIRE_EQUAL(at_node->runs.size(), 1u);
  }

  ~owner_fixture() {
    at_node->boss = nullptr;
    for (auto& c : callers)
      kill(c);
  }

  run_report report(std::uint64_t number, std::uint64_t fence) {
    run_report r;
    r.of = {"t", fence, at_node->runs[0].run};
    r.agent = "a";
    r.number = number;
    return r;
  }

  static call_begin begins(std::uint64_t call, const char* target) {
    call_begin b;
    b.call = call;
    b.target = target;
    return b;
  }

  static call_end ends(std::uint64_t call, const char* target) {
    call_end e;
    e.call = call;
    e.target = target;
    e.status = "finished";
    return e;
  }

  void say(run_report r) {
    callers.push_back(sys.spawn([this, r](caf::event_based_actor* me) {
      me->request(at_node->boss, caf::infinite, r)
          .then([this](ruling& x) { rulings.push_back(std::move(x)); }, [this](caf::error& e) { broken.push_back(std::move(e)); });
    }));
    settle();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(orchestrator_tests, owner_fixture)

CAF_TEST(what an agent of a former owner reports changes nothing) {
  begin();
  auto before = book->stored.size();
  for (std::uint64_t fence : {0, 2}) { // this one has 1
    auto r = report(1, fence);
    r.begun = {begins(1, "model")};
    say(r);
    r.begun.clear();
    r.number = 2;
    r.has_verdict = true;
    r.handed_in.kind = verdict_kind::answer;
    r.handed_in.text = "of another owner's agent";
    say(r);
    caf::anon_send(at_node->boss, agent_lost{"t", fence, "a", ec::unavailable, "late"});
    settle();
  }
  CAF_CHECK_EQUAL(rulings.size(), 4u);
  for (auto& x : rulings)
    CAF_CHECK(x.kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(book->stored.size(), before);
  auto r = report(1, 1);
  r.begun = {begins(1, "model")};
  say(r);
  CAF_CHECK(rulings.back().kind == ruling_kind::accepted);
}

CAF_TEST(a second report does not take the ruling of the first) {
  begin();
  auto r = report(1, 1);
  r.begun = {begins(1, "model")};
  say(r);
  r = report(2, 1);
  r.ended = {ends(1, "model")};
  r.begun = {begins(2, "one"), begins(3, "two")};
  say(r);
  rulings.clear();
  book->hold = true;
  r = report(3, 1); // `one` is back, and what waited for it is announced
  r.ended = {ends(2, "one")};
  r.begun = {begins(4, "three")};
  say(r);
  auto second = report(4, 1); // `two` is back meanwhile
  second.ended = {ends(3, "two")};
  say(second);
  say(r); // sent again
  CAF_CHECK(rulings.empty());
  release();
  release();
  CAF_CHECK(broken.empty());
  CAF_REQUIRE_EQUAL(rulings.size(), 3u);
  for (auto& x : rulings)
    CAF_CHECK(x.kind == ruling_kind::accepted);
  say(r); // and once more
  CAF_REQUIRE_EQUAL(rulings.size(), 4u);
  CAF_CHECK(rulings.back().kind == ruling_kind::accepted);
  CAF_CHECK(book->held.empty());
}

CAF_TEST(an owner whose log was taken from it ends no agents of another) {
  member("a", {hangs()});
  ask();
  CAF_REQUIRE(until_seen(event_type::run_started));
  auto news = std::make_shared<heard>();
  auto younger = sys.spawn(listening_boss, news);
  spawn_agent order{"t", 2, team[0].config, 1, 1};
  auto caller = sys.spawn([&](caf::event_based_actor* me) {
    me->request(nodes[0], caf::infinite, order, younger, eyes).then([](const agent_ready&) {});
  });
  settle();
  start_run work;
  work.task = "t";
  work.fence = 2;
  work.agent = "a";
  work.run = 9;
  work.question = "why?";
  caf::anon_send(nodes[0], work);
  settle();
  CAF_REQUIRE_EQUAL(news->reports.size(), 1u);
  book->fail_at = 0;
  caf::anon_send(boss, cancel_task{"it tries to write"});
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_CHECK_EQUAL(news->reports.size(), 1u);
  CAF_CHECK(news->lost.empty());
  kill(caller);
  kill(younger);
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(the store takes nothing from a former owner) {
  temp_dir dir;
  auto first = open_store(dir.file());
  auto append = [](event_store& s, std::uint64_t fence, std::uint64_t seq) {
    return await<append_result>([&](event_store::callback done) {
      append_batch b;
      b.events = {R"({"seq":1,"type":"note"})"};
      s.append("t", fence, seq, std::move(b), std::move(done));
    });
  };
  CAF_CHECK(append(*first, 1, 0).code == ec::none);
  auto claim = [](event_store& s, const char* task) {
    return await<claim_result>([&](std::function<void(claim_result)> done) { s.claim(task, {}, std::move(done)); });
  };
  first->release("t");
  claim(*first, "another"); // done after the release
  auto second = open_store(dir.file());
  auto taken = claim(*second, "t");
  CAF_REQUIRE(taken.code == ec::none);
  CAF_CHECK_EQUAL(taken.fence, 2u);
  CAF_CHECK(append(*first, 1, 1).code == ec::denied);
  CAF_CHECK(append(*second, 1, 1).code == ec::denied);
  CAF_CHECK(append(*second, 3, 1).code == ec::denied); // nor from one who was never told so
  std::string error;
  CAF_CHECK_EQUAL(second->read("t", 0, error).size(), 1u);
  CAF_CHECK(append(*second, 2, 1).code == ec::none);
}
