// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.native_tool

// A C++ function as a tool. It has a thread of its own, so the scheduler is the real one.

#include "actors/native_tool.hpp"

#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"

#include <caf/all.hpp>

#include <future>

using namespace conclave;
using std::chrono::seconds;

namespace {

struct tool_fixture {
  test::threads_config cfg;
  // Ahead of the system: its end waits for the tool's thread, which may still be leaving the gate.
  std::promise<void> opened; ///< lets a blocked function go on
  std::shared_future<void> gate = opened.get_future().share();
  bool open = false;
  caf::actor_system sys{cfg};
  caf::scoped_actor me{sys};
  tool_source_actor aut;

  ~tool_fixture() {
    release();
    if (aut)
      caf::anon_send_exit(aut, caf::exit_reason::user_shutdown);
  }

  void release() {
    if (!std::exchange(open, true))
      opened.set_value();
  }

  void start(std::function<std::string(const std::string&)> f, tool_annotations notes = {}) {
    aut = spawn_native_tool(sys, outside::of_machine(), {{"look", "looks", "{\"type\":\"object\"}"}, notes}, std::move(f));
  }

  tool_invocation asks(std::string name, std::int64_t timeout_ms = 20'000) {
    tool_invocation i;
    i.task = "t";
    i.agent = "a";
    i.run = 7;
    i.call = {"c1", std::move(name), "{}"};
    i.timeout_ms = timeout_ms;
    return i;
  }

  tool_result call(const tool_invocation& i) {
    tool_result out;
    me->request(aut, seconds(30), i).receive([&](tool_result& r) { out = std::move(r); }, [](caf::error&) { CAF_FAIL("error"); });
    CAF_CHECK_EQUAL(out.id, "c1");
    return out;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(native_tool_tests, tool_fixture)

CAF_TEST(a function is listed and called) {
  tool_annotations notes;
  notes.read_only = notes.idempotent = true;
  start([](const std::string& arguments) { return "seen " + arguments; }, notes);
  me->request(aut, seconds(30), list_tools{})
      .receive(
          [notes](tool_list& l) {
            CAF_REQUIRE_EQUAL(l.tools.size(), 1u);
            CAF_CHECK(l.tools[0].notes == notes);
          },
          [](caf::error&) { CAF_FAIL("no list"); });
  auto r = call(asks("look"));
  CAF_CHECK_EQUAL(r.text, "seen {}");
  CAF_CHECK(!r.is_error);
}

CAF_TEST(what a function throws is a result the model reads) {
  start([](const std::string& a) -> std::string {
    if (a.empty())
      throw 1;
    throw std::runtime_error("the sky is clouded");
  });
  auto r = call(asks("look"));
  CAF_CHECK(r.is_error);
  CAF_CHECK_EQUAL(r.text, "Error: the sky is clouded");
  auto i = asks("look");
  i.call.arguments.clear();
  CAF_CHECK(call(i).is_error);
  CAF_CHECK(call(asks("other")).is_error);
}

CAF_TEST(a function that blocks ends at its deadline and the late result is dropped) {
  start([this](const std::string&) {
    gate.wait();
    return std::string{"late"};
  });
  auto r = call(asks("look", 100));
  CAF_CHECK(r.is_error);
  CAF_CHECK(r.text.find("no result") != std::string::npos);
  release();
  CAF_CHECK_EQUAL(call(asks("look")).text, "late"); // of this call, not of the first
}

CAF_TEST(of two deadlines the smaller counts) {
  tool_annotations notes;
  notes.timeout_ms = 100;
  start(
      [this](const std::string&) {
        gate.wait();
        return std::string{"late"};
      },
      notes);
  CAF_CHECK_EQUAL(call(asks("look")).text, "Error: no result within 100 ms");
  CAF_CHECK_EQUAL(call(asks("look", 50)).text, "Error: no result within 50 ms");
}

CAF_TEST(a cancelled call is answered at once) {
  start([this](const std::string&) {
    gate.wait();
    return std::string{"late"};
  });
  auto pending = me->request(aut, seconds(30), asks("look"));
  me->send(aut, cancel_tools{"t", "a", 7});
  pending.receive([](tool_result& r) { CAF_CHECK_EQUAL(r.text, "Error: cancelled"); }, [](caf::error&) { CAF_FAIL("error"); });
}

CAF_TEST(a function that never returns does not hold up the end of the system) {
  std::promise<void> entered;
  auto left = std::make_shared<std::promise<void>>(); // outlives this test in the hands of the thread
  auto gone = left->get_future();
  {
    test::threads_config own;
    caf::actor_system other{own};
    auto t = spawn_native_tool(other, outside::of_machine(), {{"look", "looks", "{}"}, {}},
                               [&entered, left, shut = gate](const std::string&) {
                                 entered.set_value();
                                 shut.wait();
                                 left->set_value();
                                 return std::string{"into the void"};
                               });
    caf::anon_send(t, asks("look"));
    entered.get_future().wait();
    caf::anon_send_exit(t, caf::exit_reason::user_shutdown);
  }
  CAF_CHECK(gone.wait_for(seconds(0)) == std::future_status::timeout); // the system is gone, the function is not
  release();
  gone.wait();
}

CAF_TEST(the end of the tool answers who waits) {
  start([this](const std::string&) {
    gate.wait();
    return std::string{"late"};
  });
  auto pending = me->request(aut, seconds(30), asks("look"));
  caf::anon_send_exit(aut, caf::exit_reason::user_shutdown);
  pending.receive([](tool_result& r) { CAF_CHECK(r.is_error); }, [](caf::error&) { CAF_FAIL("error"); });
}

CAF_TEST_FIXTURE_SCOPE_END()
