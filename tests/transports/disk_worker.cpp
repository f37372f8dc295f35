// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.disk_worker

// Lanes that share threads. Threads are real: each wait is for a promise.

#include "transports/disk_worker.hpp"

#include "caf/test/unit_test.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

/// Threads of this machine, counted.
struct counted_threads {
  std::mutex mutex;
  std::condition_variable changed;
  int started = 0, ended = 0, handles = 0;
  bool refuse = false;

  thread_starter starter() {
    return [this](std::function<void()> body) -> std::unique_ptr<host_thread> {
      std::lock_guard lock{mutex};
      if (refuse)
        return nullptr;
      auto thread = outside::of_machine()->start_thread("test", [this, body = std::move(body)]() mutable {
        body();
        body = nullptr; // and with it what keeps the pool
        std::lock_guard guard{mutex};
        ++ended;
        changed.notify_all();
      });
      if (thread == nullptr)
        return nullptr;
      ++started;
      return std::make_unique<handle>(*this, std::move(thread));
    };
  }

  void await_end_of(int n) {
    std::unique_lock lock{mutex};
    changed.wait(lock, [&] { return ended == n; });
  }

  int so_far() {
    std::lock_guard lock{mutex};
    return started;
  }

  ~counted_threads() {
    std::unique_lock lock{mutex};
    changed.wait(lock, [&] { return ended == started && handles == 0; });
  }

private:
  struct handle final : host_thread {
    handle(counted_threads& in, std::unique_ptr<host_thread> to) : of(in), it(std::move(to)) { ++of.handles; } // with the lock
    handle(const handle&) = delete;
    handle& operator=(const handle&) = delete;
    ~handle() override {
      std::lock_guard lock{of.mutex};
      --of.handles;
      of.changed.notify_all();
    }
    void join() override { it->join(); }
    counted_threads& of;
    std::unique_ptr<host_thread> it;
  };
};

/// A job that does not return before it is let go.
struct gate {
  std::promise<void> entered, open;
  std::shared_future<void> opened = open.get_future().share();

  lane::job job() {
    return [this] {
      entered.set_value();
      opened.wait();
      return std::string{};
    };
  }
  void await() { entered.get_future().wait(); }
};

/// Waits until a lane has done all that it has to do.
void finish(lane& l) {
  std::promise<void> told;
  CAF_REQUIRE(l.run([] { return std::string{}; }, [&told](const job_result&) { told.set_value(); }));
  told.get_future().wait();
}

} // namespace

CAF_TEST(64 lanes keep their order on four threads and cost none before their first job) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  struct one {
    std::unique_ptr<lane> l;
    std::vector<int> order;
    std::atomic<int> inside{0};
    bool alone = true;
  };
  std::vector<one> lanes(64);
  for (auto& x : lanes)
    x.l = pool->open_lane("test");
  CAF_CHECK_EQUAL(threads.so_far(), 0);
  for (int i = 0; i < 50; ++i)
    for (auto& x : lanes)
      CAF_REQUIRE(x.l->run([&x, i] {
        x.alone = ++x.inside == 1 && x.alone;
        x.order.push_back(i);
        --x.inside;
        return std::string{};
      }));
  for (auto& x : lanes) {
    finish(*x.l);
    CAF_REQUIRE_EQUAL(x.order.size(), 50u);
    CAF_CHECK(std::is_sorted(x.order.begin(), x.order.end()) && x.alone);
  }
  CAF_CHECK(threads.so_far() >= 1 && threads.so_far() <= 4);
  CAF_CHECK(pool->close(1min).empty());
  CAF_CHECK_EQUAL(threads.so_far(), threads.ended);
}

CAF_TEST(lanes that are stuck have a thread each and the others share what is left) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  gate stuck[3];
  std::vector<std::unique_ptr<lane>> blocked;
  std::atomic<int> behind{0};
  for (auto& g : stuck) {
    blocked.push_back(pool->open_lane("stuck"));
    blocked.back()->run(g.job());
    g.await();
    for (int i = 0; i < 100; ++i) // of the same lane: no other thread takes them
      blocked.back()->run([&behind] {
        ++behind;
        return std::string{};
      });
  }
  CAF_CHECK_EQUAL(threads.so_far(), 3);
  std::vector<std::unique_ptr<lane>> others;
  for (int i = 0; i < 61; ++i)
    others.push_back(pool->open_lane("other"));
  for (auto& l : others)
    l->run([] { return std::string{}; });
  for (auto& l : others)
    finish(*l);
  CAF_CHECK_EQUAL(behind.load(), 0);
  CAF_CHECK_EQUAL(threads.so_far(), 4);
  for (auto& g : stuck)
    g.open.set_value();
  for (auto& l : blocked)
    finish(*l);
  CAF_CHECK_EQUAL(behind.load(), 300);
  CAF_CHECK(pool->close(1min).empty());
}

CAF_TEST(lanes take turns so that a long queue does not keep a short one waiting) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter(), {1, 10s});
  auto first = pool->open_lane("first"), second = pool->open_lane("second");
  gate g;
  first->run(g.job());
  g.await();
  std::string order;
  for (int i = 0; i < 3; ++i)
    first->run([&order] {
      order += 'f';
      return std::string{};
    });
  second->run([&order] {
    order += 's';
    return std::string{};
  });
  g.open.set_value();
  finish(*second);
  finish(*first);
  CAF_CHECK_EQUAL(order, "sfff");
  CAF_CHECK(pool->close(1min).empty());
}

CAF_TEST(an end while jobs are under way waits for them and drops what waits) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  auto busy = pool->open_lane("busy"), other = pool->open_lane("other");
  std::promise<void> entered;
  std::atomic<int> ended{0}, told{0};
  auto held = std::make_shared<int>(0);
  std::weak_ptr<int> left = held;
  busy->run(
      [&] {
        entered.set_value();
        while (other->run([] { return std::string{}; })) // until nothing is taken any more: the end has begun
          std::this_thread::yield();
        ++ended;
        return std::string{};
      },
      [&told](const job_result&) { ++told; });
  busy->run([held] { return std::to_string(*held); }, [&told](const job_result&) { ++told; });
  held = nullptr;
  entered.get_future().wait();
  CAF_CHECK(!left.expired());
  CAF_CHECK(pool->close(1min).empty());
  CAF_CHECK(ended == 1 && told == 1);
  CAF_CHECK(left.expired());
  CAF_CHECK(!busy->run([] { return std::string{}; }));
  CAF_CHECK_EQUAL(threads.ended, threads.started);
}

CAF_TEST(an end names who is stuck and leaves nothing else behind) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  gate g;
  auto told = std::make_shared<std::atomic<int>>(0);
  {
    auto stuck = pool->open_lane("workspace of agent 7");
    stuck->run(g.job(), [told](const job_result&) { ++*told; });
    g.await();
    CAF_CHECK(pool->close(0ms) == std::vector<std::string>{"workspace of agent 7"});
  }
  pool = nullptr;
  g.open.set_value();
  threads.await_end_of(threads.so_far());
  CAF_CHECK_EQUAL(told->load(), 0); // its lane was dropped
}

CAF_TEST(a lane that is dropped waits for no job and tells nobody of it) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  gate g;
  auto told = std::make_shared<std::atomic<int>>(0), ran = std::make_shared<std::atomic<int>>(0);
  std::weak_ptr<std::atomic<int>> left;
  {
    auto l = pool->open_lane("test");
    l->run(g.job(), [told](const job_result&) { ++*told; });
    auto held = std::make_shared<std::atomic<int>>(0);
    left = held;
    l->run(
        [ran, held = std::move(held)] {
          ++*ran;
          return std::string{};
        },
        [told](const job_result&) { ++*told; });
    g.await();
  }
  CAF_CHECK(left.expired());
  g.open.set_value();
  CAF_CHECK(pool->close(1min).empty());
  CAF_CHECK_EQUAL(*told + *ran, 0);
}

CAF_TEST(a thread without work ends and the next job starts another) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter(), {4, 0ms});
  auto l = pool->open_lane("test");
  for (int i = 1; i <= 3; ++i) {
    std::promise<void> done;
    CAF_REQUIRE(l->run([&done] {
      done.set_value();
      return std::string{};
    }));
    done.get_future().wait();
    threads.await_end_of(i);
  }
  CAF_CHECK_EQUAL(threads.so_far(), 3);
  CAF_CHECK_EQUAL(threads.handles, 0);
  CAF_CHECK(pool->close(1min).empty());
}

CAF_TEST(without a thread a job is refused and with one alone all are done) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  auto l = pool->open_lane("test"), other = pool->open_lane("other");
  threads.refuse = true;
  auto held = std::make_shared<int>(0);
  std::weak_ptr<int> left = held;
  CAF_CHECK(!l->run([held = std::move(held)] { return std::string{}; }));
  CAF_CHECK(left.expired());
  threads.refuse = false;
  gate g;
  CAF_REQUIRE(l->run(g.job()));
  g.await();
  {
    std::lock_guard lock{threads.mutex};
    threads.refuse = true;
  }
  std::promise<void> done;
  CAF_REQUIRE(other->run([&done] { // it waits for the one there is
    done.set_value();
    return std::string{};
  }));
  g.open.set_value();
  done.get_future().wait();
  CAF_CHECK_EQUAL(threads.so_far(), 1);
  CAF_CHECK(pool->close(1min).empty());
}

CAF_TEST(a job may be the last that keeps its lane and all lanes) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  std::shared_ptr<lane> l = pool->open_lane("test");
  auto* it = l.get();
  gate g;
  CAF_REQUIRE(it->run([pool = std::move(pool), l = std::move(l), wait = g.job()]() mutable {
    wait();
    l = nullptr;
    pool = nullptr;
    return std::string{};
  }));
  g.await();
  g.open.set_value();
  threads.await_end_of(1);
}

CAF_TEST(what a job throws is its result and the next one runs) {
  counted_threads threads;
  auto pool = make_disk_worker(threads.starter());
  auto l = pool->open_lane("test");
  std::promise<job_result> told;
  l->run([]() -> std::string { throw std::runtime_error("it is dark"); }, [&told](job_result r) { told.set_value(std::move(r)); });
  auto r = told.get_future().get();
  CAF_CHECK(r.failed && r.text == "it is dark");
  finish(*l);
  CAF_CHECK(pool->close(1min).empty());
}
