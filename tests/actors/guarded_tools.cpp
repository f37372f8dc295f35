// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.guarded_tools

#include "actors/circuit_breaker.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/tool_waits.hpp"
#include "support/fixture.hpp"

#include <deque>

using namespace conclave;
using std::chrono::seconds;

namespace {

struct source_state {
  std::deque<ec> errors; ///< `none` = a result
  std::string sentence = "it says no", text = "ok";
  bool error_result = false;
  int calls = 0;
  int cancels = 0;
};

tool_source_actor::behavior_type source(std::shared_ptr<source_state> st) {
  return {
      [st](list_tools) -> caf::result<tool_list> {
        return tool_list{"x", {{{"y", st->text, "{}"}, {}}}, {st->text}};
      },
      [st](const tool_invocation& i) -> caf::result<tool_result> {
        ++st->calls;
        auto code = ec::none;
        if (!st->errors.empty()) {
          code = st->errors.front();
          st->errors.pop_front();
        }
        if (code != ec::none)
          return make_error(code, st->sentence);
        return tool_result{i.call.id, st->text, st->error_result};
      },
      [st](const cancel_tools&) { ++st->cancels; },
  };
}

struct tools_fixture : conclave::test::fixture {
  std::shared_ptr<source_state> st = std::make_shared<source_state>();
  std::shared_ptr<known_secrets> hidden = std::make_shared<known_secrets>(secrets{});
  tool_source_actor guarded;
  tool_source_actor guard;
  std::vector<tool_result> done;
  std::vector<caf::error> failed;
  std::vector<caf::actor> callers;

  tools_fixture() {
    guarded = sys.spawn(source, st);
    guard = spawn_guarded_tools(sys, guarded, "mcp server x", seconds(30), hidden);
  }

  ~tools_fixture() {
    kill(guard);
    kill(guarded);
    for (auto& c : callers)
      kill(c);
  }

  void call() {
    tool_invocation i;
    i.task = "t";
    i.agent = "a";
    i.call = {"c1", "mcp__x__y", "{}"};
    callers.push_back(sys.spawn([this, i](caf::event_based_actor* me) {
      me->request(guard, caf::infinite, i)
          .then([this](tool_result& r) { done.push_back(std::move(r)); },
                [this](caf::error& e) { failed.push_back(std::move(e)); });
    }));
    settle();
  }

  void trip() {
    st->errors = {ec::unavailable, ec::timeout, ec::bad_reply};
    for (int i = 0; i < 3; ++i)
      call();
    CAF_REQUIRE_EQUAL(failed.size(), 3u);
    failed.clear();
    st->calls = 0;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(guarded_tools_tests, tools_fixture)

CAF_TEST(a lost source is refused without trying after three failures) {
  trip();
  call();
  CAF_CHECK_EQUAL(st->calls, 0);
  CAF_REQUIRE_EQUAL(failed.size(), 1u);
  CAF_CHECK(code_of(failed[0]) == ec::breaker_open);
  CAF_CHECK(text_of(failed[0]).find("mcp server x") != std::string::npos);
  advance_time(seconds(30));
  call();
  CAF_CHECK_EQUAL(st->calls, 1);
  CAF_CHECK_EQUAL(done.size(), 1u);
}

CAF_TEST(what is secret is in no result and no error) {
  secrets keys;
  keys.add_key("sk-planted-1234");
  keys.add_key("short");
  hidden->add(keys); // of an agent that was hired after the guard was made
  st->text = R"(short sk-planted-1234 {"k":"sk\u002dplanted-1234"})";
  call();
  CAF_REQUIRE_EQUAL(done.size(), 1u);
  CAF_CHECK_EQUAL(done[0].text, R"(short *** {"k":"***"})"); // what is short is a word like any other
  std::string listed;
  callers.push_back(sys.spawn([&](caf::event_based_actor* me) {
    me->request(guard, caf::infinite, list_tools{}).then([&](const tool_list& t) {
      listed = t.tools[0].spec.description + t.notes[0];
    });
  }));
  settle();
  CAF_CHECK_EQUAL(listed, R"(short *** {"k":"***"}short *** {"k":"***"})");
  st->error_result = true;
  call();
  CAF_CHECK_EQUAL(done[1].text, R"(short *** {"k":"***"})");
  st->errors = {ec::bad_reply};
  st->sentence = "cannot read sk-planted-1234";
  call();
  CAF_REQUIRE_EQUAL(failed.size(), 1u);
  CAF_CHECK_EQUAL(text_of(failed[0]), "mcp server x: cannot read ***");
  st->text = std::string(std::size_t{17} << 20, 'x');
  call();
  CAF_CHECK(done.back().text.size() <= (std::size_t{16} << 20) + 100 && done.back().text.find("[cut: ") != std::string::npos);
}

CAF_TEST(a tool that fails by itself is never held against its source) {
  st->error_result = true;
  for (int i = 0; i < 10; ++i)
    call();
  CAF_CHECK_EQUAL(st->calls, 10);
  CAF_CHECK_EQUAL(done.size(), 10u);
}

CAF_TEST(a tool call is never tried again) {
  st->errors = {ec::unavailable};
  call();
  advance_time(seconds(60));
  settle();
  CAF_CHECK_EQUAL(st->calls, 1);
  CAF_CHECK_EQUAL(failed.size(), 1u);
}

CAF_TEST(a probe that says nothing of the source does not shut the gate for ever) {
  for (auto code : {ec::cancelled, ec::denied, ec::bad_config, ec::version_mismatch}) {
    trip();
    advance_time(seconds(300));
    st->errors = {code};
    call();
    CAF_CHECK_EQUAL(st->calls, 1);
    failed.clear();
    call();
    CAF_CHECK_EQUAL(st->calls, 2);
    CAF_CHECK_EQUAL(failed.size(), 0u);
  }
}

CAF_TEST(each level waits longer than what it waits for) {
  backend_config b;
  b.mcp_servers.resize(2);
  CAF_CHECK_EQUAL(b.mcp_servers[0].startup_timeout_ms, 60'000);
  for (std::int64_t ms : {1'000, 20'000, 60'000, 3'600'000}) {
    b.mcp_servers[1].startup_timeout_ms = ms;
    auto start = tool_waits::start(b.mcp_servers[1]);
    CAF_CHECK(2 * tool_waits::step(b.mcp_servers[1]) <= start); // 20 s to start and 15 s to list fit into 20 s each
    CAF_CHECK(start < tool_waits::guard_list(start));
    CAF_CHECK(tool_waits::guard_list(start) < tool_waits::agent_list(start));
    CAF_CHECK(tool_waits::agent_list(start) < tool_waits::node_ready(b));
    CAF_CHECK(tool_waits::node_ready(b) < tool_waits::hire(b));
    CAF_CHECK(start + seconds(7) < tool_waits::guard_call(start, seconds(7)));
    CAF_CHECK(tool_waits::guard_call(start, seconds(7)) < tool_waits::agent_call(start, seconds(7)));
  }
  b.mcp_servers[1].startup_timeout_ms = INT64_MAX;
  CAF_CHECK(tool_waits::hire(b) < std::chrono::hours(3));
}

CAF_TEST(a source that names itself is not named twice) {
  st->errors = {ec::unavailable};
  call();
  CAF_REQUIRE_EQUAL(failed.size(), 1u);
  CAF_CHECK_EQUAL(text_of(failed[0]), "mcp server x: it says no");
  st->errors = {ec::unavailable};
  st->sentence = "mcp server x ended";
  call();
  CAF_CHECK_EQUAL(text_of(failed[1]), "mcp server x ended");
}

CAF_TEST(cancelling passes through a closed gate) {
  trip();
  caf::anon_send(guard, cancel_tools{"t", "a", 1});
  settle();
  CAF_CHECK_EQUAL(st->cancels, 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
