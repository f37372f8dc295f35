// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store.hpp"

#include "transports/event_store_space.hpp"
#include "transports/event_store_sqlite.hpp"
#include "transports/live_tasks.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <string_view>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace conclave {

namespace {

using sqlite::connection;
using sqlite::put;
using sqlite::statement;
using sqlite::text_at;

constexpr int schema_version = 1;
constexpr std::size_t max_batch = 512;
constexpr std::size_t delete_batch = 16; ///< tasks a transaction deletes: its lock is short and so is its log, on a full disk too

// Has to be said before the first page is written; see give_pages_back.
constexpr const char* before_schema = "PRAGMA auto_vacuum = INCREMENTAL";

constexpr const char* schema = R"(
CREATE TABLE IF NOT EXISTS tasks(
  task TEXT PRIMARY KEY, fence INTEGER NOT NULL, seq INTEGER NOT NULL, started_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  question TEXT NOT NULL, outcome TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events(
  task TEXT NOT NULL, seq INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY(task, seq)) WITHOUT ROWID;
PRAGMA user_version = 1;
)";

// The order in which tasks began; clocks jump. Beside the schema, as programs that do not know it write tasks without a number:
// these are given one at the next start, by their clock.
constexpr const char* order_schema = R"(
CREATE TABLE IF NOT EXISTS starts(nr INTEGER PRIMARY KEY, task TEXT NOT NULL UNIQUE);
DELETE FROM starts WHERE task NOT IN (SELECT task FROM tasks);
INSERT INTO starts(task) SELECT task FROM tasks WHERE task NOT IN (SELECT task FROM starts) ORDER BY started_ms, task;
)";
constexpr const char* order_is_complete =
    "SELECT (SELECT count(*) FROM tasks) = (SELECT count(*) FROM tasks JOIN starts USING(task))";

std::string cut_question(const std::string& q) {
  if (q.size() <= 200)
    return q;
  std::size_t end = 200;
  while (end > 0 && (static_cast<unsigned char>(q[end]) & 0xC0) == 0x80)
    --end;
  return q.substr(0, end);
}

using strings = std::vector<std::string>;

struct job {
  std::string task;
  std::uint64_t fence = 0;
  std::uint64_t expected = 0;
  std::vector<std::string> events;
  append_note note;
  event_store::callback done;
  append_result result;
};

class sqlite_store final : public event_store {
public:
  sqlite_store(std::string path, store_use use) : path_(std::move(path)), use_(use), live_(path_ + "-live"), reserve_(path_) {}

  ~sqlite_store() override {
    {
      std::lock_guard guard(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (writer_.joinable())
      writer_.join();
  }

  /// Returns an empty string, or why the store cannot be used.
  std::string start() {
    if (use_ == store_use::reading)
      return {};
    auto error = prepare(false);
    if (use_ == store_use::deleting && !error.empty() && was_full_) {
      reserve_.release();
      error = prepare(false);
      if (!error.empty())
        error = prepare(true);
    }
    if (error.empty() && use_ == store_use::everything) {
      reserve_.keep();
      writer_ = std::thread([this] { loop(); });
    }
    return error;
  }

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, std::vector<std::string> events, append_note note,
              callback done) override {
    if (use_ != store_use::everything)
      return done({ec::unavailable, "event store " + path_ + " was not opened for writing", 0});
    {
      std::lock_guard guard(mutex_);
      queue_.push_back({std::move(task), fence, expected_seq, std::move(events), std::move(note), std::move(done), {}});
    }
    wake_.notify_one();
  }

  std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) override {
    std::vector<stored_event> out;
    reading(
        error, {"SELECT seq, json FROM events WHERE task = ?1 AND seq > ?2 ORDER BY seq"},
        [&](sqlite3_stmt* s) {
          put(s, 1, task);
          put(s, 2, after);
        },
        [&](sqlite3_stmt* s) {
          out.push_back({static_cast<std::uint64_t>(sqlite3_column_int64(s, 0)), text_at(s, 1)});
        });
    return out;
  }

  std::vector<task_row> list(std::string& error) override {
    std::vector<task_row> out;
    reading(
        error,
        {"SELECT task, started_ms, last_ms, seq, question, outcome FROM tasks LEFT JOIN starts USING(task)"
         " ORDER BY nr IS NULL DESC, nr DESC, started_ms DESC, task DESC",
         // A store of before that nobody could write to since.
         "SELECT task, started_ms, last_ms, seq, question, outcome FROM tasks ORDER BY started_ms DESC, task DESC"},
        [](sqlite3_stmt*) {},
        [&](sqlite3_stmt* s) {
          out.push_back({text_at(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2),
                         static_cast<std::uint64_t>(sqlite3_column_int64(s, 3)), text_at(s, 4), text_at(s, 5), false});
        });
    for (auto& row : out)
      row.live = row.outcome.empty() && live_.is_live(row.task);
    return out;
  }

  bool remove(const std::string& task, std::string& error) override {
    if (live_.is_live(task)) {
      error = "task " + task + " is still running: end it first";
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
      write_.begin_waiting();
      auto code = erase(batch);
      if (write_.is_full(code) && reserve_.release())
        code = erase(batch);
      if (code != SQLITE_OK)
        error = failure_;
      else
        gone.insert(gone.end(), batch.begin(), batch.end());
    }
    if (use_ != store_use::reading) { // also if nothing was deleted: what a kill kept from being done is done now
      give_pages_back(write_, live_.is_any_live());
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
  /// Opens the writing connection and makes the tables. `alone`: without the file other processes would share, which needs room.
  std::string prepare(bool alone) {
    write_.begin_waiting();
    auto fail = [this](int code) {
      was_full_ = write_.is_full(code);
      return write_.explain(code, path_);
    };
    auto create = use_ == store_use::everything ? SQLITE_OPEN_CREATE : 0;
    auto code = write_.open(path_, SQLITE_OPEN_READWRITE | create);
    if (code != SQLITE_OK)
      return fail(code);
    ::chmod(path_.c_str(), 0600);
    if (alone)
      write_.run("PRAGMA locking_mode = EXCLUSIVE");
    std::int64_t version = 0;
    write_.patiently([&] {
      version = write_.number("PRAGMA user_version");
      return version < 0 ? static_cast<int>(-version) : SQLITE_OK;
    });
    if (version < 0)
      return fail(static_cast<int>(-version));
    if (version > schema_version)
      return "event store " + path_ + " has schema " + std::to_string(version) + ", this program knows "
             + std::to_string(schema_version) + ": use a newer conclave, or another $CONCLAVE_HOME";
    if (version < schema_version)
      write_.run(before_schema);
    // Pages that are freed need not be overwritten: they return to the disk at once.
    for (auto* sql : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = FAST", sqlite::small_cache})
      if (code = write_.patiently([&] { return write_.run(sql); }); code != SQLITE_OK)
        return fail(code);
    if (version < schema_version)
      code = write_.in_transaction(path_, failure_, [this] { return write_.run(schema); });
    if (code == SQLITE_OK && use_ == store_use::everything && write_.number(order_is_complete) != 1)
      code = write_.in_transaction(path_, failure_, [this] { return write_.run(order_schema); });
    was_full_ = write_.is_full(code);
    return code == SQLITE_OK ? std::string{} : failure_;
  }

  /// Takes what is queued, writes it in one transaction, then reports.
  void loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty())
        return;
      std::vector<job> batch;
      while (!queue_.empty() && batch.size() < max_batch) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      lock.unlock();
      std::lock_guard writing(write_mutex_);
      write_.begin_waiting();
      auto code = write_.in_transaction(path_, failure_, [&] {
        for (auto& j : batch)
          if (auto c = write(j); c != SQLITE_OK)
            return c;
        return SQLITE_OK;
      });
      for (auto& j : batch) {
        if (code != SQLITE_OK)
          j.result = {ec::unavailable, failure_, 0};
        else if (!j.note.outcome.empty())
          live_.let_go(j.task);
        j.done(std::move(j.result));
      }
      lock.lock();
    }
  }

  /// A conflict is a result, not a failure of the batch.
  int write(job& j) {
    auto at = write_.prepare("SELECT fence, seq FROM tasks WHERE task = ?1");
    if (!at)
      return write_.last();
    put(at.get(), 1, j.task);
    std::uint64_t fence = 0, seq = 0;
    auto code = sqlite3_step(at.get());
    if (code == SQLITE_ROW) {
      fence = static_cast<std::uint64_t>(sqlite3_column_int64(at.get(), 0));
      seq = static_cast<std::uint64_t>(sqlite3_column_int64(at.get(), 1));
    } else if (code != SQLITE_DONE) {
      return code;
    }
    if (j.fence < fence || j.expected != seq) {
      j.result = {ec::denied,
                  "task " + j.task + " is at event " + std::to_string(seq) + ", not " + std::to_string(j.expected)
                      + (j.fence < fence ? ", and another engine owns it" : ""),
                  seq};
      return SQLITE_OK;
    }
    if (seq == 0) {
      live_.hold(j.task);
      auto start = write_.prepare("INSERT OR IGNORE INTO starts(task) VALUES(?1)");
      if (!start)
        return write_.last();
      put(start.get(), 1, j.task);
      if (code = sqlite3_step(start.get()); code != SQLITE_DONE)
        return code;
    }
    auto insert = write_.prepare("INSERT INTO events(task, seq, json) VALUES(?1, ?2, ?3)");
    if (!insert)
      return write_.last();
    for (auto& json : j.events) {
      put(insert.get(), 1, j.task);
      put(insert.get(), 2, ++seq);
      put(insert.get(), 3, json);
      if (code = sqlite3_step(insert.get()); code != SQLITE_DONE)
        return code;
      sqlite3_reset(insert.get());
    }
    auto task = write_.prepare(
        "INSERT INTO tasks(task, fence, seq, started_ms, last_ms, question, outcome) VALUES(?1, ?2, ?3, ?4, ?4, ?5, ?6)"
        " ON CONFLICT(task) DO UPDATE SET fence = ?2, seq = ?3, last_ms = ?4,"
        " outcome = CASE WHEN ?6 = '' THEN outcome ELSE ?6 END");
    if (!task)
      return write_.last();
    put(task.get(), 1, j.task);
    put(task.get(), 2, j.fence);
    put(task.get(), 3, seq);
    put(task.get(), 4, j.note.time_ms);
    put(task.get(), 5, cut_question(j.note.question));
    put(task.get(), 6, j.note.outcome);
    code = sqlite3_step(task.get());
    j.result = {ec::none, "", seq};
    return code == SQLITE_DONE ? SQLITE_OK : code;
  }

  /// Runs the first of `queries` this store knows the tables of.
  template <class Bind, class Row>
  void reading(std::string& error, const std::vector<const char*>& queries, Bind&& set, Row&& row) {
    struct stat st {};
    if (use_ == store_use::reading && ::stat(path_.c_str(), &st) != 0 && errno == ENOENT)
      return; // nothing was ever stored
    connection c;
    c.begin_waiting();
    auto attempt = [&](int flags, bool immutable) {
      auto code = c.open(path_, flags, immutable);
      for (auto* sql : queries) {
        if (code != SQLITE_OK && code != SQLITE_ERROR)
          return code;
        statement s;
        code = c.patiently([&] {
          s = c.prepare(sql);
          return c.last();
        });
        if (!s)
          continue;
        set(s.get());
        code = c.patiently([&] { return sqlite3_step(s.get()); }); // the first row takes the lock
        for (; code == SQLITE_ROW; code = sqlite3_step(s.get()))
          row(s.get());
        return code;
      }
      return code;
    };
    auto code = attempt(SQLITE_OPEN_READWRITE, false);
    if (code == SQLITE_DONE)
      return;
    error = c.explain(code, path_);
    // A reader writes too: the index of the log. Where that cannot be, the log is read without it, and a store without a log as it
    // is (https://www.sqlite.org/wal.html section 5, read 2026-11-26).
    auto kind = code & 0xFF;
    auto no_log = ::stat((path_ + "-wal").c_str(), &st) != 0 || st.st_size == 0;
    if (use_ == store_use::reading
        && (kind == SQLITE_READONLY || kind == SQLITE_CANTOPEN || kind == SQLITE_PERM || kind == SQLITE_IOERR
            || kind == SQLITE_FULL)
        && (attempt(SQLITE_OPEN_READONLY, false) == SQLITE_DONE || (no_log && attempt(SQLITE_OPEN_READONLY, true) == SQLITE_DONE)))
      error.clear();
  }

  /// Deletes tasks in one transaction; takes those under way, and unknown ones, out of the list.
  int erase(strings& tasks) {
    return write_.in_transaction(path_, failure_, [&]() -> int {
      std::erase_if(tasks, [this](const std::string& id) { return live_.is_live(id); });
      strings gone;
      for (auto& id : tasks)
        for (auto* sql :
             {"DELETE FROM events WHERE task = ?1", "DELETE FROM starts WHERE task = ?1", "DELETE FROM tasks WHERE task = ?1"}) {
          auto s = write_.prepare(sql);
          if (!s && write_.last() == SQLITE_ERROR)
            continue; // a store of before has no order of its own
          if (!s)
            return write_.last();
          put(s.get(), 1, id);
          if (auto code = sqlite3_step(s.get()); code != SQLITE_DONE)
            return code;
          if (std::string_view(sql).find(" tasks ") != std::string_view::npos && sqlite3_changes(write_.get()) > 0)
            gone.push_back(id);
        }
      tasks = std::move(gone);
      return SQLITE_OK;
    });
  }

  std::string path_;
  store_use use_;
  live_tasks live_;
  disk_reserve reserve_;
  connection write_;
  std::string failure_;    ///< why the last transaction failed
  bool was_full_ = false;  ///< and `prepare`: for want of room
  std::mutex write_mutex_; ///< the writing connection: the loop and deletions
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<job> queue_;
  bool stop_ = false;
  std::thread writer_;
};

} // namespace

std::unique_ptr<event_store> event_store::open(const std::string& path, std::string& error, store_use use) {
  if (use == store_use::everything) {
    auto slash = path.rfind('/');
    if (slash != std::string::npos && slash > 0)
      ::mkdir(path.substr(0, slash).c_str(), 0700);
    // Created with the right mode from the start: SQLite would use the umask.
    auto fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      error = sqlite::explain_open(path, errno);
      return nullptr;
    }
    ::close(fd);
  }
  auto store = std::make_unique<sqlite_store>(path, use);
  error = store->start();
  if (!error.empty())
    return nullptr;
  return store;
}

} // namespace conclave
