// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/outside_lane.hpp"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

namespace conclave {

namespace {

class thread_lane final : public lane {
public:
  explicit thread_lane(thread_starter start) : start_(std::move(start)) {}
  thread_lane(const thread_lane&) = delete;
  thread_lane& operator=(const thread_lane&) = delete;

  ~thread_lane() override {
    std::deque<entry> dropped; // what a job holds may end anything: not under the lock
    std::lock_guard lock{shared_->mutex};
    shared_->closed = true;
    dropped.swap(shared_->waiting);
    shared_->wake.notify_one();
  }

  bool run(job what, done then) override {
    std::lock_guard lock{shared_->mutex};
    if (!started_ && start_([s = shared_] { loop(*s); }) == nullptr)
      return false;
    started_ = true;
    shared_->waiting.push_back({std::move(what), std::move(then)});
    shared_->wake.notify_one();
    return true;
  }

private:
  struct entry {
    job what;
    done then;
  };
  struct shared {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<entry> waiting;
    bool closed = false;
  };

  static void loop(shared& s) {
    std::unique_lock lock{s.mutex};
    for (;;) {
      s.wake.wait(lock, [&] { return s.closed || !s.waiting.empty(); });
      if (s.closed)
        return;
      auto now = std::move(s.waiting.front());
      s.waiting.pop_front();
      lock.unlock();
      auto result = run_job(now.what);
      now.what = nullptr;
      lock.lock();
      if (now.then && !s.closed) // under the lock: whoever drops the lane waits for it, and is there meanwhile
        now.then(std::move(result));
      lock.unlock();
      now = {};
      lock.lock();
    }
  }

  thread_starter start_;
  std::shared_ptr<shared> shared_ = std::make_shared<shared>(); ///< a job that does not return keeps it
  bool started_ = false;
};

} // namespace

std::unique_ptr<lane> make_thread_lane(thread_starter start) {
  return std::make_unique<thread_lane>(std::move(start));
}

job_result run_job(const lane::job& what) {
  try {
    return {what(), false};
  } catch (const std::exception& e) {
    return {e.what(), true};
  } catch (...) {
    return {"", true};
  }
}

} // namespace conclave
