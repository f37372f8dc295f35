// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.outside

// The machine's outside. Threads are real: each wait is for a promise.

#include "transports/outside.hpp"

#include "caf/test/unit_test.hpp"

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <future>
#include <regex>
#include <set>
#include <stdexcept>
#include <vector>

using namespace conclave;

namespace {

outside& machine() {
  return *outside::of_machine();
}

job_result result_of(lane& l, lane::job what) {
  std::promise<job_result> told;
  CAF_REQUIRE(l.run(std::move(what), [&told](job_result r) { told.set_value(std::move(r)); }));
  return told.get_future().get();
}

} // namespace

CAF_TEST(jobs of a lane run in order on one thread that is not ours) {
  auto l = machine().open_lane("test");
  std::vector<int> order;
  std::set<pthread_t> threads;
  for (int i = 0; i < 100; ++i)
    CAF_REQUIRE(l->run([&order, &threads, i] {
      order.push_back(i);
      threads.insert(::pthread_self());
      return std::string{};
    }));
  CAF_CHECK_EQUAL(result_of(*l, [] { return std::string{"done"}; }).text, "done");
  CAF_REQUIRE_EQUAL(order.size(), 100u);
  for (int i = 0; i < 100; ++i)
    CAF_CHECK_EQUAL(order[static_cast<std::size_t>(i)], i);
  CAF_CHECK(threads.size() == 1 && threads.count(::pthread_self()) == 0);
}

CAF_TEST(what a job throws is its result and the next one runs) {
  auto l = machine().open_lane("test");
  auto r = result_of(*l, []() -> std::string { throw std::runtime_error("it is dark"); });
  CAF_CHECK(r.failed && r.text == "it is dark");
  r = result_of(*l, []() -> std::string { throw 7; });
  CAF_CHECK(r.failed && r.text.empty());
  CAF_CHECK(!result_of(*l, [] { return std::string{"light"}; }).failed);
}

CAF_TEST(a lane that is dropped waits for no job and tells nobody of it) {
  std::promise<void> entered, open;
  auto gate = open.get_future().share();
  auto told = std::make_shared<std::atomic<int>>(0);
  auto ran = std::make_shared<std::atomic<int>>(0);
  auto held = std::make_shared<int>(0); // by what waits
  std::weak_ptr<int> left = held;
  {
    auto l = machine().open_lane("test");
    l->run(
        [&entered, gate] {
          entered.set_value();
          gate.wait();
          return std::string{};
        },
        [told](const job_result&) { ++*told; });
    l->run(
        [ran, held = std::move(held)] {
          ++*ran;
          return std::string{};
        },
        [told](const job_result&) { ++*told; });
    entered.get_future().wait();
  }
  CAF_CHECK(left.expired());
  open.set_value();
  auto after = machine().open_lane("test"); // another lane: the first one's thread has nothing left to do
  result_of(*after, [] { return std::string{}; });
  CAF_CHECK_EQUAL(*told + *ran, 0);
}

CAF_TEST(local time follows the rules of the zone at the moment asked for) {
  const auto* before = std::getenv("TZ");
  const std::string kept = before == nullptr ? "" : before;
  auto in = [](const char* zone, std::int64_t at_s) {
    ::setenv("TZ", zone, 1);
    ::tzset();
    return machine().utc_offset_s(at_s * 1000);
  };
  constexpr std::int64_t july = 1'784'000'000, january = 1'800'000'000;
  CAF_CHECK_EQUAL(in("CET-1CEST,M3.5.0,M10.5.0/3", july), 7200);
  CAF_CHECK_EQUAL(in("CET-1CEST,M3.5.0,M10.5.0/3", january), 3600);
  CAF_CHECK_EQUAL(in("IST-5:30", july), 19'800);
  CAF_CHECK_EQUAL(in("NST3:30", january), -12'600);
  CAF_CHECK_EQUAL(in("UTC0", july), 0);
  before == nullptr ? ::unsetenv("TZ") : ::setenv("TZ", kept.c_str(), 1);
  ::tzset();
}

CAF_TEST(ids of tasks are unique and the steady time never goes back) {
  std::set<std::string> ids;
  for (int i = 0; i < 50; ++i)
    ids.insert(machine().new_task_id());
  CAF_CHECK(ids.size() > 45); // of 16 million
  CAF_CHECK(std::regex_match(*ids.begin(), std::regex("[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")));
  auto then = machine().now_steady();
  CAF_CHECK(machine().now_steady() >= then);
  CAF_CHECK(machine().seed("a") != machine().seed("a") || machine().seed("a") != machine().seed("a"));
}

CAF_TEST(a thread that is joined has ended and one that is dropped goes on) {
  bool ended = false;
  auto t = machine().start_thread("a name longer than what the kernel keeps", [&ended] { ended = true; });
  CAF_REQUIRE(t != nullptr);
  t->join();
  CAF_CHECK(ended);
  std::promise<void> told;
  machine().start_thread("test", [&told] { told.set_value(); });
  told.get_future().wait();
}
