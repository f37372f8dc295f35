// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What many agents, long causes and narrow terminals do to the display.

#define CAF_SUITE app.display_crowd

#include "app/plain_text.hpp"
#include "app/usage_text.hpp"
#include "tests/app/screen.hpp"

using namespace conclave;

namespace {

constexpr const char* long_cause =
    "POST https://api.example.com/v1/chat/completions: 401 Unauthorized: Incorrect API key provided: it was made for another "
    "project "
    "and has been withdrawn since by its owner, who left a note on that in the console of the account; set the variable "
    "EXAMPLE_API_KEY to a valid key or write api_key_env in the file";

/// A team that has just been started.
story::teller team_of(std::size_t n) {
  story::teller t;
  std::vector<std::string> ids;
  for (std::size_t i = 1; i <= n; ++i)
    ids.push_back((i < 10 ? "a0" : "a") + std::to_string(i));
  t.session("q", ids);
  t.round(0);
  for (std::size_t i = 0; i < n; ++i)
    t.tell(event_type::run_started, ids[i], i + 1, 0).number = 1;
  return t;
}

void refuse(story::teller& t, const std::string& agent, std::uint64_t run, const std::string& cause, ec code = ec::unauthorized) {
  auto& e = t.tell(event_type::agent_error, agent, run, 10);
  e.code = code;
  e.reason = cause;
  e.number = 1;
  auto& out = t.tell(event_type::agent_out, agent, run, 0);
  out.code = code;
  out.reason = cause;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++n;
  return n;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out(1);
  for (char c : text)
    if (c == '\n')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

std::string squeezed(const std::string& text) {
  std::string out;
  for (char c : text)
    if (c != ' ' && c != '\n')
      out += c;
  return out;
}

} // namespace

CAF_TEST(an error line keeps its end where the remedy stands) {
  for (std::size_t width : {0u, 40u, 80u, 200u}) {
    screen s({.width = width});
    auto t = team_of(2);
    refuse(t, "a01", 1, long_cause);
    for (const auto& e : t.events)
      s.shown.on(e);
    s.now += 10'000;
    s.shown.tick();
    CAF_CHECK(squeezed(s.text()).find(squeezed("set the variable EXAMPLE_API_KEY to a valid key or write api_key_env in the file"))
              != std::string::npos);
    for (const auto& l : lines_of(s.text())) {
      CAF_CHECK(width == 0 || columns(l) < width);
      CAF_CHECK(l.find("EXAMPLE_API") == std::string::npos || l.find("EXAMPLE_API_KEY") != std::string::npos); // words stay whole
    }
    if (width == 0)
      CAF_CHECK(s.has(std::string("a01  failed, unauthorized: ") + long_cause + "\n"));
  }
  // Beyond all measure it is the middle that goes.
  auto cut = shortened(std::string("cause: ") + std::string(5'000, 'x') + " do this", 100);
  CAF_CHECK(columns(cut) <= 100);
  CAF_CHECK(cut.starts_with("cause: x") && cut.ends_with("x do this") && cut.find(" ... ") != std::string::npos);
  CAF_CHECK_EQUAL(shortened("a\n b", 100), "a b");
  CAF_CHECK(shortened(std::string(1'000'000, 'x') + "end", 50).ends_with("xend"));
}

CAF_TEST(equal errors of all agents are one line) {
  for (std::size_t n : {1u, 3u, 12u}) {
    screen s({.width = 0});
    auto t = team_of(n);
    for (std::size_t i = 0; i < n; ++i)
      refuse(t, t.events[0].labels[i], i + 1, long_cause);
    for (const auto& e : t.events)
      s.shown.on(e);
    CAF_CHECK_EQUAL(count(s.text(), "EXAMPLE_API_KEY"), 1u);
    if (n > 1)
      CAF_CHECK(s.has("  all " + std::to_string(n) + " agents  failed, unauthorized: POST https://api.example.com"));
    outcome o;
    o.error = std::string("no answer: ") + (n > 1 ? "all " + std::to_string(n) + " agents" : "a01") + ": " + long_cause;
    s.shown.finish(o);
    CAF_CHECK_EQUAL(count(s.text(), "EXAMPLE_API_KEY"), 2u); // what happened, and how it ended
    CAF_CHECK(count(s.text(), "out, see above") <= 1);
  }
}

CAF_TEST(a later equal error names whose it is and a different one is told in full) {
  screen s;
  auto t = team_of(3);
  refuse(t, "a01", 1, long_cause);
  t.now_ms += 60'000;
  refuse(t, "a02", 2, long_cause);
  refuse(t, "a03", 3, "another cause");
  for (const auto& e : t.events)
    s.shown.on(e);
  outcome o;
  o.kind = outcome_kind::answered;
  s.shown.finish(o);
  CAF_CHECK_EQUAL(count(s.text(), "Incorrect API"), 1u);
  CAF_CHECK(s.has("a02  failed, for the same reason as a01\n"));
  CAF_CHECK(s.has("a03  failed, unauthorized: another cause\n"));
}

CAF_TEST(errors that wait for equal ones are shown by the clock) {
  screen s;
  auto t = team_of(3);
  refuse(t, "a02", 2, "no key");
  for (const auto& e : t.events)
    s.shown.on(e);
  CAF_CHECK(s.text().find("no key") == std::string::npos);
  s.now = t.now_ms + 5'000;
  s.shown.tick();
  CAF_CHECK(s.has("a02  failed, unauthorized: no key\n"));
  auto n = s.writes.size();
  s.shown.tick();
  CAF_CHECK_EQUAL(s.writes.size(), n);
}

CAF_TEST(twelve agents are events and a status line and no streams) {
  for (bool verbose : {false, true}) {
    screen s({.verbose = verbose, .width = 0});
    for (const auto& e : team_of(12).events)
      s.shown.on(e);
    for (std::uint64_t i = 1; i <= 12; ++i)
      s.say(i < 10 ? "a0" + std::to_string(i) : "a" + std::to_string(i), "some text\n", chunk_kind::text, i);
    CAF_CHECK_EQUAL(s.text().find("some text") != std::string::npos, verbose);
    s.say("a03", "files__read", chunk_kind::tool_call, 3);
    CAF_CHECK(s.has("a03  calls files__read\n"));
    CAF_CHECK(s.has("all 12 agents  start\n"));
  }
}

CAF_TEST(the status line says round and who is waited for and time and tokens) {
  auto t = team_of(12);
  for (std::uint64_t i = 1; i <= 8; ++i) {
    auto id = "a0" + std::to_string(i);
    t.call(id, i, 1, 1'000, 10);
    t.answer(id, i, "agent" + std::to_string(i) + ".1", "x", i);
  }
  auto& out = t.tell(event_type::agent_out, "a09", 9);
  out.reason = "gone";
  screen s({.progress = true, .width = 200});
  for (const auto& e : t.events)
    s.shown.on(e);
  s.now = story::start_ms + 65'000;
  s.shown.tick();
  auto shown = s.writes.back();
  CAF_CHECK_EQUAL(shown, "\r\x1b[K... round 0, answered 8 of 12, 1 out, waiting for a10, a11, a12, 65.0s, 8,080 tokens");
  auto n = s.writes.size();
  for (int i = 0; i < 9; ++i) { // ten ticks a second: one line a second
    s.now += 100;
    s.shown.tick();
  }
  CAF_CHECK_EQUAL(s.writes.size(), n);
  s.now += 100;
  s.shown.tick();
  CAF_CHECK_EQUAL(s.writes.size(), n + 1);
  s.shown.note("x");
  CAF_CHECK_EQUAL(s.writes[n + 1], "\r\x1b[K"); // cleared before other output
  CAF_CHECK(s.writes.back().ends_with("x\n"));
}

CAF_TEST(a narrow status line stays one line) {
  screen s({.progress = true, .width = 30});
  for (const auto& e : team_of(12).events)
    s.shown.on(e);
  s.now += 5'000;
  s.shown.tick();
  CAF_CHECK(columns(s.writes.back().substr(4)) < 30);
  screen wider({.progress = true, .width = 50}); // the names go before the time does
  for (const auto& e : team_of(12).events)
    wider.shown.on(e);
  wider.now = story::start_ms + 65'000;
  wider.shown.tick();
  CAF_CHECK_EQUAL(wider.writes.back(), "\r\x1b[K... round 0, answered 0 of 12, 65.0s");
}

CAF_TEST(one of a team that was out was left out of the line and the cause stood below) {
  for (const auto& causes : {std::vector<std::string>{"same", "same", "same"}, {"one", "two", "one"}, {"one", "two", "three"}}) {
    screen s({.width = 0});
    auto t = team_of(3);
    for (std::size_t i : {0u, 2u, 1u})
      refuse(t, t.events[0].labels[i], i + 1, causes[i]);
    for (const auto& e : t.events)
      s.shown.on(e);
    outcome o;
    o.error = "no answer: ";
    for (const auto& c : causes)
      o.error += c + "; ";
    s.shown.finish(o);
    auto out = s.text().find("all 3 agents  are out, see above\n");
    CAF_CHECK(out != std::string::npos);
    for (const auto& c : causes)
      CAF_CHECK(s.text().find("failed, unauthorized: " + c) < out);
  }
}

CAF_TEST(without a terminal the status is a line after half a minute of silence) {
  screen s({.width = 0});
  for (const auto& e : team_of(2).events)
    s.shown.on(e);
  s.now += 5'000;
  s.shown.tick();
  auto n = s.writes.size();
  for (int i = 0; i < 1'200; ++i) { // ten minutes
    s.now += 500;
    s.shown.tick();
  }
  CAF_CHECK(s.writes.size() - n >= 15 && s.writes.size() - n <= 20);
  CAF_CHECK(s.has("round 0, answered 0 of 2, waiting for a01, a02, "));
  CAF_CHECK(s.text().find('\r') == std::string::npos);
}

CAF_TEST(an answer that is printed at the end is not streamed before) {
  for (bool follows : {true, false}) {
    screen s({.answer_follows = follows});
    auto t = team_of(1);
    t.answer("a01", 1, "agent1.1", "42", 1);
    t.tell(event_type::presentation_started, "a01", 7);
    auto& run = t.tell(event_type::run_started, "a01", 7);
    run.number = 1;
    for (const auto& e : t.events)
      s.shown.on(e);
    s.say("a01", "work\n", chunk_kind::text, 1);
    s.say("a01", "It is 42.\n", chunk_kind::text, 7);
    CAF_CHECK(s.has(" | work\n"));
    CAF_CHECK_EQUAL(s.text().find(" > It is 42.\n") == std::string::npos, follows);
    CAF_CHECK_EQUAL(count(s.text(), "presents"), 1u);
    CAF_CHECK_EQUAL(count(s.text(), "start"), 1u);
  }
}

CAF_TEST(thoughts and text and answer are told apart without colour) {
  screen s({.verbose = true});
  auto t = team_of(1);
  t.answer("a01", 1, "agent1.1", "42", 1);
  t.tell(event_type::presentation_started, "a01", 7);
  for (const auto& e : t.events)
    s.shown.on(e);
  s.say("a01", "hmm\n", chunk_kind::reasoning, 1);
  s.say("a01", "so\n", chunk_kind::text, 1);
  s.say("a01", "42\n", chunk_kind::text, 7);
  CAF_CHECK(s.has("a01 ~ hmm\n"));
  CAF_CHECK(s.has("a01 | so\n"));
  CAF_CHECK(s.has("a01 > 42\n"));
  CAF_CHECK_EQUAL(count(s.text(), "~ thoughts, | text, > the final answer"), 1u); // said once
}

CAF_TEST(what was not reported is unknown and never nothing) {
  auto use = [](std::int64_t in, std::int64_t out, std::int64_t requests, std::int64_t unreported) {
    usage u;
    u.input_tokens = in;
    u.output_tokens = out;
    u.requests = requests;
    u.unreported = unreported;
    return u;
  };
  CAF_CHECK_EQUAL(tokens_text(use(1'200, 34, 2, 0)), "1,200 tokens in, 34 out");
  CAF_CHECK_EQUAL(tokens_text(use(1'200, 34, 2, 2)), "at least 1,200 tokens in, 34 out (2 calls unreported)");
  CAF_CHECK_EQUAL(tokens_text(use(0, 0, 2, 2)), "tokens unknown");
  CAF_CHECK_EQUAL(tokens_text(use(10, 1, 2, 0), 1), "at least 10 tokens in, 1 out (1 call without an end)");
  CAF_CHECK_EQUAL(tokens_text(use(15, 0, 3, 3)), "at least 15 tokens in, out unknown (3 calls unreported)");
  CAF_CHECK_EQUAL(tokens_text(use(0, 12, 3, 3)), "tokens in unknown, at least 12 out (3 calls unreported)");
  CAF_CHECK_EQUAL(tokens_text(use(15, 0, 3, 0)), "15 tokens in, 0 out"); // as it was counted
  CAF_CHECK_EQUAL(tokens_in_all(use(15, 0, 2, 1)), "at least 15 tokens");
  CAF_CHECK_EQUAL(tokens_in_all(use(1'200, 34, 2, 1)), "at least 1,234 tokens");
  CAF_CHECK_EQUAL(tokens_in_all(use(0, 0, 2, 1)), "tokens unknown");
  CAF_CHECK_EQUAL(calls_text(3, use(0, 0, 0, 0)), "3 calls"); // not asked over HTTP
  CAF_CHECK_EQUAL(calls_text(3, use(0, 0, 3, 0)), "3 calls");
  CAF_CHECK_EQUAL(calls_text(1, use(0, 0, 9, 0)), "1 call (9 requests)");

  story::teller t;
  t.session("q", {"a", "b"});
  t.run("a", 1, 0, 0, {});
  t.run("b", 2, 0, 0, {});
  t.call("a", 1, 1, 1'000, 200);
  t.events.back().use.requests = 2;
  t.call("a", 1, 2, 0, 0);
  t.events.back().use.requests = t.events.back().use.unreported = 1;
  t.call("b", 2, 1, 0, 0); // a log that does not say what was unreported
  screen s({.verbose = true});
  for (const auto& e : t.events)
    s.shown.on(e);
  s.shown.finish(answered());
  CAF_CHECK(s.has("model call 2 finished, tokens unknown\n"));
  CAF_CHECK(s.has("model call 1 finished, 1,000 tokens in, 200 out (2 requests)\n"));
  CAF_CHECK(s.has("a    2 calls (3 requests), at least 1,000 tokens in, 200 out (1 call unreported)\n"));
  CAF_CHECK(s.has("b    1 call, tokens unknown\n"));
  CAF_CHECK(s.has("all  3 calls, at least 1,000 tokens in, 200 out (2 calls unreported)\n"));
  CAF_CHECK(s.text().find("0 tokens in, 0") == std::string::npos);
}

CAF_TEST(a try that ends like the one before is not told again) {
  for (bool verbose : {false, true}) {
    screen s({.verbose = verbose});
    auto t = team_of(3);
    for (const auto& e : t.events)
      s.shown.on(e);
    auto say = [&](const std::string& agent, int ms) {
      s.say(agent, "POST http://127.0.0.1:9/v1: connection refused; trying again in " + std::to_string(ms) + " ms",
            chunk_kind::status);
      s.now += 2'000;
      s.shown.tick();
    };
    for (auto id : {"a01", "a02", "a03"})
      for (int ms : {500, 900})
        say(id, ms);
    CAF_CHECK_EQUAL(count(s.text(), "connection refused"), 1u);
    CAF_CHECK_EQUAL(count(s.text(), "trying again in"), verbose ? 6u : 1u);
    t.events.clear();
    t.now_ms = s.now;
    refuse(t, "a01", 1, "POST http://127.0.0.1:9/v1: connection refused", ec::unavailable);
    for (const auto& e : t.events)
      s.shown.on(e);
    s.shown.finish(answered());
    CAF_CHECK_EQUAL(count(s.text(), "connection refused"), 1u);
    CAF_CHECK(s.has("a01  failed, for the same reason\n"));
  }
}

CAF_TEST(the status line comes back after a line that took its place) {
  screen s({.progress = true});
  auto t = team_of(6);
  for (const auto& e : t.events)
    s.shown.on(e);
  s.now += 5'000;
  s.shown.tick();
  CAF_CHECK(s.writes.back().find("answered 0 of 6") != std::string::npos);
  s.now += 1'000;
  t.events.clear();
  t.answer("a01", 1, "agent1.1", "x", 1);
  s.shown.on(t.events[0]);
  auto n = s.writes.size();
  CAF_REQUIRE(n > 2u);
  CAF_CHECK_EQUAL(s.writes[n - 3], "\r\x1b[K");
  CAF_CHECK(s.writes[n - 2].ends_with("answered (1 character)\n"));
  CAF_CHECK(s.writes[n - 1].find("answered 1 of 6") != std::string::npos);
}

CAF_TEST(a long line that is piped comes in pieces of a second) {
  screen s({.width = 0});
  for (const auto& e : two_agents().events)
    s.shown.on(e);
  s.say("me", "half a thou", chunk_kind::text, 2);
  s.shown.tick();
  CAF_CHECK(s.text().find("half") == std::string::npos);
  s.now += 1'000;
  s.shown.tick();
  CAF_CHECK(s.text().find("half") == std::string::npos); // a slow model would write a word a line
  s.now += 9'000;
  s.shown.tick();
  CAF_CHECK(s.has("me     | half a\n"));
  s.say("me", "ght that goes on for longer than a few words and has no end", chunk_kind::text, 2);
  s.now += 1'000;
  s.shown.tick();
  CAF_CHECK(s.has("me     | thought that goes on for longer than a few words and has no\n"));
  s.say("me", "ing\n", chunk_kind::text, 2);
  CAF_CHECK(s.has("me     | ending\n"));
}
