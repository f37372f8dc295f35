// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.event_hub

#include "actors/event_hub.hpp"

#include "actors/message_types.hpp"
#include "caf/test/unit_test.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"
#include "transports/outside.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

constexpr auto deadline = 30s;

/// A store in a folder of its own, and a hub on it.
struct place {
  std::string path;
  std::shared_ptr<event_store> store;
  std::shared_ptr<event_hub> hub;
  std::uint64_t seq = 0;

  place() {
    auto name = (std::filesystem::temp_directory_path() / "conclave-hub-XXXXXX").string();
    path = mkdtemp(name.data());
    std::string error;
    store = event_store::open(path + "/tasks.db", error);
    hub = std::make_shared<event_hub>(store, outside::of_machine());
    hub->begin("t", "why?", 0);
  }

  ~place() {
    hub->close(deadline);
    hub = nullptr;
    store = nullptr;
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }

  /// Stores an event as an orchestrator would, then tells the hub.
  void tell(std::size_t text = 10, event_type type = event_type::agent_notice) {
    event e;
    e.seq = ++seq;
    e.type = type;
    e.agent = "a" + std::to_string(seq % 3);
    e.run = 1;
    e.task = "t";
    e.text = std::string(text, 'x');
    std::promise<append_result> done;
    store->append("t", 1, seq - 1, {{wire::to_json(e)}, {}, {1, "why?", "", wire::event_version}},
                  [&](append_result r) { done.set_value(std::move(r)); });
    CAF_REQUIRE_EQUAL(done.get_future().get().error, "");
    hub->on(std::move(e));
  }

  void stream(std::size_t bytes, std::uint64_t run = 1) {
    hub->on(chunk_batch{"t", run, "a1", {{chunk_kind::text, std::string(bytes, 'y')}}});
  }
};

/// A reader that can be held up.
struct reader {
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false, started = false;
  std::vector<std::uint64_t> seqs;
  std::size_t bytes = 0, left_out = 0;
  std::vector<std::string> status;
  std::optional<outcome> end;

  void hold() {
    std::lock_guard guard(mutex);
    held = true;
  }
  void let_go() {
    std::lock_guard guard(mutex);
    held = false;
    changed.notify_all();
  }
  bool wait(const std::function<bool()>& until) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, deadline, until);
  }
  bool has_begun() {
    return wait([this] { return started; });
  }

  lane_callbacks calls() {
    lane_callbacks out;
    out.to.on_event = [this](const event& e) {
      std::unique_lock lock(mutex);
      started = true;
      changed.notify_all();
      changed.wait(lock, [this] { return !held; });
      CAF_CHECK_EQUAL(e.task, "t");
      seqs.push_back(e.seq);
      changed.notify_all();
    };
    out.to.on_chunk = [this](const chunk_batch& b) {
      std::unique_lock lock(mutex);
      started = true;
      changed.notify_all();
      changed.wait(lock, [this] { return !held; });
      for (auto& c : b.chunks) {
        if (c.kind != chunk_kind::status) {
          bytes += c.text.size();
          continue;
        }
        status.push_back(c.text);
        if (c.text.find("bytes of the stream") != std::string::npos)
          left_out += std::stoul(c.text.substr(1));
      }
      changed.notify_all();
    };
    out.on_done = [this](outcome o) {
      std::lock_guard guard(mutex);
      end = std::move(o);
      changed.notify_all();
    };
    return out;
  }
  bool ended() {
    return wait([this] { return end.has_value(); });
  }
};

std::vector<std::uint64_t> up_to(std::uint64_t n, std::uint64_t from = 1) {
  std::vector<std::uint64_t> out;
  for (; from <= n; ++from)
    out.push_back(from);
  return out;
}

} // namespace

CAF_TEST(a reader that blocks gets every event once and in order when it goes on) {
  place p;
  reader slow, fast;
  slow.hold();
  p.hub->watch({"t"}, slow.calls());
  p.hub->watch({"t"}, fast.calls());
  for (int i = 0; i < 1000; ++i)
    p.tell(i % 100 == 0 ? 300'000 : 50);
  p.hub->end("t", {});
  CAF_CHECK(fast.ended());
  CAF_CHECK_EQUAL(fast.seqs, up_to(1000));
  CAF_CHECK(!slow.end);
  slow.let_go();
  CAF_CHECK(slow.ended());
  CAF_CHECK_EQUAL(slow.seqs, up_to(1000));
}

CAF_TEST(who comes late gets the events of before and the text of the runs under way) {
  place p;
  for (int i = 0; i < 600; ++i)
    p.tell();
  p.stream(100'000);
  p.stream(300'000, 2);
  p.stream(1'000, 2);
  reader late, all, later;
  p.hub->watch({"t"}, late.calls());
  p.hub->watch({}, all.calls());
  p.hub->watch({"t", 500}, later.calls());
  p.tell();
  p.hub->end("t", {});
  for (auto* r : {&late, &all, &later}) {
    CAF_CHECK(r->ended());
    CAF_CHECK_EQUAL(r->bytes + r->left_out, 401'000u);
    CAF_CHECK_GREATER(r->bytes, 200'000u);
  }
  CAF_CHECK_EQUAL(late.seqs, up_to(601));
  CAF_CHECK_EQUAL(all.seqs, up_to(601));
  CAF_CHECK_EQUAL(later.seqs, up_to(601, 501));
  reader after; // of a task that has ended
  p.hub->watch({"t"}, after.calls());
  CAF_CHECK(after.wait([&] { return after.seqs.size() == 601; }));
}

CAF_TEST(who comes late to many runs gets as much of their text as it has room for) {
  constexpr std::uint64_t runs = 30;
  constexpr std::size_t each = 300'000, kept = 256 * 1024;
  place p;
  p.tell();
  for (std::uint64_t run = 1; run <= runs; ++run)
    p.stream(each, run);
  reader usual, roomy;
  watch_bounds more;
  more.chunk_bytes = std::size_t{16} << 20;
  p.hub->watch({"t"}, usual.calls());
  p.hub->watch({"t"}, roomy.calls(), more);
  p.hub->end("t", {});
  for (auto* r : {&usual, &roomy}) {
    CAF_CHECK(r->ended());
    CAF_CHECK_EQUAL(r->bytes + r->left_out, runs * each);
  }
  CAF_CHECK_EQUAL(roomy.bytes, runs * kept);
  CAF_CHECK_LESS_OR_EQUAL(usual.bytes, 2 * kept);
  CAF_CHECK_GREATER(usual.bytes, 0u);
}

CAF_TEST(a task that nobody knows is followed in silence and a closed hub takes no readers) {
  place p;
  reader none;
  auto lane = p.hub->watch({"nobody"}, none.calls());
  CAF_REQUIRE(lane);
  p.hub->end("nobody", {});
  CAF_CHECK(none.ended());
  CAF_CHECK_EQUAL(none.status.size() + none.seqs.size() + none.end->warnings.size(), 0u);
  std::weak_ptr<event_store> left = p.store;
  p.hub->close(deadline);
  p.store = nullptr;
  CAF_CHECK(left.expired());
  CAF_CHECK(!p.hub->watch({"t"}, none.calls()));
}

CAF_TEST(text of a run that has ended is kept for nobody) {
  place p;
  p.stream(1'000);
  p.tell(10, event_type::run_ended);
  p.stream(1'000); // a straggler that has not heard of it
  reader late;
  p.hub->watch({"t"}, late.calls());
  p.hub->end("t", {});
  CAF_CHECK(late.ended());
  CAF_CHECK_EQUAL(late.bytes, 0u);
}

CAF_TEST(a blocked reader gets a bounded part of the stream and a word on the rest) {
  place p;
  reader slow;
  slow.hold();
  p.hub->watch({"t"}, slow.calls());
  p.stream(10);
  CAF_CHECK(slow.has_begun());
  for (std::uint64_t i = 0; i < 20'000; ++i)
    p.stream(1'000, i % 30);
  p.hub->end("t", {});
  slow.let_go();
  CAF_CHECK(slow.ended());
  CAF_CHECK_LESS(slow.bytes, std::size_t{300} << 10);
  CAF_CHECK_GREATER(slow.bytes, std::size_t{100} << 10);
  CAF_CHECK_EQUAL(slow.bytes + slow.left_out, 20'000'010u);
}

CAF_TEST(a text that is too long for a blocked reader loses its oldest part when another one comes) {
  place p;
  reader slow;
  slow.hold();
  p.hub->watch({"t"}, slow.calls());
  p.tell();
  CAF_CHECK(slow.has_begun());
  p.stream(400'000, 1);
  p.stream(10, 2);
  p.hub->end("t", {});
  slow.let_go();
  CAF_CHECK(slow.ended());
  CAF_CHECK_GREATER(slow.bytes, std::size_t{60} << 10);
  CAF_CHECK_EQUAL(slow.bytes + slow.left_out, 400'010u);
}

CAF_TEST(a node that names runs without end costs a bounded amount and nothing of it is missing without a word) {
  place p;
  reader slow, late;
  slow.hold();
  p.hub->watch({"t"}, slow.calls());
  p.tell();
  CAF_CHECK(slow.has_begun());
  for (std::uint64_t run = 1; run <= 5'000; ++run) {
    p.hub->on(chunk_batch{"t", run, "a1", {}});
    p.stream(20'000, run);
  }
  p.hub->watch({"t"}, late.calls());
  p.hub->end("t", {});
  slow.let_go();
  CAF_CHECK(slow.ended());
  CAF_CHECK(late.ended());
  for (auto* r : {&slow, &late}) {
    CAF_CHECK_LESS(r->bytes, std::size_t{300} << 10);
    CAF_CHECK_EQUAL(r->bytes + r->left_out, 100'000'000u);
  }
}

CAF_TEST(what the store could not take is told last and also to a reader that is behind) {
  place p;
  reader slow;
  slow.hold();
  p.hub->watch({"t"}, slow.calls());
  for (int i = 0; i < 600; ++i)
    p.tell();
  event last;
  last.task = "t";
  last.type = event_type::task_ended;
  p.hub->on(last);
  p.hub->end("t", {});
  slow.let_go();
  CAF_CHECK(slow.ended());
  auto wanted = up_to(600);
  wanted.push_back(0);
  CAF_CHECK_EQUAL(slow.seqs, wanted);
}

CAF_TEST(events that the store lost are named) {
  place p;
  reader slow;
  slow.hold();
  p.hub->watch({"t"}, slow.calls());
  p.tell();
  CAF_CHECK(slow.has_begun());
  for (std::uint64_t i = 2; i < 600; ++i) { // never stored
    event e;
    e.seq = i;
    e.task = "t";
    p.hub->on(e);
  }
  p.hub->end("t", {});
  slow.let_go();
  CAF_CHECK(slow.ended());
  CAF_REQUIRE_EQUAL(slow.end->warnings.size(), 1u);
  CAF_CHECK_EQUAL(slow.end->warnings.front().rfind("events ", 0), 0u);
  CAF_CHECK_NOT_EQUAL(slow.end->warnings.front().find(" to 599 could not be read back: "), std::string::npos);
  CAF_CHECK(!slow.status.empty());
}

CAF_TEST(text stands before the event that it came before) {
  place p;
  std::mutex mutex;
  std::string order;
  std::promise<void> begun, go, done;
  lane_callbacks calls;
  calls.to.on_event = [&, gone = go.get_future().share()](const event& e) {
    if (e.seq == 1) {
      begun.set_value();
      gone.wait();
    }
    order += "|" + std::to_string(e.seq) + e.agent;
  };
  calls.to.on_chunk = [&](const chunk_batch& b) {
    for (auto& c : b.chunks)
      order += c.text;
  };
  calls.on_done = [&](const outcome&) { done.set_value(); };
  p.hub->watch({"t"}, calls);
  p.tell();
  begun.get_future().wait();
  auto say = [&](const char* agent, std::uint64_t run, const char* text) {
    p.hub->on(chunk_batch{"t", run, agent, {{chunk_kind::text, text}}});
  };
  say("a2", 1, "one ");
  say("a0", 2, "two ");
  p.tell(); // of a2
  say("a2", 1, "three ");
  say("a0", 2, "more ");
  p.hub->end("t", {});
  go.set_value();
  done.get_future().wait();
  CAF_CHECK_EQUAL(order, "|1a1one two more |2a2three ");
}

CAF_TEST(a reader that ended hears nothing more and one that blocks holds up nobody for ever) {
  place p;
  reader gone, stuck;
  auto lane = p.hub->watch({"t"}, gone.calls());
  p.tell();
  CAF_CHECK(gone.wait([&] { return gone.seqs.size() == 1; }));
  CAF_CHECK(p.hub->end_watch(lane, deadline));
  p.tell();
  CAF_CHECK_EQUAL(gone.seqs.size(), 1u);
  stuck.hold();
  auto other = p.hub->watch({"t"}, stuck.calls());
  CAF_CHECK(stuck.has_begun());
  CAF_CHECK(!p.hub->end_watch(other, 1ms));
  stuck.let_go();
  CAF_CHECK(other->close(deadline));
  // One that ends itself in its own callback.
  std::shared_ptr<event_lane> self;
  std::promise<bool> closed;
  std::mutex set;
  lane_callbacks calls;
  calls.to.on_event = [&](const event&) {
    std::lock_guard guard(set);
    closed.set_value(p.hub->end_watch(self, deadline));
  };
  {
    std::lock_guard guard(set);
    self = p.hub->watch({"t"}, calls);
  }
  CAF_CHECK(closed.get_future().get());
  self->close(deadline);
}

CAF_TEST(tasks under way are listed) {
  place p;
  p.tell();
  auto running = p.hub->running();
  CAF_REQUIRE_EQUAL(running.size(), 1u);
  CAF_CHECK_EQUAL(running.front().question, "why?");
  CAF_CHECK_EQUAL(running.front().seq, 1u);
  p.hub->end("t", {});
  CAF_CHECK_EQUAL(p.hub->running().size(), 0u);
}

CAF_TEST(a node speaks of its own task alone and tells no events) {
  caf::actor_system_config config;
  add_messages(config);
  caf::actor_system sys{config};
  place p;
  p.hub->begin("other", "", 0);
  reader mine, other;
  p.hub->watch({"t"}, mine.calls());
  p.hub->watch({"other"}, other.calls());
  auto door = spawn_chunk_door(sys, p.hub, "t");
  caf::scoped_actor self{sys};
  event forged;
  forged.seq = 1;
  forged.task = "t";
  caf::anon_send(door, forged);
  caf::anon_send(door, chunk_batch{"other", 1, "a", {{chunk_kind::text, "forged"}}});
  caf::anon_send(door, chunk_batch{"t", 1, "a", {{chunk_kind::text, "abc"}}});
  self->request(door, deadline, chunk_delivery{{"t", 1, "a", {{chunk_kind::text, "def"}}}, 7})
      .receive([](chunk_ack) {}, [](const caf::error& e) { CAF_FAIL(to_string(e)); });
  p.hub->end("t", {});
  p.hub->end("other", {});
  CAF_CHECK(mine.ended());
  CAF_CHECK(other.ended());
  CAF_CHECK_EQUAL(mine.seqs.size(), 0u);
  CAF_CHECK_EQUAL(mine.bytes, 6u);
  CAF_CHECK_EQUAL(mine.left_out, 7u);
  CAF_CHECK_EQUAL(other.bytes, 0u);
  caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
}

CAF_TEST(a callback that throws is a warning of the outcome) {
  auto warnings = [](listener l, int events) {
    place p;
    std::promise<outcome> done;
    p.hub->watch({"t"}, {std::move(l), [&](outcome o) {
                           done.set_value(std::move(o));
                           throw std::runtime_error("nobody hears this");
                         }});
    for (int i = 0; i < events; ++i)
      p.tell();
    p.stream(1);
    p.hub->end("t", {});
    return done.get_future().get().warnings;
  };
  using texts = std::vector<std::string>;
  listener l;
  CAF_CHECK_EQUAL(warnings(l, 1), texts{});
  l.on_event = [n = 0](const event&) mutable { throw std::runtime_error("no " + std::to_string(++n)); };
  CAF_CHECK_EQUAL(warnings(l, 1), (texts{"the host's on_event threw: no 1"}));
  CAF_CHECK_EQUAL(warnings(l, 3), (texts{"the host's on_event threw 3 times, first: no 1"}));
  l.on_chunk = [](const chunk_batch&) { throw 42; };
  CAF_CHECK_EQUAL(warnings(l, 0), (texts{"the host's on_chunk threw: something that is no std::exception"}));
  CAF_CHECK_EQUAL(warnings(l, 1).size(), 2u);
}
