// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.simulated_outside

// Actors that so far needed a real world, in one that a test plays.

#include "support/simulated_outside.hpp"

#include "actors/backend.hpp"
#include "actors/native_tool.hpp"
#include "support/fixture.hpp"

#include <optional>

using namespace conclave;
using namespace conclave::test;
using namespace std::chrono_literals;

namespace {

struct world_fixture : fixture {
  simulated_world world;
  std::optional<completion> completed;
  std::optional<tool_result> worked;
  http_transfers::callbacks wire;
  backend_actor model;

  void ask(std::int64_t first_token_ms, std::int64_t idle_ms) {
    world.http = [this](http_request, http_transfers::callbacks cb) {
      wire = std::move(cb);
      return std::uint64_t{7};
    };
    world.http_cancel = [this](std::uint64_t id) {
      CAF_CHECK_EQUAL(id, 7u);
      http_end end;
      end.code = ec::cancelled;
      end.status = 200;
      end.sent = true;
      if (auto done = std::exchange(wire.on_done, nullptr))
        done(std::move(end));
    };
    backend_parts parts;
    parts.dialect = wire::find_dialect("openai_chat");
    parts.http = std::make_shared<simulated_outside>(sys, world)->open_http({});
    parts.endpoint.base_url = "http://model.example/v1";
    model = spawn_backend(sys, std::move(parts));
    model_request r;
    r.task = "t";
    r.agent = "ada";
    r.run = r.call = 1;
    r.model = "m";
    r.messages.push_back({role::user, "go", "", {}, "", false, "", ""});
    r.total_timeout_ms = 3'600'000;
    r.first_token_timeout_ms = first_token_ms;
    r.idle_timeout_ms = idle_ms;
    auto get = [this](caf::event_based_actor* asker, model_request req) {
      asker->request(model, caf::infinite, std::move(req), chunk_sink_actor{})
          .then([this](completion& c) { completed = std::move(c); }, [](const caf::error&) { CAF_FAIL("no completion"); });
    };
    sys.spawn(get, std::move(r));
    settle();
    http_head head;
    head.status = 200;
    head.headers = {{"content-type", "text/event-stream"}};
    wire.on_head(std::move(head));
  }

  void say(const std::string& text) {
    wire.on_data("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + text + "\"}}]}\n\n");
    settle();
  }

  void wait(std::chrono::milliseconds time) {
    advance_time(time);
    settle();
  }

  tool_source_actor look(const std::shared_ptr<outside>& from, std::function<std::string(const std::string&)> f) {
    return spawn_native_tool(sys, from, {{"look", "looks", "{\"type\":\"object\"}"}, {}}, std::move(f));
  }

  void call(const tool_source_actor& tool, std::int64_t timeout_ms) {
    tool_invocation i;
    i.task = "t";
    i.agent = "a";
    i.run = 7;
    i.call = {"c1", "look", "{}"};
    i.timeout_ms = timeout_ms;
    auto get = [this](caf::event_based_actor* asker, tool_source_actor to, tool_invocation what) {
      asker->request(to, caf::infinite, std::move(what))
          .then([this](tool_result& r) { worked = std::move(r); }, [](const caf::error&) { CAF_FAIL("no result"); });
    };
    sys.spawn(get, tool, std::move(i));
    settle();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(simulated_outside_tests, world_fixture)

CAF_TEST(the silence of a stream is measured by the clock of the actors) {
  ask(600'000, 10'000);
  wait(60s);
  say("one");
  wait(9s);
  say("two");
  wait(9s);
  CAF_CHECK(!completed);
  wait(2s);
  CAF_REQUIRE(completed);
  CAF_CHECK_EQUAL(completed->code, ec::timeout);
  CAF_CHECK(completed->error.find("silent for 10 s") != std::string::npos);
  CAF_CHECK_EQUAL(completed->text, "onetwo");
  kill(model);
}

CAF_TEST(a stream that goes on for an hour is not silent) {
  ask(600'000, 10'000);
  for (int i = 0; i < 400; ++i) {
    say("x");
    wait(9s);
  }
  CAF_CHECK(!completed);
  kill(model);
}

CAF_TEST(a native tool works in the time of the actors) {
  world.job_takes = [] { return 5'000ms; };
  auto from = std::make_shared<simulated_outside>(sys, world);
  auto calls = 0;
  auto tool = look(from, [&calls](const std::string&) { return "seen " + std::to_string(++calls); });
  call(tool, 20'000);
  wait(4s);
  CAF_CHECK(!worked && calls == 0);
  wait(1s);
  CAF_REQUIRE(worked);
  CAF_CHECK_EQUAL(worked->text, "seen 1");
  call(tool, 3'000); // is late
  wait(3s);
  CAF_CHECK(worked->is_error);
  kill(tool);
}

CAF_TEST(an outside that is cut runs nothing any more and says nothing) {
  auto from = std::make_shared<simulated_outside>(sys, world);
  auto calls = 0;
  auto tool = look(from, [&calls](const std::string&) { return std::to_string(++calls); });
  from->cut();
  call(tool, 3'000);
  wait(2s);
  CAF_CHECK(!worked && calls == 0);
  from->start_child({}, {nullptr, [](child_exit) { CAF_FAIL("told of a child"); }});
  http_transfers::callbacks cb;
  cb.on_done = [](http_end) { CAF_FAIL("told of a transfer"); };
  from->open_http({})->start({}, std::move(cb));
  wait(2s);
  kill(tool);
}

CAF_TEST(what an owner draws depends on no other) {
  simulated_outside one(sys, world), other(sys, world);
  auto a = one.random("orchestrator t1")(), b = one.random("breaker of a in t1")();
  CAF_CHECK(a != b);
  CAF_CHECK_EQUAL(other.random("breaker of a in t1")(), b);
  CAF_CHECK_EQUAL(other.random("orchestrator t1")(), a);
  CAF_CHECK(one.random("orchestrator t1")() != a); // its next stream
  CAF_CHECK_EQUAL(one.new_task_id().substr(0, 15), "20260921-141320");
}

CAF_TEST_FIXTURE_SCOPE_END()
