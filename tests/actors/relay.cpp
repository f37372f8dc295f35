// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.relay

// A relay between two nodes, earth and mars, in one process: CAF's fixture carries the bytes, no socket is used.

#include "actors/relay.hpp"

#include "actors/message_types.hpp"
#include "caf/test/io_dsl.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>

using namespace conclave;

namespace {

struct config : caf::actor_system_config {
  config() {
    add_messages(*this);
    load<caf::io::middleman>();
  }
};

struct sink_state {
  std::vector<chunk_delivery> got;
  std::vector<caf::typed_response_promise<chunk_ack>> held;
  bool ack = true;
};

event_sink_actor::behavior_type far_sink(event_sink_actor::pointer self, std::shared_ptr<sink_state> st) {
  return {[st](const event&) { // the test asks for what was held
            for (auto& p : st->held)
              p.deliver(chunk_ack{});
            st->held.clear();
          },
          [](const chunk_batch&) {},
          [self, st](chunk_delivery& d) -> caf::result<chunk_ack> {
            st->got.push_back(std::move(d));
            if (st->ack)
              return chunk_ack{};
            st->held.push_back(self->make_response_promise<chunk_ack>());
            return caf::delegated<chunk_ack>{};
          }};
}

struct relay_fixture : point_to_point_fixture<test_coordinator_fixture<config>> {
  std::shared_ptr<sink_state> st = std::make_shared<sink_state>();
  event_sink_actor sink;
  chunk_sink_actor relay;

  relay_fixture() {
    prepare_connection(mars, earth, "mars", 8080);
    sink = mars.sys.spawn(far_sink, st);
    loop_after_next_enqueue(mars);
    CAF_CHECK_EQUAL(mars.publish(sink, 8080), 8080);
    loop_after_next_enqueue(earth);
    auto seen = earth.remote_actor<event_sink_actor>("mars", 8080);
    relay = spawn_relay(earth.sys, seen);
    settle();
  }

  ~relay_fixture() {
    st->held.clear();
    caf::anon_send_exit(relay, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(sink, caf::exit_reason::user_shutdown);
    relay = nullptr;
    sink = nullptr;
    settle();
  }

  /// As exec_all(), but timers stay where they are. Bytes may need one more look after everything seemed idle.
  void settle() {
    auto step = [](auto& x) {
      auto ran = x.sched.try_run_once();
      auto read = x.mpx.read_data();
      auto executed = x.mpx.try_exec_runnable();
      return ran || read || executed;
    };
    for (int idle = 0; idle < 3; ++idle)
      while (step(earth) | step(mars))
        idle = 0;
  }

  /// The sink acknowledges what it holds.
  void acknowledge() {
    caf::anon_send(sink, event{});
    settle();
  }

  void stream(std::string text, chunk_kind kind = chunk_kind::text, std::uint64_t run = 1) {
    caf::anon_send(relay, chunk_batch{"t", run, "a", {{kind, std::move(text)}}});
    settle();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(relay_tests, relay_fixture)

CAF_TEST(acknowledged batches follow each other) {
  stream("one");
  stream("two");
  CAF_CHECK_EQUAL(st->got.size(), 2u);
}

CAF_TEST(one batch is under way at a time and text is merged meanwhile) {
  st->ack = false;
  stream("one ");
  stream("two ");
  stream("three");
  stream("hm", chunk_kind::reasoning);
  CAF_REQUIRE_EQUAL(st->got.size(), 1u);
  CAF_CHECK_EQUAL(st->got[0].batch.chunks[0].text, "one ");
  acknowledge();
  CAF_REQUIRE_EQUAL(st->got.size(), 2u);
  auto& d = st->got[1];
  CAF_CHECK_EQUAL(d.batch.task, "t");
  CAF_CHECK_EQUAL(d.batch.agent, "a");
  CAF_REQUIRE_EQUAL(d.batch.chunks.size(), 2u);
  CAF_CHECK_EQUAL(d.batch.chunks[0].text, "two three");
  CAF_CHECK(d.batch.chunks[1].kind == chunk_kind::reasoning);
  CAF_CHECK_EQUAL(d.dropped, 0u);
}

CAF_TEST(runs do not wait for each other) {
  st->ack = false;
  stream("one", chunk_kind::text, 1);
  stream("two", chunk_kind::text, 2);
  CAF_CHECK_EQUAL(st->got.size(), 2u);
}

CAF_TEST(what waits is capped at 64 KiB and the next batch says what is missing) {
  st->ack = false;
  stream("first");
  std::string all;
  for (int i = 0; i < 200; ++i) {
    auto piece = std::string(1000, static_cast<char>('a' + i % 26));
    all += piece;
    stream(piece);
  }
  acknowledge();
  CAF_REQUIRE_EQUAL(st->got.size(), 2u);
  auto& d = st->got[1];
  CAF_REQUIRE_EQUAL(d.batch.chunks.size(), 1u);
  CAF_CHECK_EQUAL(d.batch.chunks[0].text.size(), 65536u);
  CAF_CHECK_EQUAL(d.dropped, all.size() - 65536);
  CAF_CHECK(d.batch.chunks[0].text == all.substr(all.size() - 65536)); // the newest is kept
  stream("next");
  acknowledge();
  CAF_REQUIRE_EQUAL(st->got.size(), 3u);
  CAF_CHECK_EQUAL(st->got[2].dropped, 0u); // said once
}

CAF_TEST(a cut never splits a character) {
  st->ack = false;
  stream("first");
  std::string text;
  while (text.size() < 70'000)
    text += "\xE2\x82\xAC"; // the euro sign, three bytes
  stream(text);
  acknowledge();
  CAF_REQUIRE_EQUAL(st->got.size(), 2u);
  auto& kept = st->got[1].batch.chunks.at(0).text;
  CAF_CHECK(kept.size() <= 65536);
  CAF_CHECK_EQUAL(kept.size() % 3, 0u);
  CAF_CHECK_EQUAL(kept.substr(0, 3), "\xE2\x82\xAC");
  CAF_CHECK_EQUAL(st->got[1].dropped, text.size() - kept.size());
}

CAF_TEST(a lost acknowledgement delays a stream by twenty seconds and no more) {
  st->ack = false;
  stream("one");
  st->held.clear();
  stream("two");
  CAF_CHECK_EQUAL(st->got.size(), 1u);
  earth.advance_time(std::chrono::seconds(19));
  settle();
  CAF_CHECK_EQUAL(st->got.size(), 1u);
  earth.advance_time(std::chrono::seconds(1));
  settle();
  CAF_REQUIRE_EQUAL(st->got.size(), 2u);
  CAF_CHECK_EQUAL(st->got[1].batch.chunks[0].text, "two");
}

CAF_TEST_FIXTURE_SCOPE_END()
