// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What the transport is told of the readers of text, and tells them.

#define CAF_SUITE actors.event_hub_steps

#include "actors/event_hub.hpp"
#include "caf/test/unit_test.hpp"
#include "transports/outside.hpp"

#include <condition_variable>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

struct place {
  std::shared_ptr<event_hub> hub = std::make_shared<event_hub>(nullptr, outside::of_machine());
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t bytes = 0, events = 0;

  place() { hub->begin("t", "why?", 0); }
  ~place() { hub->close(30s); }

  std::shared_ptr<event_lane> watch(std::chrono::milliseconds pace, bool text = true) {
    lane_callbacks out;
    out.to.on_event = [this](const event&) {
      std::lock_guard guard(mutex);
      ++events;
      changed.notify_all();
    };
    if (text)
      out.to.on_chunk = [this](const chunk_batch& b) {
        std::lock_guard guard(mutex);
        for (auto& c : b.chunks)
          bytes += c.text.size();
        changed.notify_all();
      };
    watch_bounds bounds;
    bounds.pace = pace;
    return hub->watch({"t"}, std::move(out), bounds);
  }

  void stream(std::size_t size, std::uint64_t run = 1) {
    chunk_batch b;
    b.task = "t";
    b.agent = "a";
    b.run = run;
    b.chunks.push_back({});
    b.chunks.back().text = std::string(size, 'x');
    hub->on(b);
  }

  bool wait(std::size_t want_bytes, std::size_t want_events) {
    std::unique_lock guard(mutex);
    return changed.wait_for(guard, 30s, [&] { return bytes == want_bytes && events == want_events; });
  }
};

} // namespace

CAF_TEST(text that is held wakes its readers once all of it is there) {
  place p;
  p.watch(15ms);
  p.hub->hold();
  p.hub->hold(); // two transports
  p.stream(1'000);
  p.stream(1'000, 2);
  p.hub->go_on();
  p.hub->go_on();
  CAF_CHECK(p.wait(2'000, 0));
  p.hub->hold();
  p.stream(1'000);
  event e; // wakes all the same, and what was said before it comes with it
  e.seq = 1;
  e.task = "t";
  e.agent = "a";
  p.hub->on(std::move(e));
  CAF_CHECK(p.wait(3'000, 1));
  p.stream(200'000); // more than may wait
  CAF_CHECK(p.wait(203'000, 1));
  p.hub->go_on();
}

CAF_TEST(the reading of streams is as patient as the least patient of those who read text) {
  place p;
  auto usual = watch_bounds{}.pace;
  CAF_CHECK(p.hub->patience() == usual);
  p.watch(200ms);
  CAF_CHECK(p.hub->patience() == usual); // a call that ends waits as well
  auto quick = p.watch(3ms);
  CAF_CHECK(p.hub->patience() == 3ms);
  p.watch(0ms, false);
  CAF_CHECK(p.hub->patience() == 3ms);
  p.hub->end_watch(quick, 1s);
  CAF_CHECK(p.hub->patience() == usual);
}
