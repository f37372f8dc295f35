// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.node

// A node hires, runs and ends agents; its boss is the test's own.

#include "actors/node.hpp"

#include "actors/node_notes.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/run_machine.hpp"
#include "support/fixture.hpp"

using namespace conclave;

namespace {

struct boss_state {
  std::vector<verdict> verdicts;
  std::vector<agent_lost> lost;
};

orchestrator_actor::behavior_type fake_boss(std::shared_ptr<boss_state> st) {
  return {
      [st](const run_report& r) -> caf::result<ruling> {
        if (r.has_verdict)
          st->verdicts.push_back(r.handed_in);
        return ruling{ruling_kind::accepted, "", {}};
      },
      [](const body_part&) { return body_ack{}; },
      [st](const agent_lost& l) { st->lost.push_back(l); },
      [](const question&) -> caf::result<outcome> { return outcome{}; },
      [](const cancel_task&) {},
  };
}

event_sink_actor::behavior_type no_sink() {
  return {[](const event&) {}, [](const chunk_batch&) {}, [](const chunk_delivery&) { return chunk_ack{}; }};
}

struct node_fixture : conclave::test::fixture {
  std::shared_ptr<boss_state> st = std::make_shared<boss_state>();
  node_actor node;
  orchestrator_actor boss;
  event_sink_actor sink;
  std::vector<agent_ready> ready;
  std::vector<caf::error> refused;
  std::vector<task_closed> closed;
  std::vector<caf::actor> callers;
  std::size_t idle_actors = 0;

  node_fixture() {
    node = spawn_node(sys, node_resources{});
    boss = sys.spawn(fake_boss, st);
    sink = sys.spawn(no_sink);
    settle();
    idle_actors = alive();
  }

  ~node_fixture() {
    kill(node);
    kill(boss);
    kill(sink);
    for (auto& c : callers)
      kill(c);
  }

  /// Actors that have not ended: what a node leaves behind shows here.
  std::size_t alive() { return sys.registry().running(); }

  script_step hang() {
    script_step s;
    s.text = "half";
    s.hang = true;
    return s;
  }

  spawn_agent order(const std::string& task, const std::string& agent, std::vector<script_step> script = {}) {
    spawn_agent o;
    o.task = task;
    o.fence = 1;
    o.agent.id = agent;
    o.agent.backend.type = "scripted";
    o.agent.backend.decision = "tools";
    o.agent.backend.script = std::move(script);
    o.number = 1;
    return o;
  }

  void hire(const spawn_agent& o) {
    callers.push_back(sys.spawn([this, o](caf::event_based_actor* me) {
      me->request(node, caf::infinite, o, boss, sink)
          .then([this](agent_ready& r) { ready.push_back(std::move(r)); },
                [this](caf::error& e) { refused.push_back(std::move(e)); });
    }));
    settle();
    kill(callers.back());
    callers.pop_back();
  }

  void end(const std::string& task, std::uint64_t fence = 1) {
    callers.push_back(sys.spawn([this, task, fence](caf::event_based_actor* me) {
      me->request(node, caf::infinite, end_task{task, fence}).then([this](task_closed& c) { closed.push_back(std::move(c)); });
    }));
    settle();
    kill(callers.back());
    callers.pop_back();
  }

  start_run work(const std::string& task, const std::string& agent, std::vector<shown_answer> shown = {}) {
    start_run r;
    r.task = task;
    r.fence = 1;
    r.agent = agent;
    r.run = 1;
    r.question = "why?";
    r.answers = std::move(shown);
    return r;
  }

  /// Delivers messages one by one until an actor of this name is about to work, and lets that one die.
  void end_when_it_works(const std::string& name) {
    for (bool found = false; !found;) {
      CAF_REQUIRE(sched.has_job());
      auto& next = sched.next_job<caf::scheduled_actor>();
      if ((found = next.name() == name))
        next.enqueue(caf::make_mailbox_element(nullptr, caf::make_message_id(), {},
                                               caf::exit_msg{next.address(), caf::exit_reason::unhandled_exception}),
                     nullptr);
      sched.run_once();
    }
    settle();
  }

  template <class T>
  void tell(T msg) {
    caf::anon_send(node, std::move(msg));
    settle();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(node_tests, node_fixture)

CAF_TEST(the end of a task ends everything that was made for it) {
  hire(order("t", "a", {hang()}));
  hire(order("t", "b"));
  CAF_REQUIRE_EQUAL(ready.size(), 2u);
  CAF_CHECK(alive() > idle_actors);
  tell(work("t", "a"));
  end("t");
  CAF_CHECK_EQUAL(closed.size(), 1u);
  CAF_CHECK_EQUAL(alive(), idle_actors);
  end("t"); // again: nothing is there
  CAF_CHECK_EQUAL(closed.size(), 2u);
}

CAF_TEST(steps a script left are named at the end) {
  script_step s;
  s.text = "x";
  s.repeat = 3;
  hire(order("t", "a", {s}));
  end("t");
  CAF_REQUIRE_EQUAL(closed.size(), 1u);
  CAF_REQUIRE_EQUAL(closed[0].notes.size(), 1u);
  CAF_CHECK(closed[0].notes[0].find("3 steps of agent 'a'") != std::string::npos);
}

CAF_TEST(an agent is hired once per task) {
  hire(order("t", "a"));
  hire(order("t", "a"));
  CAF_CHECK_EQUAL(ready.size(), 1u);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(code_of(refused[0]) == ec::bad_request);
  end("t");
  CAF_CHECK_EQUAL(alive(), idle_actors);
}

CAF_TEST(a node that is full says so and has room again later) {
  for (int i = 0; i < 65; ++i)
    hire(order("t" + std::to_string(i), "a"));
  CAF_CHECK_EQUAL(ready.size(), 64u);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(code_of(refused[0]) == ec::unavailable);
  CAF_CHECK(text_of(refused[0]).find("full") != std::string::npos);
  end("t0");
  hire(order("t65", "a"));
  CAF_CHECK_EQUAL(ready.size(), 65u);
}

CAF_TEST(a task has at most 256 agents on a node) {
  for (int i = 0; i < 257; ++i)
    hire(order("t", "a" + std::to_string(i)));
  CAF_CHECK_EQUAL(ready.size(), 256u);
  CAF_CHECK_EQUAL(refused.size(), 1u);
  end("t");
  CAF_CHECK_EQUAL(alive(), idle_actors);
}

CAF_TEST(an agent that cannot be made leaves nothing) {
  auto o = order("t", "a");
  o.agent.backend.type = "nonsense";
  hire(o);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK(code_of(refused[0]) == ec::bad_config);
  CAF_CHECK_EQUAL(alive(), idle_actors);
}

CAF_TEST(the end of the boss ends its agents) {
  hire(order("t", "a", {hang()}));
  tell(work("t", "a"));
  kill(boss);
  CAF_CHECK_EQUAL(alive(), idle_actors - 1);
}

CAF_TEST(a local model is let go with its last user and a connection is kept) {
  auto with = [&](const std::string& task, const std::string& agent, const std::string& type) {
    auto o = order(task, agent);
    o.agent.backend = {};
    o.agent.backend.type = type;
    o.agent.backend.base_url = type == "chatcompletion" ? "http://127.0.0.1:1/v1" : "";
    o.agent.backend.model = type == "chatcompletion" ? "m" : "";
    return o;
  };
  hire(with("t", "a", "local"));
  hire(with("t", "b", "local"));
  hire(with("u", "c", "local"));
  CAF_REQUIRE_EQUAL(ready.size(), 3u);
  end("t");
  CAF_CHECK(alive() > idle_actors); // c still uses it
  end("u");
  CAF_CHECK_EQUAL(alive(), idle_actors);
  hire(with("t", "a", "local"));
  kill(boss); // nobody is left who would end the task
  CAF_CHECK_EQUAL(alive(), idle_actors - 1);
  boss = sys.spawn(fake_boss, st);
  hire(with("t", "a", "chatcompletion"));
  auto busy = alive();
  end("t");
  auto kept = alive();
  CAF_CHECK(kept > idle_actors && kept < busy); // what it learned of the provider stays
  hire(with("t", "a", "chatcompletion"));
  CAF_CHECK_EQUAL(alive(), busy);
}

CAF_TEST(of two orchestrators of one task the one with the higher fence has it) {
  hire(order("t", "a", {hang()}));
  auto older = boss;
  auto rival = std::make_shared<boss_state>();
  boss = sys.spawn(fake_boss, rival);
  hire(order("t", "b"));
  CAF_REQUIRE_EQUAL(refused.size(), 1u); // the same fence: somebody starts a task twice
  CAF_CHECK(code_of(refused[0]) == ec::bad_request);
  auto o = order("t", "b", {hang()});
  o.fence = 2;
  hire(o);
  CAF_CHECK_EQUAL(ready.size(), 2u);
  tell(work("t", "a")); // went with its boss
  tell(work("t", "b"));
  kill(older); // its end is nobody's any more
  end("t", 2);
  CAF_CHECK_EQUAL(closed.size(), 1u);
  CAF_CHECK_EQUAL(alive(), idle_actors);
}

CAF_TEST(a run that shows an unknown answer is reported and not begun) {
  hire(order("t", "a", {hang()}));
  tell(work("t", "a", {{"agent1", "agent1.1", ""}}));
  CAF_REQUIRE_EQUAL(st->lost.size(), 1u);
  CAF_CHECK_EQUAL(st->lost[0].agent, "a");
  CAF_CHECK(st->lost[0].reason.find("agent1.1") != std::string::npos);
  CAF_CHECK_EQUAL(st->verdicts.size(), 0u);
}

CAF_TEST(messages about tasks and agents that are not here are dropped) {
  tell(work("nowhere", "a"));
  tell(cancel_run{{"nowhere", 1, 1}, "a", "x"});
  tell(publish_answer{"nowhere", 1, "agent1.1", "text"});
  hire(order("t", "a"));
  tell(work("t", "nobody"));
  tell(cancel_run{{"t", 1, 1}, "nobody", "x"});
  CAF_CHECK_EQUAL(st->lost.size(), 0u);
  CAF_CHECK_EQUAL(st->verdicts.size(), 0u);
}

CAF_TEST(a cancelled run reports its partial text through the node) {
  hire(order("t", "a", {hang()}));
  tell(work("t", "a"));
  tell(cancel_run{{"t", 1, 1}, "a", "deadline"});
  CAF_REQUIRE_EQUAL(st->verdicts.size(), 1u);
  CAF_CHECK(st->verdicts[0].code == ec::cancelled);
  CAF_CHECK_EQUAL(st->verdicts[0].text, "half");
}

CAF_TEST(the end of the node ends all it made) {
  hire(order("t", "a", {hang()}));
  hire(order("u", "a", {hang()}));
  tell(work("t", "a"));
  kill(node);
  CAF_CHECK_EQUAL(alive(), idle_actors - 1);
}

CAF_TEST(a shared connection that dies is replaced and its agents are told) {
  auto o = order("t", "a");
  o.agent.backend = {};
  o.agent.backend.type = "vllm";
  o.agent.backend.model = "m";
  o.agent.backend.base_url = "http://127.0.0.1:1/v1";
  hire(o);
  auto alone = alive();
  o.agent.id = "b";
  hire(o);
  CAF_CHECK_EQUAL(alive(), alone + 1); // the second agent brought no connection
  o.task = "other";
  hire(o);
  CAF_REQUIRE_EQUAL(ready.size(), 3u);
  caf::anon_send(node, work("t", "a"));
  end_when_it_works("guarded_backend");
  CAF_REQUIRE_EQUAL(st->lost.size(), 3u);
  for (auto& l : st->lost) {
    CAF_CHECK_EQUAL(l.code, ec::unavailable);
    CAF_CHECK_EQUAL(l.reason, "its connection to the model ended unexpectedly");
  }
  o.task = "t";
  hire(o);
  CAF_CHECK_EQUAL(ready.size(), 4u);
  CAF_CHECK(refused.empty());
  CAF_CHECK_EQUAL(alive(), alone);
  end("t");
  end("other");
}

CAF_TEST(what is behind the breaker takes the shared connection along when it dies) {
  auto o = order("t", "a");
  o.agent.backend = {};
  o.agent.backend.type = "vllm";
  o.agent.backend.model = "m";
  o.agent.backend.base_url = "http://127.0.0.1:1/v1";
  hire(o);
  auto before = alive();
  caf::anon_send(node, work("t", "a"));
  end_when_it_works("backend");
  CAF_REQUIRE_EQUAL(st->lost.size(), 1u);
  CAF_CHECK_EQUAL(st->lost[0].reason, "its connection to the model ended unexpectedly");
  hire(o);
  CAF_CHECK_EQUAL(ready.size(), 2u);
  CAF_CHECK_EQUAL(alive(), before);
  end("t");
}

CAF_TEST(a scripted connection that dies takes its agent out with the reason) {
  hire(order("t", "a", {hang()}));
  caf::anon_send(node, work("t", "a"));
  end_when_it_works("scripted_backend");
  CAF_REQUIRE_EQUAL(st->lost.size(), 1u);
  CAF_CHECK_EQUAL(st->lost[0].reason, "its connection to the model ended unexpectedly");
  end("t");
  CAF_CHECK_EQUAL(alive(), idle_actors);
}

CAF_TEST(a C++ tool nobody registered is said) {
  auto o = order("t", "a");
  o.agent.backend.native_tools = {"ad"};
  hire(o);
  CAF_REQUIRE_EQUAL(ready.size(), 1u);
  CAF_REQUIRE_EQUAL(ready[0].notes.size(), 1u);
  CAF_CHECK_EQUAL(ready[0].notes[0], "native_tools: this process has no tool 'ad'");
}

CAF_TEST(a node that is ending finishes its tasks and takes no new one) {
  kill(node);
  node_resources with;
  std::vector<node_note> notes;
  with.note = [&](node_note n) { notes.push_back(std::move(n)); };
  with.load = std::make_shared<node_load>();
  auto door = spawn_door(sys, node = spawn_node(sys, with), "1", with);
  hire(order("t", "a"));
  CAF_CHECK_EQUAL(with.load->tasks, 1u);
  with.load->ending = true;
  hire(order("t", "b"));
  hire(order("new", "a"));
  CAF_CHECK_EQUAL(ready.size(), 2u);
  CAF_REQUIRE_EQUAL(refused.size(), 1u);
  CAF_CHECK_EQUAL(text_of(refused[0]), "the node is ending and takes no new task");
  std::vector<welcome> got;
  auto who = sys.spawn([&](caf::event_based_actor* me) {
    me->request(door, caf::infinite, hello{}).then([&](welcome& w) { got.push_back(std::move(w)); });
  });
  settle();
  kill(who);
  CAF_REQUIRE_EQUAL(got.size(), 1u);
  CAF_CHECK_EQUAL(got[0].reason, "it is ending and takes no new task");
  end("t");
  CAF_CHECK_EQUAL(with.load->tasks, 0u);
  std::vector<std::string> said;
  for (auto& n : notes)
    said.push_back(n.type);
  CAF_CHECK_EQUAL(said, (std::vector<std::string>{"task_started", "agent_ready", "agent_ready", "agent_refused", "caller_refused",
                                                  "task_ended"}));
  kill(door);
}

CAF_TEST(each run and task is one note with what it cost) {
  kill(node);
  node_resources with;
  std::vector<node_note> notes;
  with.note = [&](node_note n) { notes.push_back(std::move(n)); };
  node = spawn_node(sys, with);
  script_step bad;
  bad.error = ec::unauthorized;
  hire(order("t", "a", {hang()}));
  hire(order("t", "b", {bad}));
  tell(work("t", "a"));
  tell(work("t", "b"));
  tell(cancel_run{{"t", 1, 1}, "a", "the others agreed"});
  end("t");
  auto of = [&](const std::string& type) {
    std::vector<std::string> out;
    for (auto& n : notes)
      if (n.type == type) {
        out.emplace_back();
        for (auto& [name, value] : n.fields)
          out.back() += name + "=" + value.text + (value.is_text ? "; " : " ");
      }
    return out;
  };
  CAF_CHECK_EQUAL(of("run_started").size(), 2u);
  auto cancelled = of("run_cancelled"), failed = of("run_failed"), ended = of("task_ended");
  CAF_REQUIRE_EQUAL(cancelled.size() * failed.size() * ended.size(), 1u);
  CAF_CHECK(cancelled[0].find("task=t; agent=a; run=1 why=the others agreed; seconds=0 calls=1 ") == 0);
  CAF_CHECK(failed[0].find("task=t; agent=b; run=1 code=unauthorized; why=") == 0);
  CAF_CHECK(ended[0].find("task=t; peer=; why=over; seconds=0 agents=2 runs=2 failed=1 calls=2 ") == 0);
}

CAF_TEST(a tool server that is lost in the middle of a run is one note) {
  auto keep = std::vector<node_note>{};
  auto cost = std::make_shared<task_cost>();
  auto w = watch_runs([&](node_note n) { keep.push_back(std::move(n)); }, cost, sys.clock());
  start_run t;
  t.task = "t";
  t.agent = "a";
  t.run = 2;
  w->began(t);
  run::ended_call n;
  n.target = "mcp__x__read";
  n.trouble = {"MCP server 'x'", "it writes without end"};
  w->call_ended(2, n);
  w->call_ended(2, n); // another call that was on its way to the same server
  note_lost([&](node_note x) { keep.push_back(std::move(x)); }, *cost, "t", "a", "MCP server 'x': it writes without end");
  n.target = "model";
  n.trouble = {};
  n.use.input_tokens = 7;
  w->call_ended(1, n); // a late one: counted for the task alone
  w->ended({"voted", ec::none, ""});
  CAF_REQUIRE_EQUAL(keep.size(), 3u);
  CAF_CHECK_EQUAL(keep[1].type, "tools_lost");
  CAF_CHECK_EQUAL(keep[1].fields.back().second.text, "MCP server 'x': it writes without end");
  CAF_CHECK(keep[1].weight == note_weight::trouble);
  CAF_CHECK_EQUAL(keep[2].type, "run_ended");
  CAF_CHECK_EQUAL(keep[2].fields.back().first, "tool_calls");
  CAF_CHECK_EQUAL(cost->use.input_tokens, 7);
  CAF_CHECK_EQUAL(cost->calls, 1u);
}

CAF_TEST(a caller is named by its address as long as it is of the last ones) {
  caller_book book;
  auto id = [](std::uint32_t n) { return caf::make_node_id(n, caf::node_id::default_data::host_id_type{}); };
  for (std::uint32_t i = 1; i <= 300; ++i)
    book.put(id(i), "10.0.0.1:" + std::to_string(i));
  book.put(id(300), "10.0.0.2:1"); // it came again
  CAF_CHECK_EQUAL(book.find(id(300)), "10.0.0.2:1");
  CAF_CHECK_EQUAL(book.find(id(299)), "10.0.0.1:299");
  CAF_CHECK_EQUAL(book.find(id(1)), "");
}

CAF_TEST(a door of another version gives a reason and no node) {
  auto door = spawn_door(sys, node, "build 1");
  std::vector<welcome> got;
  for (auto h : {hello{1, protocol_min, "x"}, hello{protocol_max + 1, 9, "x"}, hello{1, 9, "x"}}) {
    auto who = sys.spawn([&got, door, h](caf::event_based_actor* me) {
      me->request(door, caf::infinite, h).then([&got](welcome& w) { got.push_back(std::move(w)); });
    });
    settle();
    kill(who);
  }
  CAF_REQUIRE_EQUAL(got.size(), 3u);
  CAF_CHECK_EQUAL(got[0].version, protocol_min);
  CAF_CHECK(got[0].node != nullptr);
  CAF_CHECK_EQUAL(got[1].version, 0u);
  CAF_CHECK(got[1].node == nullptr);
  CAF_CHECK(!got[1].reason.empty());
  CAF_CHECK_EQUAL(got[2].version, protocol_max);
  kill(door);
}

CAF_TEST_FIXTURE_SCOPE_END()
