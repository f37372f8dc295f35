// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.report

#include "app/report.hpp"

#include "app/plain_text.hpp"
#include "app/task_lookup.hpp"
#include "app/task_view.hpp"
#include "app/usage_text.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "protocols/text.hpp"
#include "tests/app/story.hpp"

#include <algorithm>

using namespace conclave;
using story::whole_task;

namespace {

bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos)
    return true;
  CAF_MESSAGE("'" << part << "' is missing in:\n" << text);
  return false;
}

std::vector<task_row> rows(std::initializer_list<const char*> ids) {
  std::vector<task_row> out;
  for (auto id : ids) {
    task_row row;
    row.task = id;
    row.started_ms = story::start_ms;
    row.last_ms = story::start_ms + 5'000;
    row.events = 7;
    row.question = "What?";
    row.outcome = "answered";
    out.push_back(std::move(row));
  }
  return out;
}

} // namespace

CAF_TEST(a whole task is explained) {
  auto text = report("t1", whole_task().events, {});
  CAF_CHECK(has(text, "  task      t1\n"));
  CAF_CHECK(has(text, "  question  What is 6 x 7?\n"));
  CAF_CHECK(has(text, "  started   2026-09-21 14:13:20 UTC, took 14.9s\n"));
  CAF_CHECK(has(text, "  outcome   answered, completed\n"));
  CAF_CHECK(has(text, "writer (agent1): 1 answer, 2 votes cast, 0 current votes received\n"));
  CAF_CHECK(has(text, "critic (agent2): 2 answers, 1 vote cast, 2 current votes received\n"));
  CAF_CHECK(
      has(text, "judge (agent3): 0 answers, 0 votes cast, 0 current votes received; out: POST https://judge.example/v1: 401\n"));
  // Who saw what.
  CAF_CHECK(has(text, "writer starts run 1, shown nothing\n"));
  CAF_CHECK(has(text, "critic starts run 7, shown writer's answer, critic's answer 2\n"));
  // Answers with their fate.
  CAF_CHECK(has(text, "  writer's answer 1 (agent1.1), round 0, 2.1s\n    | It is 42.\n    | I am sure.\n"));
  CAF_CHECK(has(text, "  critic's answer 1 (agent2.1), round 0, 3.9s, replaced by answer 2\n    | 42\n"));
  CAF_CHECK(has(text, "  critic's answer 2 (agent2.2), round 1, 9.2s\n    | 6 x 7 = 42\n"));
  // Votes, void and current.
  CAF_CHECK(has(text, "writer for critic's answer, round 1, void: answers came after it: shorter\n"));
  CAF_CHECK(has(text, "writer for critic's answer 2, round 2: complete\n"));
  CAF_CHECK(has(text, "critic has 2 of 2 current votes: most votes\n"));
  CAF_CHECK(has(text, "candidates: writer's answer, critic's answer 2\n"));
  // One name per agent: the anonymous ones are said once.
  CAF_CHECK_EQUAL(text.find("agent1", text.find("What happened")), text.find("agent1.1)"));
  CAF_CHECK_EQUAL(text.find("agent1.1"), text.rfind("agent1.1"));
  // Calls and tokens.
  CAF_CHECK(has(text, "writer: 3 model calls (3 finished), 1,400 tokens in, 40 out\n"));
  CAF_CHECK(has(text, "mcp__calc__multiply: 1 call (1 failed)\n"));
  CAF_CHECK(has(text, "all: 7 model calls, 3,110 tokens in, 101 out\n"));
  CAF_CHECK(has(text, "Final answer\n    | 6 x 7 is 42.\n"));
}

CAF_TEST(what was done with the files of a task is told and no part of its course in time) {
  auto t = whole_task();
  auto before = report("t1", t.events, {});
  for (auto e : {events::changes_applied({"/home/u/pro\x1bject", 1, "abcdef"}), events::changes_undone({"/home/u", 2, "abcdef"}),
                 events::changes_applied({"/home/u", 3, "c0ffee", "mi\x1bne"})}) {
    e.seq = t.events.size() + 1;
    e.time_ms = t.events.back().time_ms + 86'400'000;
    t.events.push_back(std::move(e));
  }
  auto text = report("t1", t.events, {});
  auto took = before.substr(before.find("took "), before.find('\n', before.find("took ")) - before.find("took "));
  CAF_CHECK(has(text, took));
  CAF_CHECK(has(text, "  outcome   answered, completed\n"));
  for (auto* line : {"   24h00m  1 path written in /home/u/project\n", "  2 paths put back in /home/u\n",
                     "  3 paths in /home/u went to the branch mine\n"})
    CAF_CHECK(has(text, line));
  CAF_CHECK(text.find('\x1b') == std::string::npos);
  auto v = view_of(t.events);
  CAF_CHECK(v.ended && v.outcome == "answered");
  CAF_CHECK_EQUAL(v.last_ms, view_of(whole_task().events).last_ms);
  CAF_CHECK_EQUAL(v.events, whole_task().events.size());
}

CAF_TEST(without a terminal event a task is interrupted) {
  auto events = whole_task().events;
  for (std::size_t n = 1; n < events.size(); ++n) {
    auto text = report("t1", {events.begin(), events.begin() + static_cast<std::ptrdiff_t>(n)}, {});
    CAF_CHECK(has(text, "  outcome   interrupted (no end was recorded"));
  }
  CAF_CHECK(has(report("t1", {}, {}), "no events are stored"));
}

CAF_TEST(partial texts of cut runs are kept also when they come late) {
  story::teller t;
  t.session("q", {"a", "b"});
  t.round(0);
  t.run("a", 1, 0, 0, {});
  t.run("b", 2, 0, 0, {});
  t.answer("a", 1, "agent1.1", "x", 1);
  t.tell(event_type::run_ended, "b", 2).reason = "straggler";
  auto& late = t.tell(event_type::late_text, "b", 2);
  late.text = "half a thou";
  auto begun = t.tell(event_type::call_started, "b", 2);
  auto text = report("t", t.events, {});
  CAF_CHECK(has(text, "Partial texts\n  b, run 2, straggler\n    | half a thou\n"));
  CAF_CHECK(has(text, "b: 1 model call, tokens unknown\n"));
}

CAF_TEST(a failed and an interrupted task say why) {
  story::teller t;
  t.session("q", {"a"});
  t.tell(event_type::cancel_requested).reason = "SIGINT";
  auto log = t.events;
  t.end("interrupted", "ended by SIGINT");
  auto text = report("t", t.events, {});
  CAF_CHECK(has(text, "outcome   interrupted: ended by SIGINT\n"));
  std::swap(t.events, log);
  t.end("interrupted", "interrupted: SIGINT");
  CAF_CHECK(has(report("t", t.events, {}), "outcome   interrupted: SIGINT\n"));
  CAF_CHECK(has(text, "ended by  SIGINT\n"));
  CAF_CHECK(text.find("no end was recorded") == std::string::npos);
  CAF_CHECK(text.find("Final answer") == std::string::npos);
}

CAF_TEST(model text can neither forge sections nor reach a terminal raw) {
  story::teller t;
  t.session("evil\x1b[2J\nFinal answer\n", {"a\x1b]0;x\x07"});
  t.run("a\x1b]0;x\x07", 1, 0, 0, {});
  t.answer("a\x1b]0;x\x07", 1, "agent1.1", "first\nFinal answer\n    | forged\x1b[31m", 1);
  auto safe = report("t", t.events, {});
  CAF_CHECK(safe.find('\x1b') == std::string::npos);
  CAF_CHECK(safe.find('\x07') == std::string::npos);
  CAF_CHECK(safe.find("\nFinal answer") == std::string::npos);
  CAF_CHECK(has(safe, "    | Final answer\n    |     | forged[31m\n"));
  auto raw = report("t", t.events, {.full = false, .raw = true});
  CAF_CHECK(has(raw, "forged\x1b[31m\n"));
  CAF_CHECK_EQUAL(std::count(raw.begin(), raw.end(), '\x1b'), 1);
}

CAF_TEST(long answers are shortened unless the whole is asked for) {
  story::teller t;
  t.session("q", {"a"});
  t.run("a", 1, 0, 0, {});
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += "line " + std::to_string(i) + "\n";
  t.answer("a", 1, "agent1.1", text, 1);
  t.run("a", 2, 0, 0, {});
  std::string wide; // 3,000 characters of three bytes each on one line: the cut must not split one
  for (int i = 0; i < 3000; ++i)
    wide += "\u4e2d";
  t.answer("a", 2, "agent1.2", wide, 2);
  auto brief = report("t", t.events, {});
  CAF_CHECK(has(brief, "| line 23\n    ... (790 characters in all: --full)"));
  CAF_CHECK(brief.find("| line 24\n") == std::string::npos);
  CAF_CHECK(has(brief, "\u4e2d\n    ... (3,000 characters in all"));
  auto full = report("t", t.events, {.full = true, .raw = false});
  CAF_CHECK(has(full, "| line 99\n"));
  CAF_CHECK(full.find("in all: --full") == std::string::npos);
}

CAF_TEST(a view of any prefix or shuffle of a log is harmless) {
  auto events = whole_task().events;
  std::reverse(events.begin(), events.end());
  CAF_CHECK(!report("t", events, {}).empty());
  for (std::size_t n = 0; n < events.size(); ++n) {
    std::rotate(events.begin(), events.begin() + 1, events.end());
    CAF_CHECK(!report("t", events, {}).empty());
  }
  for (auto& e : events) {
    e.agent = "stranger";
    e.number = INT64_MIN;
    e.use.input_tokens = INT64_MAX;
    e.time_ms = INT64_MAX;
  }
  CAF_CHECK(!report("t", events, {}).empty());
}

CAF_TEST(tasks are found by id and prefix and last) {
  auto all = rows({"20261124-b2", "20261124-a1", "20261123-a"});
  std::string error;
  CAF_CHECK_EQUAL(find_task(all, "last", error), "20261124-b2");
  CAF_CHECK_EQUAL(find_task(all, "20261123-a", error), "20261123-a");
  CAF_CHECK_EQUAL(find_task(all, "20261124-a", error), "20261124-a1");
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK_EQUAL(find_task(all, "20261124", error), "");
  CAF_CHECK(has(error, "fits 2 tasks:\n  20261124-b2\n  20261124-a1"));
  CAF_CHECK_EQUAL(find_task(all, "20261124-a2x", error), "");
  CAF_CHECK(has(error, "did you mean 20261124-a1?") || has(error, "did you mean 20261124-b2?"));
  CAF_CHECK_EQUAL(find_task(all, "", error), "");
  CAF_CHECK(!error.empty());
  CAF_CHECK_EQUAL(find_task({}, "last", error), "");
  CAF_CHECK(has(error, "no tasks are stored yet"));
  // An id that is the beginning of another is still an id.
  CAF_CHECK_EQUAL(find_task(rows({"abc", "ab"}), "ab", error), "ab");
}

CAF_TEST(without a name resume means the newest task without an answer that was not played) {
  CAF_CHECK_EQUAL(task_to_go_on_with({}), "");
  auto all = rows({"t4", "t3", "t2", "t1"});
  for (auto& r : all) {
    r.outcome = "answered";
    r.log_version = 2;
  }
  CAF_CHECK_EQUAL(task_to_go_on_with(all), "t4");
  CAF_CHECK_EQUAL(which_task(all, "t4"), "");
  all[3].outcome.clear();
  all[2].outcome.clear();
  CAF_CHECK_EQUAL(task_to_go_on_with(all), "t2");
  CAF_CHECK(has(which_task(all, "t2"), "the newest without an answer, task t2 ("));
  CAF_CHECK(has(which_task(all, "t2"), "; the newest is t4"));
  all[0].outcome.clear();
  all[0].played = true;
  all[1].played = true;
  CAF_CHECK_EQUAL(task_to_go_on_with(all), "t2");
  CAF_CHECK(!is_resumable(all[0]) && is_resumable(all[2]));
  CAF_CHECK(has(cut_off_notice(all), "conclave resume t2"));
  all[2].outcome = "answered";
  all[3].outcome = "answered";
  CAF_CHECK_EQUAL(task_to_go_on_with(all), "t2");
  CAF_CHECK(has(which_task(all, "t2"), "the newest of your own"));
  CAF_CHECK_EQUAL(cut_off_notice(all), "");
  all[2].outcome = "failed"; // it ended, and a new task begins from its answers
  CAF_CHECK_EQUAL(task_to_go_on_with(all), "t2");
  all[1].played = false;
  CAF_CHECK_EQUAL(task_to_go_on_with(all, [](auto& r) { return r.task == "t2"; }), "t3"); // which went on from it
  all[1].played = true;
  all[2].outcome.clear();
  CAF_CHECK_EQUAL(task_to_go_on_with(all, [](auto&) { return true; }), "t2"); // cut off: it goes on itself
  all[2].outcome = "failed";
  CAF_CHECK_EQUAL(task_to_go_on_with({all[0]}), "t4"); // which is then refused with the reason
  CAF_CHECK(has(why_not_for_real("t4"), "was played from a recording"));
  CAF_CHECK(has(task_table(all, 0), "(played) "));
  CAF_CHECK(has(task_lines({all[0]}), ",\"played\":true"));
  CAF_CHECK(!has(task_lines({all[2]}), "played"));
}

CAF_TEST(the table of tasks keeps to the width and cleans what it shows) {
  CAF_CHECK_EQUAL(task_table({}, 80), "no tasks are stored yet\n");
  auto all = rows({"t1", "t2"});
  all[0].outcome.clear();
  all[0].question = "two\nlines \x1b[31m and a long tail that goes on and on and on and on and on";
  auto text = task_table(all, 72);
  CAF_CHECK(has(text, "t1    2026-09-21 14:13:20 UTC  interrupted       7  two lines"));
  CAF_CHECK(text.find('\x1b') == std::string::npos);
  for (std::size_t from = 0; from < text.size();) {
    auto lf = text.find('\n', from);
    CAF_CHECK(columns(text.substr(from, lf - from)) <= 72);
    from = lf + 1;
  }
  CAF_CHECK_EQUAL(std::count(text.begin(), text.end(), '\n'), 3);
  CAF_CHECK(has(task_lines(all),
                "{\"task\":\"t1\",\"started\":1790000000000,\"last\":1790000005000,\"events\":7,\"outcome\":\"interrupted\","));
}

CAF_TEST(the table tells of which tasks changes were applied or taken back) {
  auto all = rows({"t1", "t2", "t3"});
  CAF_CHECK(!has(task_table(all, 0), "files"));
  task_deliveries applied;
  applied["t1"] = {{"abcdef", "/home/u/a\x1b[31m", 1'790'000'000'000, 1'790'000'100'000, 3},
                   {"abcdeg", "/home/u/b", 1'790'000'200'000, 0, 1}};
  applied["t3"] = {{"abcdeh", "/home/u/a", 1'790'000'000'000, 1'790'000'100'000, 2}};
  auto text = task_table(all, 0, applied);
  CAF_CHECK(has(text, "events  files       question"));
  CAF_CHECK(has(text, "  applied     "));
  CAF_CHECK(has(text, "  taken back  "));
  auto lines = task_lines(all, applied);
  CAF_CHECK(has(lines, R"("applied":[{"folder":"/home/u/a?[31m","files":3,"applied":1790000000000,"undone":1790000100000},)"
                       R"({"folder":"/home/u/b","files":1,"applied":1790000200000}])"));
  CAF_CHECK(lines.find('\x1b') == std::string::npos);
}

CAF_TEST(only ids of ours are used as file names) {
  for (auto good : {"20261124-081638-abc123", "a_b"})
    CAF_CHECK(is_task_id(good));
  for (auto bad : {"", ".", "..", "a/b", "../x", "a b", "\xff"})
    CAF_CHECK(!is_task_id(bad));
  CAF_CHECK(!is_task_id(std::string(200, 'a')));
}

CAF_TEST(texts are measured and cut by columns) {
  CAF_CHECK_EQUAL(columns("abc"), 3u);
  CAF_CHECK_EQUAL(columns("\u4e2d\u6587"), 4u);
  CAF_CHECK_EQUAL(columns("e\u0301"), 1u);
  CAF_CHECK_EQUAL(columns("\xff\xc3"), 2u);
  CAF_CHECK_EQUAL(prefix_within("\u4e2d\u6587", 3), 3u);
  CAF_CHECK_EQUAL(prefix_within("\u4e2d", 0), 3u);
  CAF_CHECK_EQUAL(prefix_within("", 5), 0u);
  CAF_CHECK_EQUAL(whole_characters("a\u4e2d\u6587", 5), 4u);
  CAF_CHECK_EQUAL(whole_characters("a\u4e2d\u6587", 7), 7u);
  CAF_CHECK_EQUAL(whole_characters("\x80\x80\x80\x80\x80\x80", 5), 5u); // no character at all: bytes
  CAF_CHECK_EQUAL(one_line("a\n b\t\tc  "), "a b c");
  CAF_CHECK_EQUAL(one_line("abcdefghij", 10), "abcdefghij");
  CAF_CHECK_EQUAL(one_line("abcdefghijk", 10), "abcdefg...");
  CAF_CHECK(one_line(std::string(10'000'000, 'x'), 10) == "xxxxxxx...");
  CAF_CHECK_EQUAL(characters("a\u4e2d"), 2u);
  CAF_CHECK_EQUAL(with_commas(1234567), "1,234,567");
  CAF_CHECK_EQUAL(with_commas(-123), "-123");
  CAF_CHECK_EQUAL(with_commas(-1234), "-1,234");
  CAF_CHECK_EQUAL(seconds(12'340), "12.3s");
  CAF_CHECK_EQUAL(seconds(245'000), "4m05s");
  CAF_CHECK_EQUAL(seconds(7'380'000), "2h03m");
  CAF_CHECK_EQUAL(seconds(-5), "0.0s");
  CAF_CHECK_EQUAL(iso8601(1'790'000'000'120), "2026-09-21T14:13:20.120Z");
  CAF_CHECK_EQUAL(utc(INT64_MIN), "-");
}

CAF_TEST(rows break between words at the width and lose nothing) {
  story::teller t;
  t.session("q", {"a"});
  t.run("a", 1, 0, 0, {});
  std::string cause = "POST https://api.example.com/v1/chat/completions: 401 Unauthorized: this key was withdrawn; ";
  for (int i = 0; i < 20; ++i)
    cause += "word" + std::to_string(i) + " ";
  cause += "set EXAMPLE_API_KEY";
  auto& out = t.tell(event_type::agent_out, "a", 1);
  out.code = ec::unauthorized;
  out.reason = cause;
  t.answer("a", 1, "agent1.1", "text " + cause + "\n```\n" + std::string(120, 'x') + "\n```", 1);
  t.end("failed", "no answer: a: " + cause);
  auto squeezed = [](const std::string& x) {
    std::string s;
    for (char c : x)
      if (c != ' ' && c != '\n' && c != '|')
        s += c;
    return s;
  };
  for (std::size_t width : {40u, 80u, 200u}) {
    auto text = report("t", t.events, {.width = width});
    std::size_t from = 0;
    for (auto lf = text.find('\n'); lf != std::string::npos; from = lf + 1, lf = text.find('\n', from)) {
      auto line = text.substr(from, lf - from);
      CAF_CHECK(columns(line) < width || line.find("xxxx") != std::string::npos); // code is left alone
      CAF_CHECK(line.find("| ```") == std::string::npos || line.find("| ```") == 4);
    }
    std::size_t found = 0;
    auto all = squeezed(text);
    for (auto at = all.find(squeezed(cause)); at != std::string::npos; at = all.find(squeezed(cause), at + 1))
      ++found;
    CAF_CHECK(found >= 3); // outcome, agents, what happened
    CAF_CHECK(has(text, std::string(120, 'x')));
  }
  CAF_CHECK(has(report("t", t.events, {}), cause + "\n")); // no terminal: not broken
}

CAF_TEST(equal troubles of a team are one line of the report) {
  story::teller t;
  t.session("q", {"a", "b", "c"});
  for (auto id : {"a", "b", "c"}) {
    auto& e = t.tell(event_type::agent_error, id, 1);
    e.code = ec::unavailable;
    e.reason = "cannot connect";
    auto& again = t.tell(event_type::run_started, id, 2);
    again.number = 2;
    auto& out = t.tell(event_type::agent_out, id, 2);
    out.code = ec::unavailable;
    out.reason = "cannot connect";
  }
  auto text = report("t", t.events, {});
  CAF_CHECK(has(text, "all 3 agents fail, unavailable: cannot connect\n"));
  CAF_CHECK(has(text, "all 3 agents are out, unavailable, for the same reason\n"));
  CAF_CHECK(has(text, "a (agent1): 0 answers, 0 votes cast, 0 current votes received, 1 failure; out: cannot connect\n"));
  CAF_CHECK(has(text, "b (agent2): 0 answers, 0 votes cast, 0 current votes received, 1 failure; out, for the same reason as a\n"));
}

CAF_TEST(agents that are out for different causes are told apart) {
  story::teller t;
  t.session("q", {"a", "b"});
  for (auto id : {"a", "b"}) {
    auto cause = id + std::string{"'s key is wrong"};
    auto& e = t.tell(event_type::agent_error, id, 1);
    e.code = ec::unauthorized;
    e.reason = cause;
    auto& out = t.tell(event_type::agent_out, id, 1);
    out.code = ec::unauthorized;
    out.reason = cause;
  }
  auto text = report("t", t.events, {});
  for (auto id : {"a", "b"}) {
    CAF_CHECK(has(text, std::string{id} + " fails, unauthorized: " + id + "'s key is wrong\n"));
    CAF_CHECK(has(text, std::string{"  "} + id + " is out, unauthorized, for the same reason\n"));
  }
}

CAF_TEST(the report knows what was not reported and how many requests were sent) {
  story::teller t;
  t.session("q", {"a", "b"});
  t.call("a", 1, 1, 1'000, 200);
  t.events.back().use.requests = 3;
  t.call("a", 1, 2, 0, 0);
  t.events.back().use.requests = t.events.back().use.unreported = 1;
  t.call("b", 2, 1, 0, 0);
  t.events.back().use.requests = t.events.back().use.unreported = 1;
  auto text = report("t", t.events, {});
  CAF_CHECK(has(text, "a: 2 model calls (4 requests) (2 finished), at least 1,000 tokens in, 200 out (1 call unreported)\n"));
  CAF_CHECK(has(text, "b: 1 model call (1 finished), tokens unknown\n"));
  CAF_CHECK(has(text, "all: 3 model calls (5 requests), at least 1,000 tokens in, 200 out (2 calls unreported)\n"));
}

CAF_TEST(requests of calls that were cut off by a crash are not known to be none) {
  story::teller t;
  t.session("q", {"a", "b"});
  t.call("a", 1, 1, 1'000, 200);
  t.events.back().use.requests = 1;
  t.call("a", 1, 2, 0, 0);
  t.events.back().reason = "unknown"; // as a resume ends what was open
  t.events.back().use.unreported = 1;
  t.call("b", 2, 1, 10, 2);
  t.events.back().use.requests = 2;
  auto text = report("t", t.events, {});
  CAF_CHECK(has(text, "a: 2 model calls (at least 1 request) (1 finished, 1 unknown)"));
  CAF_CHECK(has(text, "b: 1 model call (2 requests)"));
  CAF_CHECK(has(text, "all: 3 model calls (at least 3 requests), "));
  CAF_CHECK_EQUAL(calls_text(2, t.events.back().use, "call", 1), "2 calls (at least 2 requests)");
  CAF_CHECK_EQUAL(calls_text(2, {}, "call", 2), "2 calls"); // not asked over HTTP
}

CAF_TEST(texts break between words by columns) {
  CAF_CHECK_EQUAL(wrapped("one two three", 7), "one two\nthree");
  CAF_CHECK_EQUAL(wrapped("one two three", 0), "one two three");
  CAF_CHECK_EQUAL(wrapped("one two three", 9, 4, 2), "one\n  two\n  three");
  CAF_CHECK_EQUAL(wrapped("abcdefghij k", 4), "abcd\nefgh\nij k");
  CAF_CHECK_EQUAL(wrapped("\u4e2d\u6587 \u4e2d\u6587", 5), "\u4e2d\u6587\n\u4e2d\u6587");
  CAF_CHECK_EQUAL(wrapped("e\u0301e\u0301 e\u0301", 4), "e\u0301e\u0301 e\u0301");
  CAF_CHECK_EQUAL(wrapped("\u4e2d\u6587", 1), "\u4e2d\n\u6587");
  CAF_CHECK_EQUAL(wrapped("", 5), "");
  CAF_CHECK_EQUAL(wrapped("   x", 5), "   x");
  for (std::size_t width = 1; width < 40; ++width)
    for (std::size_t used : {0u, 3u, 50u})
      for (std::size_t indent : {0u, 2u, 60u}) {
        auto text = wrapped("a bb  ccc dddd \u4e2d eeeeeeeeeeeeeeee f", width, used, indent);
        std::string bare;
        std::size_t from = 0;
        for (std::size_t i = 0; i <= text.size(); ++i) {
          if (i < text.size() && text[i] != '\n')
            continue;
          CAF_CHECK(columns(text.substr(from, i - from)) <= std::max<std::size_t>(width, 2));
          from = i + 1;
        }
        for (char c : text)
          if (c != ' ' && c != '\n')
            bare += c;
        CAF_CHECK_EQUAL(bare, "abbcccdddd\u4e2deeeeeeeeeeeeeeeef");
      }
  auto answer = std::string("# Title\n\n- one two three four\n  1. one two three\n\n```\na very long line of code\n```\n| a long | "
                            "table row here |\n")
                + "    indented code stays here\none two three four\n";
  CAF_CHECK_EQUAL(wrapped_text(answer, 12),
                  "# Title\n\n- one two\n  three four\n  1. one two\n     three\n\n```\na very long line of code\n```\n"
                  "| a long | table row here |\n    indented code stays here\none two\nthree four\n");
  CAF_CHECK_EQUAL(wrapped_text(answer, 0), answer);
  CAF_CHECK_EQUAL(columns("\u2705\u274c"), 4u);       // emoji
  CAF_CHECK_EQUAL(columns("\u0e01\u0e34\u0e48"), 1u); // Thai with two marks
  CAF_CHECK_EQUAL(columns("\u0915\u094d\u0937"), 2u); // Devanagari with a virama
  CAF_CHECK_EQUAL(columns("\u05e9\u05c1"), 1u);       // Hebrew with a point
}
