// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/disk_worker.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace conclave {

namespace {

struct entry {
  lane::job what;
  lane::done then;
};

/// What a lane and the thread that works for it share; `waiting` and `busy` belong to the pool's lock.
struct queue {
  explicit queue(std::string whose) : owner(std::move(whose)) {}
  const std::string owner;
  std::deque<entry> waiting;
  bool busy = false;    ///< it waits for a thread, or has one
  std::mutex telling;   ///< held while its `done` is called
  bool dropped = false; ///< with `telling`: nobody is told any more
};

/// Kept by its threads, too: one that is stuck in a job may be the last.
struct pool : std::enable_shared_from_this<pool> {
  pool(thread_starter by, disk_worker_options o) : start(std::move(by)), options(o) {}

  const thread_starter start;
  const disk_worker_options options;
  std::mutex mutex;
  std::condition_variable wake, ended;
  std::deque<std::shared_ptr<queue>> ready;                      ///< lanes with work and no thread, the longest waiting first
  std::map<std::uint64_t, std::unique_ptr<host_thread>> threads; ///< until they have ended, or nobody waits for them
  std::map<std::uint64_t, std::shared_ptr<queue>> at_work;       ///< by the numbers of threads
  std::uint64_t numbers = 0;
  std::size_t running = 0, idle = 0; ///< threads; those that wait for work
  bool closed = false;

  bool take(const std::shared_ptr<queue>& q, lane::job what, lane::done then) {
    std::lock_guard lock{mutex};
    // A lane that is ready takes a thread that waits; with none left for it another is started, up to the bound.
    auto wants = ready.size() + (q->busy ? 0 : 1);
    if (closed || (wants > idle && running < options.threads && !start_one() && running == 0))
      return false;
    q->waiting.push_back({std::move(what), std::move(then)});
    if (!std::exchange(q->busy, true)) {
      ready.push_back(q);
      wake.notify_one();
    }
    return true;
  }

  bool start_one() {
    auto number = ++numbers;
    auto thread = start([me = shared_from_this(), number] { me->work(number); });
    if (thread == nullptr)
      return false;
    threads[number] = std::move(thread);
    ++running;
    return true;
  }

  void work(std::uint64_t me) {
    std::unique_lock lock{mutex};
    while (await_work(lock)) {
      auto q = std::move(ready.front());
      ready.pop_front();
      if (q->waiting.empty()) { // its lane was dropped meanwhile
        q->busy = false;
        continue;
      }
      auto now = std::move(q->waiting.front());
      q->waiting.pop_front();
      at_work[me] = q;
      lock.unlock();
      carry_out(*q, std::move(now));
      lock.lock();
      at_work.erase(me);
      q->busy = !q->waiting.empty();
      if (q->busy)
        ready.push_back(std::move(q)); // behind the others; this thread goes on with the first
      q = nullptr;
    }
    --running;
    auto mine = threads.find(me);
    if (!closed && mine != threads.end()) {
      auto nobody_waits = std::move(mine->second); // it goes with the lock: whoever closes does not see a thread that has ended
      threads.erase(mine);
    }
    ended.notify_all();
  }

  /// False: the thread is to end.
  bool await_work(std::unique_lock<std::mutex>& lock) {
    ++idle;
    auto woken = wake.wait_for(lock, options.idle, [this] { return closed || !ready.empty(); });
    --idle;
    return woken && !closed;
  }

  static void carry_out(queue& q, entry now) {
    auto result = run_job(now.what);
    now.what = nullptr;
    std::lock_guard guard{q.telling};
    if (now.then && !q.dropped)
      now.then(std::move(result));
  }
};

class shared_lane final : public lane {
public:
  shared_lane(std::shared_ptr<pool> of, std::string owner)
      : of_(std::move(of)), queue_(std::make_shared<queue>(std::move(owner))) {}
  shared_lane(const shared_lane&) = delete;
  shared_lane& operator=(const shared_lane&) = delete;

  ~shared_lane() override {
    std::deque<entry> waiting; // what a job holds may end anything: not under a lock
    {
      std::lock_guard lock{of_->mutex};
      waiting.swap(queue_->waiting);
    }
    std::lock_guard guard{queue_->telling};
    queue_->dropped = true;
  }

  bool run(job what, done then) override { return of_->take(queue_, std::move(what), std::move(then)); }

private:
  std::shared_ptr<pool> of_;
  std::shared_ptr<queue> queue_;
};

class disk_worker final : public lane_group {
public:
  disk_worker(thread_starter start, disk_worker_options options) : pool_(std::make_shared<pool>(std::move(start), options)) {}
  disk_worker(const disk_worker&) = delete;
  disk_worker& operator=(const disk_worker&) = delete;
  ~disk_worker() override { end(std::chrono::milliseconds{0}, false); }

  std::unique_ptr<lane> open_lane(const std::string& owner) override { return std::make_unique<shared_lane>(pool_, owner); }

  std::vector<std::string> close(std::chrono::milliseconds limit) override { return end(limit, true); }

private:
  std::vector<std::string> end(std::chrono::milliseconds limit, bool wait) {
    std::vector<entry> dropped; // as above
    std::map<std::uint64_t, std::unique_ptr<host_thread>> threads;
    std::vector<std::string> left;
    auto& p = *pool_;
    {
      std::unique_lock lock{p.mutex};
      p.closed = true;
      for (auto& q : std::exchange(p.ready, {}))
        drop(*q, dropped);
      for (auto& [number, q] : p.at_work)
        drop(*q, dropped);
      p.wake.notify_all();
      if (wait)
        p.ended.wait_for(lock, limit, [&] { return p.running == 0; });
      for (auto& [number, q] : p.at_work) {
        left.push_back(q->owner);
        p.threads.erase(number); // nobody waits for it
      }
      if (wait)
        threads.swap(p.threads);
      else
        p.threads.clear();
    }
    for (auto& [number, thread] : threads)
      thread->join();
    std::sort(left.begin(), left.end());
    return left;
  }

  static void drop(queue& q, std::vector<entry>& to) {
    q.busy = false;
    std::move(q.waiting.begin(), q.waiting.end(), std::back_inserter(to));
    q.waiting.clear();
  }

  const std::shared_ptr<pool> pool_;
};

} // namespace

std::shared_ptr<lane_group> make_disk_worker(thread_starter start, disk_worker_options options) {
  return std::make_shared<disk_worker>(std::move(start), options);
}

} // namespace conclave
