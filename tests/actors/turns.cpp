// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.turns

#include "actors/turns.hpp"

#include "caf/test/unit_test.hpp"
#include "support/forwarding_outside.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <future>
#include <string>

using namespace conclave;
using std::chrono::milliseconds;

namespace {

/// A machine whose time a test moves.
struct slow_machine : test::forwarding_outside {
  std::atomic<std::int64_t> ms{0};
  std::chrono::nanoseconds now_steady() override { return milliseconds(ms); }
};

/// What happens, with its time in ms.
struct trace {
  std::shared_ptr<turns> thread;
  std::string text;
  void note(const std::string& what) {
    text += what + "@" + std::to_string(std::chrono::duration_cast<milliseconds>(thread->elapsed()).count()) + " ";
  }
};

struct fixture {
  caf::actor_system_config config;
  std::shared_ptr<slow_machine> machine = std::make_shared<slow_machine>();
  trace seen;

  void begin(turn_options options = {}) {
    seen.thread = std::make_shared<turns>(machine, std::move(options));
    CAF_REQUIRE(seen.thread->begin(config));
  }

  /// An actor whose timer is due every `pace`, `times` times.
  caf::actor ticker(const std::string& name, milliseconds pace, int times) {
    return seen.thread->system().spawn([this, name, pace, left = times](caf::event_based_actor* self) mutable -> caf::behavior {
      self->delayed_send(self, pace, 1);
      return {[this, self, name, pace, left](int) mutable {
        seen.note(name);
        if (--left > 0)
          self->delayed_send(self, pace, 1);
        else
          self->quit();
      }};
    });
  }
};

/// Inputs at their times.
struct listed final : turn_source {
  std::deque<std::pair<milliseconds, std::function<void()>>> inputs;
  std::optional<std::chrono::nanoseconds> due() override {
    return inputs.empty() ? std::nullopt : std::optional<std::chrono::nanoseconds>(inputs.front().first);
  }
  void take() override {
    auto what = inputs.front().second;
    inputs.pop_front();
    what();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(turn_tests, fixture)

CAF_TEST(a timer is a turn at the moment when it is due however late it is) {
  begin();
  seen.thread->inside([&] {
    seen.thread->start_clock();
    ticker("a", milliseconds(10), 3);
    ticker("b", milliseconds(15), 2);
  });
  machine->ms = 1000;
  seen.thread->close(std::chrono::seconds(10), [] {});
  CAF_CHECK_EQUAL(seen.text, "a@10 b@15 a@20 b@30 a@30 ");
}

CAF_TEST(late timers do not keep an input waiting) {
  begin();
  seen.thread->inside([&] {
    seen.thread->start_clock();
    ticker("t", milliseconds(1), 1000);
    machine->ms = 5000;
    seen.thread->post([&] { seen.note("input"); });
  });
  seen.thread->close(std::chrono::seconds(10), [] {});
  auto at = seen.text.find("input");
  CAF_REQUIRE(at != std::string::npos);
  CAF_CHECK(seen.text.find("t@1000 ") > at);
}

CAF_TEST(inputs of a source come at their times and timers in between) {
  auto source = std::make_shared<listed>();
  for (auto ms : {0, 10, 25})
    source->inputs.emplace_back(milliseconds(ms), [this] { seen.note("in"); });
  std::promise<void> last;
  source->inputs.emplace_back(milliseconds(30), [&] { last.set_value(); });
  begin({source, 0});
  seen.thread->inside([&] {
    seen.thread->start_clock();
    ticker("t", milliseconds(10), 2);
  });
  last.get_future().wait();
  seen.thread->close(std::chrono::seconds(10), [] {});
  CAF_CHECK_EQUAL(seen.text, "in@0 t@10 in@10 t@20 in@25 ");
}

CAF_TEST(what is posted after the end is dropped) {
  begin();
  seen.thread->close(std::chrono::seconds(1), [] {});
  auto held = std::make_shared<int>(1);
  seen.thread->post([held] {});
  seen.thread->inside([] { CAF_FAIL("it is over"); });
  CAF_CHECK_EQUAL(held.use_count(), 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
