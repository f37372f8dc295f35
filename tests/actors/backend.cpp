// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.backend

// A model connection between a real HTTP server and a sink. Bytes are decoded on the transport's thread, so the scheduler is the
// real one.

#include "actors/backend.hpp"

#include "actors/message_types.hpp"
#include "caf/test/dsl.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/dialect.hpp"
#include "support/http_probe.hpp"
#include "support/imposter.hpp"
#include "transports/http_client.hpp"

#include <caf/all.hpp>

using namespace conclave;
using namespace conclave::test;
using namespace std::chrono_literals;

namespace {

struct config : caf::actor_system_config {
  config() {
    add_messages(*this);
    set("scheduler.policy", caf::atom("sharing"));
  }
};

/// What the sink has seen; shared with the test's thread.
struct watched {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<chunk_batch> batches;

  std::string text() const {
    std::string all;
    for (auto& b : batches)
      for (auto& c : b.chunks)
        all += c.text;
    return all;
  }
};

event_sink_actor::behavior_type watch(event_sink_actor::pointer, std::shared_ptr<watched> seen) {
  return {[](const event&) {},
          [seen](chunk_batch& b) {
            std::lock_guard guard{seen->mutex};
            seen->batches.push_back(std::move(b));
            seen->changed.notify_all();
          },
          [](const chunk_delivery&) { return chunk_ack{}; }};
}

std::string piece(const std::string& text) {
  return "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + text + "\"}}]}\n\n";
}

const auto stop = std::string{"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"};

struct backend_fixture {
  imposter server;
  config cfg;
  caf::actor_system sys{cfg};
  caf::scoped_actor me{sys};
  std::shared_ptr<watched> seen = std::make_shared<watched>();
  event_sink_actor sink = sys.spawn(watch, seen);
  backend_actor aut;

  backend_fixture() {
    backend_parts parts;
    parts.dialect = wire::find_dialect("openai_chat");
    parts.http = std::make_shared<http_client>();
    parts.endpoint.base_url = server.url("/v1");
    aut = spawn_backend(sys, std::move(parts));
  }

  ~backend_fixture() {
    caf::anon_send_exit(aut, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
  }

  void replies(reply r) { server.when("/v1/chat/completions", std::move(r)); }

  model_request ask(std::uint64_t run = 1) {
    model_request r;
    r.task = "t";
    r.agent = "ada";
    r.run = run;
    r.call = run;
    r.model = "m";
    r.messages.push_back({role::user, "go", "", {}, "", false, "", ""});
    return r;
  }

  bool sees(const std::string& text) {
    std::unique_lock guard{seen->mutex};
    return seen->changed.wait_for(guard, 10s, [&] { return seen->text() == text; });
  }

  bool sees_anything() {
    std::lock_guard guard{seen->mutex};
    return !seen->batches.empty();
  }

  template <class Pending>
  completion result(Pending&& pending) {
    completion got;
    got.error = "no completion";
    pending.receive([&](completion& c) { got = std::move(c); }, [&](const caf::error& e) { got.error = me->system().render(e); });
    return got;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(backend_tests, backend_fixture)

CAF_TEST(a chunk is with the sink before the next one is sent) {
  replies(reply{}.sse().send(piece("one ")).gate("a").send(piece("two ")).gate("b").send(piece("three")).send(stop));
  auto pending = me->request(aut, 20s, ask(), caf::actor_cast<chunk_sink_actor>(sink));
  CAF_CHECK(sees("one "));
  server.open("a");
  CAF_CHECK(sees("one two "));
  server.open("b");
  auto c = result(pending);
  CAF_CHECK_EQUAL(c.status, completion_status::finished);
  CAF_CHECK_EQUAL(c.text, "one two three");
  CAF_CHECK(sees("one two three"));
  std::lock_guard guard{seen->mutex};
  for (auto& b : seen->batches) {
    CAF_CHECK_EQUAL(b.task, "t");
    CAF_CHECK_EQUAL(b.agent, "ada");
    CAF_CHECK_EQUAL(b.run, 1u);
  }
}

CAF_TEST(a server that does not know stream_options is asked again without it and never with it) {
  auto unknown =
      R"({"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]})";
  // Two calls at once: both were sent with the field before the first refusal came.
  replies(reply{}.status(422).header("Content-Type", "application/json").gate("a").send(unknown));
  replies(reply{}.status(422).header("Content-Type", "application/json").gate("a").send(unknown));
  for (int i = 0; i < 3; ++i)
    replies(reply{}.sse().send(piece("fine")).send(stop));
  auto one = me->request(aut, 20s, ask(1), caf::actor_cast<chunk_sink_actor>(sink));
  auto two = me->request(aut, 20s, ask(2), caf::actor_cast<chunk_sink_actor>(sink));
  CAF_CHECK(server.wait([](auto& s) { return s.requests.size() == 2; }));
  server.open("a");
  CAF_CHECK_EQUAL(result(one).text, "fine");
  CAF_CHECK_EQUAL(result(two).text, "fine");
  CAF_CHECK_EQUAL(result(me->request(aut, 20s, ask(3), caf::actor_cast<chunk_sink_actor>(sink))).text, "fine");
  auto sent = server.inspect().requests;
  CAF_REQUIRE_EQUAL(sent.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i)
    CAF_CHECK_EQUAL(sent[i].body.find("stream_options") != std::string::npos, i < 2);
}

CAF_TEST(a server that refuses the request in any form is asked twice at most) {
  for (int i = 0; i < 2; ++i)
    replies(
        reply{}.status(400).header("Content-Type", "application/json").send(R"({"error":{"message":"no stream_options here"}})"));
  auto c = result(me->request(aut, 20s, ask(), caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.code, ec::bad_request);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 2u);
}

CAF_TEST(a refusal is answered by another request that is told once and counted) {
  auto refuses =
      reply{}.status(400).header("Content-Type", "application/json").send(R"({"error":{"message":"System role not supported"}})");
  replies(refuses);
  for (int i = 0; i < 2; ++i)
    replies(reply{}.sse().send(piece("fine")).send(stop));
  auto request = ask(1);
  request.messages.insert(request.messages.begin(), {role::system, "Be brief.", "", {}, "", false, "", ""});
  auto c = result(me->request(aut, 20s, request, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.text, "fine");
  CAF_CHECK_EQUAL(c.usage.requests, 2);
  c = result(me->request(aut, 20s, request, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.usage.requests, 1);
  CAF_CHECK(server.inspect().requests[2].body.find("system") == std::string::npos);
  std::unique_lock guard{seen->mutex};
  CAF_CHECK(
      seen->changed.wait_for(guard, 10s, [&] { return seen->text().ends_with("finefine") || seen->text().ends_with("brief"); }));
  auto told = seen->text();
  CAF_CHECK(told.find("System role not supported") != std::string::npos && told.find("System role") == told.rfind("System role"));
}

CAF_TEST(a refusal inside a stream is answered by another request too) {
  replies(reply{}.sse().send("event: error\ndata: {\"error\":{\"message\":\"roles must alternate\",\"code\":500}}\n\n").hang());
  replies(reply{}.sse().send(piece("fine")).send(stop));
  auto request = ask(1);
  request.messages.insert(request.messages.begin(), {role::system, "Be brief.", "", {}, "", false, "", ""});
  auto c = result(me->request(aut, 20s, request, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.text, "fine");
  CAF_CHECK_EQUAL(c.usage.requests, 2);
}

CAF_TEST(a server that always finds another fault is not asked for ever) {
  auto request = ask(1);
  for (int i = 0; i < 40; ++i) {
    auto name = "tool" + std::to_string(i);
    request.tools.push_back({name, "", "{}"});
    replies(reply{}
                .status(400)
                .header("Content-Type", "application/json")
                .send(R"({"error":{"message":"Invalid schema for function ')" + name + R"('"}})"));
  }
  auto c = result(me->request(aut, 20s, request, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.code, ec::bad_request);
  CAF_CHECK_EQUAL(c.usage.requests, 9);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 9u);
}

CAF_TEST(a request that was cut off was sent and one that met no server was not ) {
  replies(reply{}.sse().send(piece("half")).reset());
  CAF_CHECK_EQUAL(result(me->request(aut, 20s, ask(1), caf::actor_cast<chunk_sink_actor>(sink))).usage.requests, 1);
  closed_port nobody;
  backend_parts parts;
  parts.dialect = wire::find_dialect("openai_chat");
  parts.http = std::make_shared<http_client>();
  parts.endpoint.base_url = nobody.url;
  auto other = spawn_backend(sys, std::move(parts));
  auto c = result(me->request(other, 20s, ask(1), caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK(c.code == ec::unavailable && c.usage.requests == 0);
  caf::anon_send_exit(other, caf::exit_reason::user_shutdown);
}

CAF_TEST(every redirect that is followed is a request and none goes beyond what the call may cost) {
  auto moved = [&] { replies(reply{"moved"}.status(307).header("Location", "/v1/chat/completions")); };
  moved();
  moved();
  replies(reply{}.sse().send(piece("fine")).send(stop));
  moved();
  moved();
  auto c = result(me->request(aut, 20s, ask(1), caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.text, "fine");
  CAF_CHECK_EQUAL(c.usage.requests, 3);
  auto request = ask(2);
  request.max_requests = 2;
  c = result(me->request(aut, 20s, request, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.code, ec::unavailable);
  CAF_CHECK_EQUAL(c.usage.requests, 2);
  CAF_CHECK(c.error.find("not followed, the requests of this round are used up") != std::string::npos);
  CAF_CHECK_EQUAL(server.inspect().requests.size(), 5u);
}

CAF_TEST(a complete reply does not wait for the end of the connection) {
  replies(reply{}.sse().send(piece("all")).send(stop).send(piece("more")).hang());
  auto c = result(me->request(aut, 20s, ask(), caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.status, completion_status::finished);
  CAF_CHECK_EQUAL(c.text, "all");
  // The connection that does not end is let go.
  CAF_CHECK(server.wait([](auto& s) { return s.closed_by_client == 1; }));
  CAF_CHECK(sees("all"));
}

CAF_TEST(a reply under a schema is not shown) {
  replies(reply{}.sse().send(piece("hidden")).send(stop));
  auto r = ask();
  r.schema = "{\"type\":\"object\"}";
  auto c = result(me->request(aut, 20s, r, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.text, "hidden");
  // What was sent to the sink before the completion is in its mailbox ahead of this.
  me->request(sink, 10s, chunk_delivery{}).receive([](chunk_ack) {}, [](const caf::error& e) { CAF_FAIL(to_string(e)); });
  CAF_CHECK(!sees_anything());
}

CAF_TEST(a cancelled call keeps its text and others go on) {
  replies(reply{}.sse().send(piece("so far")).hang());
  replies(reply{}.sse().send(piece(" and on")).gate("end").send(stop));
  auto pending = me->request(aut, 20s, ask(1), caf::actor_cast<chunk_sink_actor>(sink));
  CAF_REQUIRE(sees("so far"));
  auto other = me->request(aut, 20s, ask(2), caf::actor_cast<chunk_sink_actor>(sink));
  CAF_REQUIRE(sees("so far and on"));
  me->request(aut, 5s, cancel_call{"t", "ada", 1, 0})
      .receive([](const cancel_done&) {}, [](const caf::error& e) { CAF_FAIL(to_string(e)); });
  auto c = result(pending);
  CAF_CHECK_EQUAL(c.status, completion_status::cancelled);
  CAF_CHECK_EQUAL(c.text, "so far");
  server.open("end");
  CAF_CHECK_EQUAL(result(other).status, completion_status::finished);
}

CAF_TEST(a connection that is closed ends its calls and then itself) {
  replies(reply{}.sse().send(piece("so far")).hang());
  auto pending = me->request(aut, 20s, ask(), caf::actor_cast<chunk_sink_actor>(sink));
  CAF_REQUIRE(sees("so far"));
  me->send_exit(aut, caf::exit_reason::user_shutdown);
  auto c = result(pending);
  CAF_CHECK_EQUAL(c.status, completion_status::cancelled);
  CAF_CHECK_EQUAL(c.text, "so far");
  me->wait_for(aut);
  CAF_CHECK(server.wait([](auto& s) { return s.closed_by_client == 1; }));
}

CAF_TEST(silence is ended by the limit it meets) {
  replies(reply{}.sse().send(": waiting\n\n").hang());
  replies(reply{}.sse().send(piece("then nothing")).hang());
  auto r = ask(1);
  r.first_token_timeout_ms = 300;
  r.idle_timeout_ms = 60'000;
  auto c = result(me->request(aut, 20s, r, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.code, ec::timeout);
  CAF_CHECK(c.error.find("no first token") != std::string::npos);
  r.first_token_timeout_ms = 60'000;
  r.idle_timeout_ms = 300;
  c = result(me->request(aut, 20s, r, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.code, ec::timeout);
  CAF_CHECK(c.error.find("silent") != std::string::npos);
  CAF_CHECK_EQUAL(c.text, "then nothing");
}

CAF_TEST(pings hold no stalled stream) {
  auto stalled = reply{}.sse().send(piece("then nothing"));
  for (int i = 0; i < 50; ++i)
    stalled.send(i % 2 == 0 ? ": ping\n\n" : "event: ping\ndata: {}\n\n").pause(100ms);
  replies(stalled.hang());
  auto r = ask();
  r.idle_timeout_ms = 500;
  auto before = std::chrono::steady_clock::now();
  auto c = result(me->request(aut, 20s, r, caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(c.code, ec::timeout);
  CAF_CHECK_EQUAL(c.text, "then nothing");
  CAF_CHECK(std::chrono::steady_clock::now() - before < 4s); // the pings go on for five
}

CAF_TEST(a stop reason completes a reply whose end marker never comes) {
  auto reason = R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"
                "\n\n";
  replies(reply{}.sse().send(piece("fine")).send(reason).send(": ping\n\n").hang());
  replies(reply{}.sse().send(piece("also fine")).send(reason).reset());
  auto held = me->request(aut, 30s, ask(1), caf::actor_cast<chunk_sink_actor>(sink));
  CAF_REQUIRE(sees("fine"));
  auto cut = result(me->request(aut, 30s, ask(2), caf::actor_cast<chunk_sink_actor>(sink)));
  CAF_CHECK_EQUAL(cut.status, completion_status::finished);
  CAF_CHECK_EQUAL(cut.text, "also fine");
  auto c = result(held);
  CAF_CHECK_EQUAL(c.status, completion_status::finished);
  CAF_CHECK_EQUAL(c.text, "fine");
}

CAF_TEST_FIXTURE_SCOPE_END()
