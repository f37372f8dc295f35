// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.display

#include "app/plain_text.hpp"
#include "tests/app/screen.hpp"

using namespace conclave;

CAF_TEST(a whole task is one line per event and a few closing lines) {
  screen s;
  for (const auto& e : story::whole_task().events)
    s.shown.on(e);
  s.shown.finish(answered());
  for (const auto& w : s.writes) {
    CAF_CHECK(!w.empty() && w.back() == '\n');
    CAF_CHECK(w.find('\x1b') == std::string::npos);
  }
  CAF_CHECK(s.has("   0.0s          3 agents: writer (agent1), critic (agent2), judge (agent3)\n"));
  CAF_CHECK(s.has("  all 3 agents  start\n"));
  CAF_CHECK(s.has("   2.1s  writer  answered (20 characters)\n"));
  CAF_CHECK(s.has("critic  answered again (answer 2, 10 characters)\n"));
  CAF_CHECK(s.has("judge   is out, unauthorized: POST https://judge.example/v1: 401\n"));
  CAF_CHECK(s.has("writer, critic  start, see both answers\n"));
  CAF_CHECK(s.has("writer  voted for critic's answer: shorter\n"));
  CAF_CHECK(s.has("critic  uses mcp__calc__multiply\n"));
  CAF_CHECK(s.has("critic  mcp__calc__multiply failed\n"));
  CAF_CHECK(s.has("critic  wins with 2 votes: most votes\n"));
  CAF_CHECK(s.has("critic  final answer (12 characters)\n"));
  CAF_CHECK(s.has("winner: critic, 2 of 2 votes\n"));
  CAF_CHECK(s.has("writer  voted for critic's answer 2: complete\n"));
  CAF_CHECK(s.has("critic  4 calls, 1,710 tokens in, 61 out, 1 tool call\n"));
  CAF_CHECK(s.has("all     7 calls, 3,110 tokens in, 101 out\n"));
  CAF_CHECK(s.has("see it again: conclave show 20261124-081638-abc123\n"));
  CAF_CHECK(s.text().find("finish reason") == std::string::npos);
  CAF_CHECK(s.text().find("model call") == std::string::npos); // only when verbose
  auto named = s.text().substr(s.text().find('\n'));           // the labels of the anonymous are said once
  CAF_CHECK(named.find("agent1") == std::string::npos);
  CAF_CHECK(named.find("agent2") == std::string::npos);
}

CAF_TEST(streams of two agents never mix within a line) {
  screen s;
  for (const auto& e : two_agents().events)
    s.shown.on(e);
  s.writes.clear();
  s.say("writer", "The an");
  s.say("me", "I thi", chunk_kind::text, 2);
  CAF_CHECK(s.writes.empty()); // no whole line yet
  s.say("writer", "swer\nis ");
  s.say("me", "nk\n", chunk_kind::text, 2);
  s.say("writer", "42");
  CAF_REQUIRE_EQUAL(s.writes.size(), 2u);
  CAF_CHECK_EQUAL(s.writes[0], "         writer | The answer\n");
  CAF_CHECK_EQUAL(s.writes[1], "         me     | I think\n");
  s.shown.finish(answered());
  CAF_CHECK_EQUAL(s.writes[2], "         writer | is 42\n"); // flushed at the end
}

CAF_TEST(a terminal that is resized is asked for its width) {
  std::size_t width = 100;
  screen s({.progress = true, .width_now = [&] { return width; }});
  for (const auto& e : two_agents().events)
    s.shown.on(e);
  width = 40;
  s.now += 1000;
  s.say("me", std::string(60, 'x'));
  for (const auto& w : s.writes)
    CAF_CHECK(w[0] != '\r' || columns(w) <= 4 + 40);
  CAF_CHECK(s.has("x\n"));
}

CAF_TEST(why there is no answer is said without repeating itself) {
  outcome o;
  o.kind = outcome_kind::failed;
  o.error = "no answer: writer: no key";
  CAF_CHECK_EQUAL(why_no_answer(o, 0), "no answer: writer: no key");
  o.error = "disk full";
  CAF_CHECK_EQUAL(why_no_answer(o, 0), "no answer, failed: disk full");
  o.error = "failed early";
  CAF_CHECK_EQUAL(why_no_answer(o, 0), "no answer, failed early");
  o.error = "";
  CAF_CHECK_EQUAL(why_no_answer(o, 0), "no answer, failed");
}

CAF_TEST(long lines break at spaces within the width) {
  screen s;
  for (const auto& e : two_agents().events)
    s.shown.on(e);
  s.writes.clear();
  for (int i = 0; i < 100; ++i)
    s.say("writer", "word" + std::to_string(i) + " ");
  s.say("writer", std::string(500, 'x') + "\n");
  std::string wide;
  for (int i = 0; i < 100; ++i)
    wide += "\u4e2d";
  s.say("writer", wide + "\n");
  CAF_CHECK(s.writes.size() > 10);
  std::string all;
  for (const auto& w : s.writes) {
    CAF_CHECK(columns(w) <= 100);
    auto text = w.substr(18, w.size() - 19);
    CAF_CHECK(text.find("wor") == std::string::npos || (text.rfind("word", 0) == 0)); // words stay whole
    all += text;
  }
  std::string expected;
  for (int i = 0; i < 100; ++i)
    expected += "word" + std::to_string(i);
  std::string squeezed;
  for (char c : all)
    if (c != ' ')
      squeezed += c;
  CAF_CHECK_EQUAL(squeezed, expected + std::string(500, 'x') + wide); // nothing is lost
}

CAF_TEST(a line on its way is flushed before the event it led to) {
  screen s;
  auto t = two_agents();
  for (const auto& e : t.events)
    s.shown.on(e);
  s.writes.clear();
  s.say("writer", "42");
  t.events.clear();
  t.answer("writer", 1, "agent1.1", "42", 1);
  for (const auto& e : t.events)
    s.shown.on(e);
  CAF_REQUIRE_EQUAL(s.writes.size(), 2u);
  CAF_CHECK_EQUAL(s.writes[0], "         writer | 42\n");
  CAF_CHECK(s.writes[1].find("answered (2 characters)") != std::string::npos);
}

CAF_TEST(reasoning and model calls are shown when verbose only and waits always) {
  for (bool verbose : {false, true}) {
    screen s({.verbose = verbose});
    for (const auto& e : story::whole_task().events)
      s.shown.on(e);
    s.say("writer", "hmm\n", chunk_kind::reasoning);
    s.say("writer", "waiting", chunk_kind::status);
    s.say("writer", "vote", chunk_kind::tool_call);
    s.say("writer", "files__read", chunk_kind::tool_call);
    CAF_CHECK_EQUAL(s.text().find(" ~ hmm\n") != std::string::npos, verbose);
    CAF_CHECK_EQUAL(s.text().find("model call 1 finished, 1,200 tokens in, 30 out\n") != std::string::npos, verbose);
    CAF_CHECK(s.has("writer  waiting\n"));
    CAF_CHECK(s.has("writer  calls files__read\n"));
    CAF_CHECK_EQUAL(s.text().find("calls vote\n") != std::string::npos, verbose);
  }
}

CAF_TEST(nothing of a model or its names reaches the terminal raw) {
  screen s({.verbose = true});
  std::string evil = "a\x1b[2J\x07\r\n\xc2\x9b"
                     "31m\u202eb";
  story::teller t;
  t.session("q", {evil});
  t.run(evil, 1, 0, 0, {evil});
  t.call(evil, 1, 1, 1, 1, evil, evil);
  t.answer(evil, 1, evil, "x", 1);
  t.vote(evil, 1, evil, evil, evil, 1);
  auto& error = t.tell(event_type::agent_error, evil, 1);
  error.reason = evil;
  t.select(evil, 1, evil, {evil});
  auto& lost = t.tell(event_type::node_lost);
  lost.target = lost.reason = evil;
  lost.labels = {evil};
  t.tell(event_type::cancel_requested).reason = evil;
  for (const auto& e : t.events)
    s.shown.on(e);
  s.say(evil, evil + evil + "\n");
  s.say(evil, evil, chunk_kind::tool_call);
  s.shown.note(evil);
  auto o = answered();
  o.task = o.winner = o.finish_reason = evil;
  o.warnings = {evil};
  s.shown.finish(o);
  auto text = s.text();
  for (auto bad : {"\x1b", "\x07", "\r", "\xc2\x9b", "\u202e"})
    CAF_CHECK(text.find(bad) == std::string::npos);
  for (const auto& w : s.writes)
    CAF_CHECK(w.back() == '\n');
}

CAF_TEST(colour and progress are only there when asked for) {
  screen s({.colour = true, .progress = true, .width = 60});
  for (const auto& e : two_agents().events)
    s.shown.on(e);
  for (auto id : {"writer", "me"}) {
    event e;
    e.type = event_type::vote_ignored;
    e.agent = id;
    s.shown.on(e);
  }
  CAF_CHECK(s.has("\x1b[36mwriter\x1b[0m"));
  CAF_CHECK(s.has("\x1b[33mme    \x1b[0m"));
  s.writes.clear();
  s.say("writer", "The answer");
  CAF_REQUIRE_EQUAL(s.writes.size(), 1u);
  CAF_CHECK_EQUAL(s.writes[0], "\r\x1b[K\x1b[36m         writer | \x1b[0mThe answer");
  s.say("writer", " is"); // at once: no redraw
  CAF_CHECK_EQUAL(s.writes.size(), 1u);
  s.now += 1'000;
  s.say("writer", " forty-two and not forty-three, of course");
  CAF_REQUIRE_EQUAL(s.writes.size(), 4u); // 41 columns are free: one line is whole, the rest is progress
  CAF_CHECK_EQUAL(s.writes[1], "\r\x1b[K");
  CAF_CHECK_EQUAL(s.writes[2], "\x1b[36m         writer | \x1b[0mThe answer is forty-two and not\n");
  CAF_CHECK_EQUAL(s.writes[3], "\r\x1b[K\x1b[36m         writer | \x1b[0mforty-three, of course");
  s.now += 1'000;
  s.say("writer", "!");
  CAF_CHECK_EQUAL(s.writes.back(), "\r\x1b[K\x1b[36m         writer | \x1b[0mforty-three, of course!");
  s.shown.finish(answered());
  CAF_REQUIRE(s.writes.size() > 7u);
  CAF_CHECK_EQUAL(s.writes[4], "\r\x1b[K\x1b[36m         writer | \x1b[0mforty-three, of course!");
  CAF_CHECK_EQUAL(s.writes[5], "\r\x1b[K");
  CAF_CHECK_EQUAL(s.writes.back().back(), '\n');
}

CAF_TEST(an answer after a deadline names its finish reason) {
  screen s;
  auto o = answered();
  o.finish_reason = "timeout";
  s.shown.finish(o);
  CAF_CHECK(s.has("finish reason: timeout\n"));
}

CAF_TEST(an interruption is named once) {
  screen s;
  outcome o;
  o.kind = outcome_kind::interrupted;
  o.error = "interrupted: SIGINT";
  s.shown.finish(o);
  CAF_CHECK_EQUAL(s.text(), "         no answer, interrupted: SIGINT\n");
}

CAF_TEST(the end says why there is no answer and what else is odd) {
  screen s;
  for (const auto& e : two_agents().events)
    s.shown.on(e);
  outcome o;
  o.task = "t";
  o.kind = outcome_kind::timed_out;
  o.error = "nobody answered in time";
  o.finish_reason = "timeout";
  o.warnings = {"judge was out"};
  s.shown.finish(o);
  CAF_CHECK(s.has("no answer, timed_out: nobody answered in time\n"));
  CAF_CHECK(s.has("warning: judge was out\n"));
  auto n = s.writes.size();
  s.shown.finish(o);
  s.say("writer", "late\n");
  s.shown.on(two_agents().events[0]);
  CAF_CHECK_EQUAL(s.writes.size(), n); // after the end nothing more is written
}
