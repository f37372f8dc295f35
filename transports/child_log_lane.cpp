// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_log_lane.hpp"

#include "transports/process_room.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <utility>

namespace conclave {

namespace {

/// Never joined and never destroyed: a disk that hangs must not keep the process.
class writer {
public:
  /// Returns false if the system gives no thread.
  static bool run(std::function<void()> what) {
    static auto* one = new writer;
    std::lock_guard lock{one->mutex_};
    if (!one->started_ && !one->start())
      return false;
    one->waiting_.push_back(std::move(what));
    one->wake_.notify_one();
    return true;
  }

private:
  bool start() {
    try {
      start_without_signals([this] { loop(); }).detach();
      started_ = true;
    } catch (const std::system_error&) { // tried again with the next bytes
    }
    return started_;
  }

  void loop() {
    std::unique_lock lock{mutex_};
    for (;;) {
      wake_.wait(lock, [this] { return !waiting_.empty(); });
      auto what = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      what();
      what = nullptr; // what it holds may end here, not under the lock
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  bool started_ = false;
};

} // namespace

struct child_log_lane::file {
  child_log log; ///< the writing thread's
  std::atomic<std::size_t> waiting = 0;
  std::atomic<bool> full = false;
};

child_log_lane::~child_log_lane() {
  close([] {});
}

void child_log_lane::open(const std::string& path, child_log::cleaner clean) {
  if (path.empty())
    return;
  auto f = std::make_shared<file>();
  if (writer::run([f, path, clean = std::move(clean)]() mutable { f->log.open(path, std::move(clean)); }))
    file_ = std::move(f);
}

void child_log_lane::add(std::string_view bytes) {
  if (!file_ || file_->full)
    return;
  auto& f = *file_;
  if (f.waiting + bytes.size() > max_waiting) {
    left_out_ += bytes.size();
    return;
  }
  f.waiting += bytes.size();
  writer::run([f = file_, text = std::string(bytes), gap = std::exchange(left_out_, 0)] {
    if (gap > 0)
      f->log.skip(gap);
    f->log.add(text);
    f->full = f->log.is_full();
    f->waiting -= text.size();
  });
}

void child_log_lane::flush(std::function<void()> then) {
  if (!file_ || !writer::run(then))
    then();
}

void child_log_lane::close(std::function<void()> then) {
  auto f = std::exchange(file_, nullptr);
  auto end = [f, then, gap = std::exchange(left_out_, 0)] {
    if (gap > 0)
      f->log.skip(gap);
    f->log.close();
    then();
  };
  if (!f || !writer::run(end))
    then();
}

} // namespace conclave
