// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store.hpp"

#include "transports/event_store_names.hpp"
#include "transports/event_store_queue.hpp"
#include "transports/event_store_read.hpp"
#include "transports/event_store_space.hpp"
#include "transports/event_store_write.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <fcntl.h>
#include <mutex>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

using strings = std::vector<std::string>;

constexpr std::size_t delete_batch = 16; ///< tasks a transaction deletes: its lock is short and so is its log, on a full disk too
constexpr std::size_t page_bytes = std::size_t{4} << 20;
constexpr std::chrono::milliseconds cancel_poll{500};

class sqlite_store final : public event_store {
public:
  sqlite_store(std::string path, store_use use)
      : path_(std::move(path)), use_(use), live_(path_ + "-live"), reserve_(path_), writer_(path_, live_), reads_(path_, use) {}

  ~sqlite_store() override {
    reads_.stop(); // first: what it calls back may append
    {
      std::lock_guard guard(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable())
      thread_.join();
  }

  /// Returns an empty string, or why the store cannot be used.
  std::string start() {
    if (use_ == store_use::reading)
      return {};
    auto error = writer_.open(use_, false);
    if (use_ == store_use::deleting && !error.empty() && writer_.was_full()) {
      reserve_.release();
      error = writer_.open(use_, false);
      if (!error.empty())
        error = writer_.open(use_, true);
    }
    if (error.empty() && use_ == store_use::everything) {
      reserve_.keep();
      thread_ = std::thread([this] { loop(); });
    }
    return error;
  }

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) override {
    if (use_ != store_use::everything)
      return done({ec::unavailable, not_for_writing(), 0});
    write_job j;
    j.task = std::move(task);
    j.fence = fence;
    j.expected = expected_seq;
    j.batch = std::move(batch);
    j.appended = std::move(done);
    push(std::move(j));
  }

  void claim(std::string task, task_owner owner, std::function<void(claim_result)> done) override {
    if (use_ == store_use::deleting) {
      std::lock_guard writing(write_mutex_);
      return done(writer_.keep_to_erase(task) ? claim_result{}
                                              : claim_result{ec::denied, "task " + task + " is under way", 0, 0, {}});
    }
    if (use_ != store_use::everything)
      return done({ec::unavailable, not_for_writing(), 0, 0, {}});
    write_job j;
    j.task = std::move(task);
    j.batch.note.owner = std::move(owner);
    j.claimed = std::move(done);
    push(std::move(j));
  }

  void release(const std::string& task) override {
    if (use_ != store_use::everything)
      return;
    write_job j;
    j.task = task;
    push(std::move(j));
  }

  void keep_ended(bool on) override { keep_ended_ = on; }

  void read(std::string task, std::uint64_t after, std::size_t limit, std::function<void(event_page)> done) override {
    auto error = reads_.post([task = std::move(task), after, limit, done, closed = closed()](store_reader* reader) {
      done(reader != nullptr ? reader->events(task, after, limit, page_bytes) : event_page{ec::cancelled, closed, {}, false});
    });
    if (!error.empty())
      done({ec::unavailable, std::move(error), {}, false});
  }

  void read_bodies(std::string task, strings shas, std::function<void(body_page)> done) override {
    auto error = reads_.post([task = std::move(task), shas = std::move(shas), done, closed = closed()](store_reader* reader) {
      done(reader != nullptr ? reader->bodies(task, shas, page_bytes) : body_page{ec::cancelled, closed, {}, 0});
    });
    if (!error.empty())
      done({ec::unavailable, std::move(error), {}, 0});
  }

  bool request_cancel(const std::string& task, const std::string& reason, std::string& error) override {
    if (use_ == store_use::reading) {
      error = "event store " + path_ + " was opened for reading only";
      return false;
    }
    if (!ask_to_cancel(path_, live_, task, reason, error))
      return false;
    if (live_.holds(task)) { // else its owner sees that the file has changed
      {
        std::lock_guard guard(mutex_);
        look_ = true;
      }
      wake_.notify_one();
    }
    return true;
  }

  void on_cancel(std::function<void(std::string, std::string)> told) override {
    std::lock_guard guard(mutex_);
    told_ = std::move(told);
  }

  std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) override {
    return read_all(task, after, nullptr, error);
  }

  std::vector<stored_event> read_with_bodies(const std::string& task, std::vector<stored_body>& on_the_way,
                                             std::string& error) override {
    return read_all(task, 0, &on_the_way, error);
  }

  std::vector<stored_body> bodies(const std::string& task, const strings& shas, std::string& error) override {
    std::lock_guard one_at_a_time(bodies_mutex_);
    auto page = shas.empty() ? bodies_.all_bodies(task) : bodies_.bodies(task, shas, store_reader::no_limit);
    if (!page.error.empty())
      error = std::move(page.error);
    return std::move(page.bodies);
  }

  std::vector<task_row> list(std::string& error) override { return store_reader(path_, use_).list(live_, error); }

  std::optional<task_row> find(const std::string& task, std::string& error) override {
    if (task.empty())
      return {};
    auto rows = store_reader(path_, use_).list(live_, error, task);
    return rows.empty() ? std::nullopt : std::optional{std::move(rows.front())};
  }

  bool remove(const std::string& task, std::string& error) override {
    auto row = find(task, error);
    if (!error.empty())
      return false;
    if (row && row->live) {
      error = why_kept(*row);
      return false;
    }
    return !remove_all({task}, error).empty();
  }

  strings remove_all(const strings& tasks, std::string& error) override {
    std::lock_guard writing(write_mutex_);
    strings gone;
    if (use_ == store_use::reading)
      error = "event store " + path_ + " was opened for reading only";
    for (std::size_t from = 0; from < tasks.size() && error.empty(); from += delete_batch) {
      strings batch(tasks.begin() + static_cast<std::ptrdiff_t>(from),
                    tasks.begin() + static_cast<std::ptrdiff_t>(std::min(tasks.size(), from + delete_batch)));
      auto erase = [&] { return writer_.erase(batch); };
      auto code = writer_.transaction(erase);
      if (writer_.was_full() && reserve_.release())
        code = writer_.transaction(erase);
      if (code != 0)
        error = writer_.failure();
      else
        gone.insert(gone.end(), batch.begin(), batch.end());
    }
    writer_.let_go_of_kept();
    // Also if nothing was deleted: what a kill kept from being done is done now.
    if (use_ != store_use::reading && (error.empty() || writer_.was_full())) {
      give_pages_back(writer_.db(), live_.is_any_live());
      reserve_.keep();
    }
    return gone;
  }

  strings prune(std::int64_t before_ms, std::string& error) override {
    strings old;
    for (auto& row : list(error))
      if (row.started_ms < before_ms && !row.live)
        old.push_back(row.task);
    return error.empty() ? remove_all(old, error) : strings{};
  }

private:
  std::vector<stored_event> read_all(const std::string& task, std::uint64_t after, std::vector<stored_body>* on_the_way,
                                     std::string& error) {
    auto page = store_reader(path_, use_).events(task, after, store_reader::no_limit, store_reader::most_of_a_task, on_the_way);
    if (!page.error.empty())
      error = std::move(page.error);
    else if (page.more)
      error = "event store " + path_ + ": " + store_reader::too_large(task);
    return std::move(page.events);
  }

  std::string not_for_writing() const { return "event store " + path_ + " was not opened for writing"; }
  std::string closed() const { return "event store " + path_ + " is being closed"; }

  void push(write_job j) {
    {
      std::lock_guard guard(mutex_);
      queue_.push_back(std::move(j));
    }
    wake_.notify_one();
  }

  /// Takes what is queued, writes it in one transaction, then reports. Looks for requests to cancel while a task is owned here.
  void loop() {
    std::unique_lock lock(mutex_);
    auto ready = [this] { return stop_ || look_ || !queue_.empty(); };
    for (;;) {
      if (told_ && live_.holds_any())
        wake_.wait_for(lock, cancel_poll, ready);
      else
        wake_.wait(lock, ready);
      if (stop_ && queue_.empty())
        return;
      auto batch = next_batch(queue_);
      auto look = std::exchange(look_, false);
      auto told = told_;
      lock.unlock();
      if (!batch.empty())
        carry_out(batch);
      if (told)
        tell(told, look);
      lock.lock();
    }
  }

  void carry_out(std::vector<write_job>& batch) {
    {
      std::lock_guard writing(write_mutex_);
      write_all(writer_, live_, batch, keep_ended_);
    }
    for (auto& j : batch)
      if (j.claimed)
        j.claimed(std::move(j.claim));
      else if (j.appended)
        j.appended(std::move(j.append));
  }

  void tell(const std::function<void(std::string, std::string)>& told, bool look) {
    if (!live_.holds_any())
      return;
    std::vector<cancel_request> requests;
    {
      std::lock_guard writing(write_mutex_);
      requests = writer_.new_cancels(look);
    }
    for (auto& r : requests)
      told(std::move(r.task), std::move(r.reason));
    std::lock_guard writing(write_mutex_);
    writer_.forget_cancels();
  }

  std::string path_;
  store_use use_;
  live_tasks live_;
  disk_reserve reserve_;
  store_writer writer_;
  std::mutex write_mutex_; ///< the writer: the loop and deletions
  std::mutex bodies_mutex_;
  store_reader bodies_{path_, use_}; ///< of bodies(); knows where those of the last task lie
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<write_job> queue_;
  std::atomic<bool> keep_ended_{false};
  bool look_ = false; ///< for a request of this object
  bool stop_ = false;
  std::function<void(std::string, std::string)> told_;
  std::thread thread_;
  reading_thread reads_;
};

} // namespace

std::unique_ptr<event_store> event_store::open(const std::string& path, std::string& error, store_use use) {
  if (use == store_use::everything) {
    auto slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0)
      ::mkdir(path.substr(0, slash).c_str(), 0700);
    // Created with the right mode from the start: SQLite would use the umask. One that is there is not opened here: to close it
    // again would take away the locks that other connections of this process have on it, and others would believe it unused.
    auto reason = ::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) == 0 ? 0 : errno;
    if (reason == ENOENT) {
      auto fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      reason = fd >= 0 || errno == EEXIST ? 0 : errno;
      if (fd >= 0)
        ::close(fd);
    }
    if (reason != 0) {
      error = sqlite::explain_open(path, reason);
      return nullptr;
    }
  }
  auto store = std::make_unique<sqlite_store>(path, use);
  error = store->start();
  if (!error.empty())
    return nullptr;
  return store;
}

} // namespace conclave
