// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store.hpp"

#include "transports/live_tasks.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace conclave {

namespace {

constexpr int schema_version = 1;
constexpr int busy_ms = 5'000;
constexpr std::size_t max_batch = 512;

constexpr const char* schema = R"(
CREATE TABLE IF NOT EXISTS tasks(
  task TEXT PRIMARY KEY, fence INTEGER NOT NULL, seq INTEGER NOT NULL, started_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  question TEXT NOT NULL, outcome TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events(
  task TEXT NOT NULL, seq INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY(task, seq)) WITHOUT ROWID;
PRAGMA user_version = 1;
)";

struct close_db {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using database = std::unique_ptr<sqlite3, close_db>;
using statement = std::unique_ptr<sqlite3_stmt, finalize>;

std::string what_to_do(int code) {
  switch (code & 0xFF) {
  case SQLITE_FULL:
    return "the disk is full: free some space";
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return "it stayed locked for 5 s: another program holds it";
  case SQLITE_READONLY:
  case SQLITE_CANTOPEN:
  case SQLITE_PERM:
    return "it cannot be written: check the permissions";
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return "it is damaged: move it away to start a new one";
  default:
    return "";
  }
}

std::string explain(sqlite3* db, int code, const std::string& path) {
  auto hint = what_to_do(code);
  auto text = "event store " + path + ": " + sqlite3_errstr(code)
              + (db != nullptr && sqlite3_errcode(db) == code ? std::string(", ") + sqlite3_errmsg(db) : std::string{});
  return hint.empty() ? text : text + "; " + hint;
}

std::string cut_question(const std::string& q) {
  if (q.size() <= 200)
    return q;
  std::size_t end = 200;
  while (end > 0 && (static_cast<unsigned char>(q[end]) & 0xC0) == 0x80)
    --end;
  return q.substr(0, end);
}

/// Some steps answer "busy" at once and do not ask the busy handler: the change to WAL, the recovery of a log, the clean-up by the
/// last connection of another process (https://www.sqlite.org/wal.html section 8, read 2026-11-25). They are short: tried again
/// until the same 5 s have passed. Called by hosts and the writing thread, never by an actor.
template <class F>
int patiently(F&& step) {
  auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(busy_ms);
  for (int wait_ms = 1;; wait_ms = std::min(2 * wait_ms, 50)) {
    auto code = step();
    auto kind = code & 0xFF;
    if ((kind != SQLITE_BUSY && kind != SQLITE_PROTOCOL) || std::chrono::steady_clock::now() >= until)
      return code;
    sqlite3_sleep(wait_ms);
  }
}

/// One connection; not shared between threads.
class connection {
public:
  int open(const std::string& path, int flags) {
    sqlite3* raw = nullptr;
    auto code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, nullptr);
    db_.reset(raw);
    if (code == SQLITE_OK)
      code = sqlite3_busy_timeout(raw, busy_ms);
    return code;
  }
  int run(const char* sql) { return sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr); }
  statement prepare(const char* sql) {
    sqlite3_stmt* s = nullptr;
    last_ = sqlite3_prepare_v2(db_.get(), sql, -1, &s, nullptr);
    return statement{s};
  }
  int last() const { return last_; }
  sqlite3* get() const { return db_.get(); }

private:
  database db_;
  int last_ = SQLITE_OK;
};

void put(sqlite3_stmt* s, int i, const std::string& text) {
  sqlite3_bind_text(s, i, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}
void put(sqlite3_stmt* s, int i, std::uint64_t n) {
  sqlite3_bind_int64(s, i, static_cast<sqlite3_int64>(n));
}
void put(sqlite3_stmt* s, int i, std::int64_t n) {
  sqlite3_bind_int64(s, i, n);
}

std::string text_at(sqlite3_stmt* s, int i) {
  auto* p = reinterpret_cast<const char*>(sqlite3_column_text(s, i));
  return p == nullptr ? std::string{} : std::string(p, static_cast<std::size_t>(sqlite3_column_bytes(s, i)));
}

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
  explicit sqlite_store(std::string path) : path_(std::move(path)), live_(path_ + "-live") {}

  ~sqlite_store() override {
    {
      std::lock_guard guard(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    if (writer_.joinable())
      writer_.join();
  }

  std::string start() {
    auto code = write_.open(path_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (code != SQLITE_OK)
      return explain(write_.get(), code, path_);
    ::chmod(path_.c_str(), 0600);
    int version = 0;
    patiently([&] {
      version = user_version();
      return version < 0 ? -version : SQLITE_OK;
    });
    if (version < 0)
      return explain(write_.get(), -version, path_);
    if (version > schema_version)
      return "event store " + path_ + " has schema " + std::to_string(version) + ", this program knows "
             + std::to_string(schema_version) + ": use a newer conclave, or another $CONCLAVE_HOME";
    for (auto* sql : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"})
      if (code = patiently([&] { return write_.run(sql); }); code != SQLITE_OK)
        return explain(write_.get(), code, path_);
    if (version < schema_version)
      if (code = in_transaction([this] { return write_.run(schema); }); code != SQLITE_OK)
        return failure_;
    writer_ = std::thread([this] { loop(); });
    return {};
  }

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, std::vector<std::string> events, append_note note,
              callback done) override {
    {
      std::lock_guard guard(mutex_);
      queue_.push_back({std::move(task), fence, expected_seq, std::move(events), std::move(note), std::move(done), {}});
    }
    wake_.notify_one();
  }

  std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) override {
    std::vector<stored_event> out;
    reading(
        error, "SELECT seq, json FROM events WHERE task = ?1 AND seq > ?2 ORDER BY seq",
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
        error, "SELECT task, started_ms, last_ms, seq, question, outcome FROM tasks ORDER BY started_ms DESC, task DESC",
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
    return !delete_where("task = ?1", &task, 0, error).empty();
  }

  std::vector<std::string> prune(std::int64_t before_ms, std::string& error) override {
    return delete_where("started_ms < ?2", nullptr, before_ms, error);
  }

private:
  int user_version() {
    auto s = write_.prepare("PRAGMA user_version");
    if (!s)
      return -write_.last();
    auto code = sqlite3_step(s.get());
    return code == SQLITE_ROW ? sqlite3_column_int(s.get(), 0) : -code;
  }

  template <class F>
  int in_transaction(F&& f) {
    auto code = patiently([this] { return write_.run("BEGIN IMMEDIATE"); });
    if (code != SQLITE_OK) {
      failure_ = explain(write_.get(), code, path_);
      return code;
    }
    code = f();
    if (code == SQLITE_OK)
      code = write_.run("COMMIT");
    if (code != SQLITE_OK) {
      failure_ = explain(write_.get(), code, path_); // the rollback would overwrite it
      write_.run("ROLLBACK");
    }
    return code;
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
      auto code = in_transaction([&] {
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
    if (seq == 0)
      live_.hold(j.task);
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

  template <class Bind, class Row>
  void reading(std::string& error, const char* sql, Bind&& set, Row&& row) {
    connection c;
    auto code = c.open(path_, SQLITE_OPEN_READWRITE);
    if (code == SQLITE_OK) {
      statement s;
      code = patiently([&] {
        s = c.prepare(sql);
        return c.last();
      });
      if (s) {
        set(s.get());
        code = patiently([&] { return sqlite3_step(s.get()); }); // the first row takes the lock
        for (; code == SQLITE_ROW; code = sqlite3_step(s.get()))
          row(s.get());
        if (code == SQLITE_DONE)
          return;
      }
    }
    error = explain(c.get(), code, path_);
  }

  std::vector<std::string> delete_where(const std::string& where, const std::string* task, std::int64_t before,
                                        std::string& error) {
    std::vector<std::string> gone;
    std::lock_guard writing(write_mutex_);
    auto code = in_transaction([&]() -> int {
      auto each = [&](const std::string& sql, const std::string* id, auto&& row) {
        auto s = write_.prepare(sql.c_str());
        if (!s)
          return write_.last();
        if (id != nullptr)
          put(s.get(), 1, *id);
        else
          put(s.get(), 2, before);
        int c = 0;
        while ((c = sqlite3_step(s.get())) == SQLITE_ROW)
          row(s.get());
        return c == SQLITE_DONE ? SQLITE_OK : c;
      };
      auto none = [](sqlite3_stmt*) {};
      if (auto c = each("SELECT task FROM tasks WHERE " + where, task, [&](sqlite3_stmt* s) { gone.push_back(text_at(s, 0)); });
          c != SQLITE_OK)
        return c;
      std::erase_if(gone, [this](const std::string& id) { return live_.is_live(id); });
      for (auto& id : gone)
        for (auto* sql : {"DELETE FROM events WHERE task = ?1", "DELETE FROM tasks WHERE task = ?1"})
          if (auto c = each(sql, &id, none); c != SQLITE_OK)
            return c;
      return SQLITE_OK;
    });
    if (code != SQLITE_OK) {
      error = failure_;
      gone.clear();
    }
    return gone;
  }

  std::string path_;
  live_tasks live_;
  connection write_;
  std::string failure_;    ///< why the last transaction failed
  std::mutex write_mutex_; ///< the writing connection: the loop and deletions
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<job> queue_;
  bool stop_ = false;
  std::thread writer_;
};

} // namespace

std::unique_ptr<event_store> event_store::open(const std::string& path, std::string& error) {
  auto slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0)
    ::mkdir(path.substr(0, slash).c_str(), 0700);
  // Created with the right mode from the start: SQLite would use the umask.
  auto fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0)
    ::close(fd);
  auto store = std::make_unique<sqlite_store>(path);
  error = store->start();
  if (!error.empty())
    return nullptr;
  return store;
}

} // namespace conclave
