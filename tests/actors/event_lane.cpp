// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a lane takes in memory while its reader blocks: every `new` of this program is counted.

#define CAF_SUITE actors.event_lane

#include "actors/event_lane.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/json.hpp"
#include "support/scratch_folder.hpp"
#include "transports/event_store.hpp"
#include "transports/outside.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <malloc.h>
#include <new>

namespace {

std::atomic<std::int64_t> heap_bytes = 0;

} // namespace

void* operator new(std::size_t n) {
  auto* out = std::malloc(n == 0 ? 1 : n);
  if (out == nullptr)
    throw std::bad_alloc();
  heap_bytes += static_cast<std::int64_t>(malloc_usable_size(out));
  return out;
}

void operator delete(void* x) noexcept {
  if (x != nullptr)
    heap_bytes -= static_cast<std::int64_t>(malloc_usable_size(x));
  std::free(x);
}

void operator delete(void* x, std::size_t) noexcept {
  operator delete(x);
}

using namespace conclave;

namespace {

constexpr std::int64_t most = 1 << 20;
constexpr auto deadline = std::chrono::seconds(30);

event event_of(std::uint64_t seq, std::size_t text) {
  event e;
  e.seq = seq;
  e.type = event_type::agent_notice;
  e.agent = "agent" + std::to_string(seq % 30);
  e.task = "t";
  e.run = seq % 30;
  e.text = std::string(text, 'x');
  return e;
}

/// A store with events, and a lane on it whose reader blocks at once.
struct place {
  test::scratch_folder folder;
  std::shared_ptr<event_store> store;
  std::shared_ptr<event_lane> lane;
  std::promise<void> begun, go;
  std::int64_t before = 0;

  explicit place(std::size_t events = 0, std::size_t text = 0) {
    std::string error;
    store = event_store::open(folder.path + "/tasks.db", error);
    CAF_REQUIRE_EQUAL(error, "");
    for (std::uint64_t seq = 1; seq <= events; ++seq) {
      std::promise<append_result> done;
      store->append("t", 1, seq - 1, {{wire::to_json(event_of(seq, text))}, {}, {1, "why?", "", wire::event_version}},
                    [&](append_result r) { done.set_value(std::move(r)); });
      CAF_REQUIRE_EQUAL(done.get_future().get().error, "");
    }
    before = heap_bytes;
    lane_callbacks calls;
    auto block = [this, gone = go.get_future().share(), first = std::make_shared<bool>(true)] {
      if (std::exchange(*first, false))
        begun.set_value();
      gone.wait();
    };
    calls.to.on_event = [block](const event&) { block(); };
    calls.to.on_chunk = [block](const chunk_batch&) { block(); };
    lane = std::make_shared<event_lane>(store, calls, watch_bounds{});
    CAF_REQUIRE(lane->begin(*outside::of_machine()));
    if (events > 0)
      lane->follow("t", 0, events);
    else
      push(1, 10);
    CAF_REQUIRE(begun.get_future().wait_for(deadline) == std::future_status::ready);
  }

  ~place() {
    lane->close(std::chrono::milliseconds(0)); // it hands on nothing more
    go.set_value();
    CAF_CHECK(lane->close(deadline));
  }

  void push(std::uint64_t seq, std::size_t text) { lane->push(std::make_shared<const event>(event_of(seq, text))); }

  void stream(std::uint64_t run, std::size_t bytes, chunk_kind kind = chunk_kind::text) {
    lane->push("t", run, "agent" + std::to_string(run % 30), {{kind, std::string(bytes, 'y')}});
  }

  std::int64_t grown() const { return heap_bytes - before; }
};

} // namespace

CAF_TEST(what waits while a reader blocks takes less than a MiB whatever comes) {
  struct flow {
    std::uint64_t runs;
    std::size_t piece, event_text;
    bool mixed;
  };
  for (auto f : {flow{30, 20, 10, false}, flow{30, 20, 2'000, true}, flow{4, 3'000, 100, false}, flow{300, 200, 1'400, false},
                 flow{5'000, 30, 100, true}, flow{64, 70'000, 300'000, false}}) {
    place p;
    std::uint64_t seq = 1;
    std::int64_t highest = 0;
    for (std::size_t i = 0; i < 20'000; ++i) {
      if (i % 50 == 0)
        p.push(++seq, f.event_text);
      p.stream(i % f.runs, f.piece, f.mixed && i / f.runs % 2 == 0 ? chunk_kind::reasoning : chunk_kind::text);
      highest = std::max(highest, p.grown());
    }
    CAF_MESSAGE(f.runs << " runs, pieces of " << f.piece << " bytes, events of " << f.event_text << ": " << highest << " bytes");
    CAF_CHECK_LESS(highest, most);
    CAF_CHECK_GREATER(highest, most / 20);
  }
}

CAF_TEST(what was read again for a reader that blocks takes less than a MiB) {
  for (std::size_t text : {100, 3'000, 40'000}) {
    place p(300, text);
    CAF_MESSAGE("events of " << text << ": " << p.grown() << " bytes");
    CAF_CHECK_LESS(p.grown(), most);
  }
}
