// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.host_sink

#include "actors/host_sink.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>

using namespace conclave;

CAF_TEST(a host that blocks gets a bounded part of the stream and a word on the rest) {
  caf::actor_system_config config;
  config.add_message_types<caf::id_block::conclave>();
  caf::actor_system sys{config};
  std::promise<void> go;
  std::promise<outcome> done;
  auto blocked = go.get_future().share();
  std::size_t bytes = 0, events = 0;
  std::atomic<std::size_t> left_out = 0;
  host_callbacks calls;
  calls.on_event = [&](const event&) {
    blocked.wait();
    ++events;
  };
  calls.on_chunk = [&](const chunk_batch& b) {
    blocked.wait();
    for (auto& c : b.chunks) {
      if (c.kind == chunk_kind::status)
        left_out += std::stoul(c.text.substr(1));
      else
        bytes += c.text.size();
    }
  };
  calls.on_done = [&](outcome o) { done.set_value(std::move(o)); };
  auto sink = spawn_host_sink(sys, std::move(calls));
  constexpr std::size_t sent = 20'000, size = 1'000;
  chunk_batch b{"task", 1, "agent", {{chunk_kind::text, std::string(size, 'x')}}};
  for (std::size_t i = 0; i < sent; ++i) {
    caf::anon_send(sink, b);
    if (i % 1000 == 0)
      caf::anon_send(sink, event{});
  }
  go.set_value();
  // There is room again: what comes now comes through, behind a word on what is missing.
  for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
       left_out == 0 && std::chrono::steady_clock::now() < end;) {
    caf::anon_send(sink, b);
    std::this_thread::yield();
  }
  outcome o;
  o.answer = "42";
  caf::anon_send(sink, o);
  CAF_CHECK_EQUAL(done.get_future().get().answer, "42");
  CAF_CHECK_EQUAL(events, sent / 1000);
  CAF_CHECK_LESS(bytes, std::size_t{12} << 20);
  CAF_CHECK_GREATER(left_out, 0u); // at least the first word on it; what follows is said behind later texts
}

CAF_TEST(a node that does not wait for acknowledgements is refused beyond what honest ones have under way) {
  caf::actor_system_config config;
  config.add_message_types<caf::id_block::conclave>();
  caf::actor_system sys{config};
  std::promise<void> go;
  std::promise<outcome> done;
  auto blocked = go.get_future().share();
  std::size_t bytes = 0, events = 0;
  host_callbacks calls;
  calls.on_event = [&](const event&) { ++events; };
  calls.on_chunk = [&](const chunk_batch& b) {
    blocked.wait();
    for (auto& c : b.chunks)
      bytes += c.text.size();
  };
  calls.on_done = [&](outcome o) { done.set_value(std::move(o)); };
  auto sink = spawn_host_sink(sys, std::move(calls));
  auto gate = spawn_chunk_gate(sys, sink);
  constexpr std::size_t sent = 2'000, size = 64'000;
  std::atomic<std::size_t> taken = 0, refused = 0;
  std::atomic<bool> opened = false;
  std::promise<void> answered;
  auto rogue = sys.spawn([&](caf::event_based_actor* self) {
    self->send(gate, event{});
    for (std::size_t i = 0; i < sent; ++i) {
      auto count = [&, self](std::atomic<std::size_t>& what) {
        if (++what; taken + refused == sent) {
          answered.set_value();
          self->quit();
        }
      };
      self->request(gate, caf::infinite, chunk_delivery{{"task", i, "agent", {{chunk_kind::text, std::string(size, 'x')}}}, 0})
          .then([&, count](chunk_ack) { count(taken); },
                [&, count](const caf::error&) {
                  count(refused);
                  if (refused + (std::size_t{16} << 20) / size >= sent && !opened.exchange(true))
                    go.set_value();
                });
    }
  });
  answered.get_future().wait();
  CAF_CHECK_LESS(taken * size, std::size_t{16} << 20);
  CAF_CHECK_GREATER(taken * size, std::size_t{15} << 20);
  caf::anon_send(sink, outcome{});
  done.get_future().get();
  CAF_CHECK_EQUAL(bytes, taken * size);
  CAF_CHECK_EQUAL(events, 0u);
}

CAF_TEST(a callback that throws is a warning of the outcome) {
  caf::actor_system_config config;
  config.add_message_types<caf::id_block::conclave>();
  caf::actor_system sys{config};
  auto warnings = [&](host_callbacks calls, std::size_t events) {
    std::promise<outcome> done;
    calls.on_done = [&](outcome o) {
      done.set_value(std::move(o));
      throw std::runtime_error("nobody hears this");
    };
    auto sink = spawn_host_sink(sys, std::move(calls));
    for (std::size_t i = 0; i < events; ++i)
      caf::anon_send(sink, event{});
    caf::anon_send(sink, chunk_batch{"task", 1, "agent", {{chunk_kind::text, "x"}}});
    caf::anon_send(sink, outcome{});
    return done.get_future().get().warnings;
  };
  using texts = std::vector<std::string>;
  host_callbacks calls;
  CAF_CHECK_EQUAL(warnings(calls, 1), texts{});
  calls.on_event = [n = 0](const event&) mutable { throw std::runtime_error("no " + std::to_string(++n)); };
  CAF_CHECK_EQUAL(warnings(calls, 1), (texts{"the host's on_event threw: no 1"}));
  CAF_CHECK_EQUAL(warnings(calls, 3), (texts{"the host's on_event threw 3 times, first: no 1"}));
  calls.on_chunk = [](const chunk_batch&) { throw 42; };
  CAF_CHECK_EQUAL(warnings(calls, 0), (texts{"the host's on_chunk threw: something that is no std::exception"}));
  CAF_CHECK_EQUAL(warnings(calls, 1).size(), 2u);
}
