// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.orchestrator_faults

// What goes wrong around a task: a store that fails, lost agents and nodes, cancels in each phase, late and repeated messages.

#include "support/task_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

/// A node that says an agent is ready only when the test sends it an answer to publish.
node_actor::behavior_type slow_node(node_actor::pointer self,
                                    std::shared_ptr<std::vector<caf::typed_response_promise<agent_ready>>> held) {
  return {
      [self, held](const spawn_agent&, const orchestrator_actor&, const event_sink_actor&) -> caf::result<agent_ready> {
        held->push_back(self->make_response_promise<agent_ready>());
        return caf::delegated<agent_ready>{};
      },
      [held](const publish_answer&) {
        for (auto& p : *held)
          p.deliver(agent_ready{"a", {}, {"a filter matches nothing"}, {{"MCP server 'x'", "MCP server 'x' ended with status 3"}}});
        held->clear();
      },
      [](const publish_file&) {},
      [](const start_run&) {},
      [](const cancel_run&) {},
      [](const end_task& e) {
        return task_closed{e.task, {}};
      },
  };
}

struct faults_fixture : task_fixture {
  void usual_team() {
    member("a", {answers("one", 100), votes("agent1", 100), says("presented", 100)});
    member("b", {answers("two", 200), votes("agent1", 200)});
  }

  template <class T>
  void tell(T msg) {
    caf::anon_send(boss, std::move(msg));
    settle();
  }

  ruling hand_in(run_report r) {
    auto got = std::make_shared<std::vector<ruling>>();
    auto who = sys.spawn([this, r, got](caf::event_based_actor* me) {
      me->request(boss, caf::infinite, r).then([got](ruling& by) { got->push_back(std::move(by)); });
    });
    settle();
    kill(who);
    CAF_REQUIRE_EQUAL(got->size(), 1u);
    return got->front();
  }

  run_report report_of(const std::string& agent, std::uint64_t run) {
    run_report r;
    r.of = {"t", 1, run};
    r.agent = agent;
    r.number = 1'000 + ++reports; // beyond what the agent itself has sent
    return r;
  }

  run_report verdict_of(const std::string& agent, std::uint64_t run, verdict_kind kind, const std::string& text = "late words") {
    auto r = report_of(agent, run);
    r.has_verdict = true;
    r.handed_in.kind = kind;
    r.handed_in.text = text;
    r.handed_in.target = "agent1";
    return r;
  }

  std::uint64_t reports = 0;

  std::uint64_t first_run(const std::string& agent) {
    for (auto& e : host->events)
      if (e.type == event_type::run_started && e.agent == agent)
        return e.run;
    return 0;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(orchestrator_fault_tests, faults_fixture)

CAF_TEST(a store that fails at any append stops the task and only the host hears its end) {
  std::size_t appends = 0;
  {
    faults_fixture whole;
    whole.usual_team();
    whole.ask();
    CAF_REQUIRE(whole.finish());
    appends = whole.book->appends;
  }
  CAF_REQUIRE(appends > 10);
  for (std::size_t n = 0; n < appends; ++n) {
    faults_fixture x;
    x.book->fail_at = n;
    x.usual_team();
    x.ask();
    CAF_REQUIRE(x.finish());
    CAF_CHECK(x.outcomes[0].kind == outcome_kind::failed);
    CAF_CHECK_EQUAL(x.outcomes[0].error, "the disk is full");
    CAF_CHECK(x.outcomes[0].answer.empty());
    auto tried = x.book->appends; // what was under way beside the one that failed
    x.check_end();
    CAF_CHECK_EQUAL(x.book->appends, tried);
    for (auto& e : x.book->stored)
      CAF_CHECK(e.type != event_type::task_ended);
    CAF_CHECK_EQUAL(x.host->events.size(), x.book->stored.size() + 1);
  }
}

CAF_TEST(a store that never answers ends the task after half a minute) {
  book->mute = true;
  usual_team();
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_CHECK_EQUAL(gone_ms(), 30'000);
  CAF_CHECK_EQUAL(count(event_type::task_ended), 1u);
}

CAF_TEST(nothing is shown or sent before it is durable) {
  book->hold = true;
  usual_team();
  ask();
  CAF_CHECK(host->events.empty());
  std::size_t durable = 0;
  while (outcomes.empty()) {
    if (book->held.empty()) {
      CAF_REQUIRE(sched.clock().trigger_timeout());
      settle();
      continue;
    }
    durable = book->held.front().second.seq;
    release();
    CAF_CHECK(host->events.empty() || host->events.back().seq <= durable);
    CAF_CHECK(host->chunks.empty() || count(event_type::call_started) > 0);
  }
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  check_log();
}

CAF_TEST(a lost agent is out once and the others finish) {
  usual_team();
  member("c", {hangs()});
  ask();
  until_seen(event_type::call_started, "c");
  for (int i = 0; i < 3; ++i)
    tell(agent_lost{"t", 1, "c", ec::unknown, "it crashed"});
  tell(agent_lost{"other task", 1, "a", ec::unknown, "not ours"});
  tell(agent_lost{"t", 1, "nobody", ec::unknown, "not ours"});
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK_EQUAL(count(event_type::agent_out), 1u);
  check_end();
}

CAF_TEST(the loss of a node takes its agents out at once and the others finish) {
  auto here = add_node();
  auto mars = add_node();
  member("a", {answers("one", 100), votes("agent1", 100), says("presented", 100)}, here);
  member("b", {hangs()}, mars, "mars");
  member("c", {hangs()}, mars, "mars");
  ask();
  until_seen(event_type::new_answer, "a");
  auto when = gone_ms();
  kill(nodes[1]);
  CAF_CHECK_EQUAL(count(event_type::node_lost), 1u);
  CAF_CHECK_EQUAL(count(event_type::agent_out), 2u);
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK(gone_ms() - when < 1'000);
  check_end();
}

CAF_TEST(the loss of the only node ends the task with its reason) {
  usual_team();
  ask();
  until_seen(event_type::call_started, "a");
  kill(nodes[0]);
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_CHECK(!outcomes[0].error.empty());
  check_end();
}

CAF_TEST(the loss of the presenters node delivers the stored answer) {
  auto mars = add_node();
  auto here = add_node();
  member("a", {answers("stored"), votes("agent1"), hangs()}, mars, "mars");
  member("b", {answers("two"), votes("agent1")}, here);
  ask();
  CAF_REQUIRE(until_seen(event_type::presentation_started));
  kill(nodes[0]);
  CAF_REQUIRE(finish());
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(outcomes[0].answer, "stored");
  CAF_CHECK_EQUAL(count(event_type::presentation_started), 1u);
  check_end();
}

CAF_TEST(a cancel in any phase ends the task as interrupted with one terminal event) {
  for (auto phase : {event_type::session_start, event_type::run_started, event_type::call_started, event_type::new_answer,
                     event_type::vote_cast, event_type::final_agent_selected, event_type::presentation_started}) {
    faults_fixture x;
    x.member("a", {answers("one", 100), votes("agent1", 100), hangs("the final ans")});
    x.member("b", {answers("two", 200), votes("agent1", 200)});
    x.ask();
    CAF_REQUIRE(x.until_seen(phase));
    x.tell(cancel_task{"SIGINT"});
    x.tell(cancel_task{"SIGINT"}); // an impatient second one changes nothing
    auto when = x.gone_ms();
    CAF_REQUIRE(x.finish());
    CAF_CHECK(x.outcomes[0].kind == outcome_kind::interrupted);
    CAF_CHECK(x.outcomes[0].answer.empty());
    CAF_CHECK_EQUAL(x.count(event_type::cancel_requested), 1u);
    CAF_CHECK(x.gone_ms() - when <= 2'000);
    x.check_end();
    x.check_log();
  }
}

CAF_TEST(a cancel keeps the partial text of every run) {
  member("a", {hangs("first half")});
  member("b", {hangs("second half")});
  ask();
  until([this] { return host->chunks.size() == 2; });
  tell(cancel_task{"SIGTERM"});
  CAF_REQUIRE(finish());
  for (auto* text : {"first half", "second half"})
    CAF_CHECK(std::any_of(host->events.begin(), host->events.end(),
                          [text](auto& e) { return e.type == event_type::run_ended && e.text == text; }));
}

CAF_TEST(late repeated and foreign verdicts change nothing) {
  usual_team();
  ask();
  CAF_REQUIRE(until_seen(event_type::vote_cast, "a"));
  auto run = first_run("a");
  auto events = host->events.size();
  for (auto kind : {verdict_kind::answer, verdict_kind::vote, verdict_kind::failed, verdict_kind::presented})
    for (int i = 0; i < 2; ++i)
      CAF_CHECK(hand_in(verdict_of("a", run, kind)).kind == ruling_kind::superseded);
  auto foreign = verdict_of("b", first_run("b"), verdict_kind::answer);
  foreign.of.task = "other";
  CAF_CHECK(hand_in(foreign).kind == ruling_kind::superseded);
  foreign.of.task = "t";
  foreign.of.fence = 2;
  CAF_CHECK(hand_in(foreign).kind == ruling_kind::superseded);
  CAF_CHECK(hand_in(verdict_of("nobody", 1, verdict_kind::answer)).kind == ruling_kind::superseded);
  CAF_CHECK(hand_in(verdict_of("b", 0, verdict_kind::answer)).kind == ruling_kind::superseded);
  CAF_CHECK_EQUAL(host->events.size(), events);
  CAF_REQUIRE(finish());
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
  CAF_CHECK(hand_in(verdict_of("a", run, verdict_kind::presented)).kind == ruling_kind::superseded);
  check_end();
}

CAF_TEST(the end of the orchestrator while it closes repeats no terminal event) {
  usual_team();
  ask();
  // The node is asked to close the task; before it can say so the engine is stopped.
  book->hold = true;
  CAF_REQUIRE(until([this] {
    if (book->held.empty())
      return false;
    auto last = book->stored.back().type == event_type::task_ended && book->held.size() == 1;
    if (!last)
      release();
    return last;
  }));
  caf::anon_send(recorder, caf::ok_atom::value);
  while (count(event_type::task_ended) == 0)
    CAF_REQUIRE(consume_message());
  kill(boss);
  CAF_CHECK_EQUAL(count(event_type::task_ended), 1u);
  CAF_REQUIRE_EQUAL(outcomes.size(), 1u);
  CAF_CHECK(outcomes[0].kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(outcomes[0].answer, "presented");
}

CAF_TEST(the end of the orchestrator in mid task tells the host once and ends the agents) {
  member("a", {hangs()});
  ask();
  until_seen(event_type::call_started);
  kill(boss);
  CAF_REQUIRE_EQUAL(outcomes.size(), 1u);
  CAF_CHECK(outcomes[0].kind == outcome_kind::failed);
  CAF_CHECK_EQUAL(count(event_type::task_ended), 1u);
}

CAF_TEST(an agent that is ready after the end adds nothing to the log) {
  auto held = std::make_shared<std::vector<caf::typed_response_promise<agent_ready>>>();
  auto far = sys.spawn(slow_node, held);
  member("a", {}, far);
  ask();
  CAF_CHECK_EQUAL(held->size(), 1u);
  tell(cancel_task{"SIGINT"});
  CAF_REQUIRE(finish());
  auto stored = book->stored.size();
  caf::anon_send(far, publish_answer{});
  settle();
  CAF_CHECK_EQUAL(held->size(), 0u);
  CAF_CHECK_EQUAL(book->stored.size(), stored);
  check_end();
  kill(far);
}

CAF_TEST(tools that are missing or lost are told to their agents a few times and once at the end) {
  auto held = std::make_shared<std::vector<caf::typed_response_promise<agent_ready>>>();
  auto far = sys.spawn(slow_node, held);
  member("a", {}, far, "far");
  member("b", {hangs()}, far, "far");
  ask();
  held->erase(held->begin() + 1); // only the first is ever ready
  caf::anon_send(far, publish_answer{});
  settle();
  for (auto* agent : {"a", "a", "a", "a", "a"}) {
    auto r = report_of(agent, first_run(agent));
    call_end e;
    e.call = 1;
    e.target = "mcp__x__y";
    e.status = "unavailable";
    e.trouble = {"MCP server 'x'", "MCP server 'x' is not there"};
    r.ended.push_back(e);
    tell(r);
  }
  tell(cancel_task{"SIGINT"});
  CAF_REQUIRE(finish());
  std::map<std::string, int> notices;
  for (auto& e : host->events)
    if (e.type == event_type::agent_notice)
      ++notices[e.agent + ": " + e.reason];
  CAF_CHECK_EQUAL(notices.size(), 3u);
  CAF_CHECK_EQUAL(notices["a: a filter matches nothing"], 1);
  CAF_CHECK_EQUAL(notices["a: works without tools: MCP server 'x' ended with status 3"], 1);
  CAF_CHECK_EQUAL(notices["a: a tool call failed: MCP server 'x' is not there"], 3);
  auto& w = outcomes[0].warnings;
  for (auto* said :
       {"tools of MCP server 'x' were missing for a: ended with status 3", "tools of MCP server 'x' failed for a: is not there"})
    CAF_CHECK_EQUAL(std::count(w.begin(), w.end(), said), 1);
  kill(far);
}

CAF_TEST(the end of a task waits for a call under way and not for ever) {
  for (auto ends : {true, false}) {
    faults_fixture x;
    x.rules.strategy = ledger::strategy::winner_reuse;
    x.member("a", {answers("one", 100), votes("agent1", 100)});
    x.ask();
    CAF_REQUIRE(x.until_seen(event_type::new_answer));
    auto n = x.report_of("a", 2);
    call_begin late;
    late.call = 99; // of a tool that does not listen when it is told to stop
    late.target = "mcp__x__y";
    n.begun.push_back(late);
    CAF_REQUIRE(x.until([&] { return x.count(event_type::call_started, "a") == 2; }));
    x.tell(n);
    CAF_CHECK_EQUAL(x.last(event_type::call_started)->number, 99);
    CAF_REQUIRE(x.until_seen(event_type::final_answer));
    CAF_CHECK_EQUAL(x.count(event_type::task_closing), 1u);
    CAF_CHECK(x.outcomes.empty());
    auto when = x.gone_ms();
    n = x.report_of("a", 2);
    call_end end;
    end.call = 99;
    end.target = "mcp__x__y";
    end.status = "finished";
    n.ended.push_back(end);
    if (ends)
      x.tell(n);
    CAF_REQUIRE(x.finish());
    CAF_CHECK_EQUAL(x.gone_ms() - when, ends ? 0 : 1'500);
    CAF_CHECK_EQUAL(x.last(event_type::call_ended)->reason, ends ? "finished" : "unknown");
    CAF_CHECK_EQUAL(x.outcomes[0].answer, "one");
    x.tell(n); // too late
    x.check_end();
    x.check_log();
  }
}

CAF_TEST(an answer goes to each node once and orders carry no text) {
  struct seen {
    std::vector<publish_answer> published;
    std::vector<start_run> runs;
  };
  auto eyes_of = [](node_actor::pointer, std::shared_ptr<seen> s) -> node_actor::behavior_type {
    return {[](const spawn_agent& o, const orchestrator_actor&, const event_sink_actor&) -> caf::result<agent_ready> {
              return agent_ready{o.agent.id, {}, {}, {}};
            },
            [s](const publish_answer& p) { s->published.push_back(p); },
            [](const publish_file&) {},
            [s](const start_run& t) { s->runs.push_back(t); },
            [](const cancel_run&) {},
            [](const end_task& e) {
              return task_closed{e.task, {}};
            }};
  };
  auto here = std::make_shared<seen>(), there = std::make_shared<seen>();
  auto one = sys.spawn(eyes_of, here), two = sys.spawn(eyes_of, there);
  member("a", {}, one, "one");
  member("b", {}, one, "one");
  member("c", {}, two, "two");
  ask();
  for (auto* agent : {"a", "b", "c"}) {
    auto v = verdict_of(agent, first_run(agent), verdict_kind::answer, std::string{"the answer of "} + agent);
    CAF_CHECK(hand_in(v).kind == ruling_kind::accepted);
  }
  for (auto& s : {here, there}) {
    CAF_CHECK_EQUAL(s->published.size(), 3u);
    CAF_CHECK_EQUAL(s->published[0].text, "the answer of a");
    for (auto& t : s->runs)
      for (auto& shown : t.answers)
        CAF_CHECK(shown.text.empty());
    CAF_CHECK_EQUAL(s->runs.back().answers.size(), 3u);
  }
  CAF_CHECK_EQUAL(here->runs.size(), 4u);
  CAF_CHECK_EQUAL(count(event_type::agent_placed), 3u);
  tell(cancel_task{"enough"});
  CAF_REQUIRE(finish());
  kill(boss);
  kill(one);
  kill(two);
}

CAF_TEST_FIXTURE_SCOPE_END()
