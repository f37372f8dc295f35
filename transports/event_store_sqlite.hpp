// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// SQLite as the event store uses it: a connection that waits for locks a bounded time, and errors that say what to do. Private to
/// transports/event_store*.
///
/// Thread rule: a connection belongs to one thread at a time.

#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace conclave::sqlite {

/// What one operation of the store waits for locks in all, and what its error says.
inline constexpr std::chrono::seconds lock_patience{5};
inline constexpr std::chrono::milliseconds late_patience{100}; ///< for what waited its time in a queue

/// What is appended is not read again: SQLite's own 2 MB would only stay allocated.
inline constexpr const char* small_cache = "PRAGMA cache_size = -256";

struct close_db {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct finalize {
  void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
};
using statement = std::unique_ptr<sqlite3_stmt, finalize>;

class connection {
public:
  connection() = default;
  connection(const connection&) = delete; ///< SQLite holds its address
  connection& operator=(const connection&) = delete;

  /// Opens the database anew. `immutable`: reads the file alone, without locks, its log or anything beside it.
  int open(const std::string& path, int flags, bool immutable = false);
  void close() { db_.reset(); }

  /// Begins an operation that was asked for at `since`: locks are waited for `lock_patience` in all, from then on; a moment if that
  /// has passed.
  void begin_waiting(std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now()) {
    until_ = std::max(since + lock_patience, std::chrono::steady_clock::now() + late_patience);
  }

  int run(const char* sql);

  /// Returns nullptr on failure; see last().
  statement prepare(const char* sql);
  int last() const { return last_; }
  sqlite3* get() const { return db_.get(); }

  /// Returns the number a statement gives, or -code.
  std::int64_t number(const char* sql);

  /// Some steps answer "busy" at once and do not ask the busy handler: the change to WAL, the recovery of a log, the clean-up by
  /// the last connection of another process (https://www.sqlite.org/wal.html section 8, read 2026-11-25). They are short: tried
  /// again until the time of this operation has passed. Called by hosts and the writing thread, never by an actor.
  template <class F>
  int patiently(F&& step) {
    for (int wait_ms = 1;; wait_ms = std::min(2 * wait_ms, 50)) {
      auto code = step();
      auto kind = code & 0xFF;
      if ((kind != SQLITE_BUSY && kind != SQLITE_PROTOCOL) || std::chrono::steady_clock::now() >= until_)
        return code;
      sqlite3_sleep(wait_ms);
    }
  }

  /// Runs `f` in a transaction; its failure, or that of the commit, rolls back. Sets `error` to one sentence.
  template <class F>
  int in_transaction(const std::string& path, std::string& error, F&& f) {
    auto code = patiently([this] { return run("BEGIN IMMEDIATE"); });
    if (code != SQLITE_OK) {
      error = explain(code, path);
      return code;
    }
    if (is_elsewhere()) { // nobody would find again what is written
      error = "event store " + path + ": the file was deleted, moved or replaced while it was in use";
      run("ROLLBACK");
      return SQLITE_READONLY_DBMOVED;
    }
    code = f();
    if (code == SQLITE_OK)
      code = run("COMMIT");
    if (code != SQLITE_OK) {
      error = explain(code, path); // the rollback would overwrite it
      run("ROLLBACK");
    }
    return code;
  }

  /// Returns one sentence: the file, what happened, what to do.
  std::string explain(int code, const std::string& path) const;

  /// Returns whether the path no longer leads to the file that is open.
  bool is_elsewhere() const;

  /// Returns whether `code` says that the disk has no room.
  bool is_full(int code) const;

private:
  static int on_busy(void* self, int tries);

  std::unique_ptr<sqlite3, close_db> db_;
  int last_ = SQLITE_OK;
  std::chrono::steady_clock::time_point until_{};
};

/// Returns one sentence on a file that cannot be opened, by its errno.
std::string explain_open(const std::string& path, int reason);

struct blob {
  std::string_view bytes;
};

// The value of a text or blob is not copied: it has to be there until the statement is reset or finalized.
void put(sqlite3_stmt* s, int i, const std::string& text);
void put(sqlite3_stmt* s, int i, blob b);
void put(sqlite3_stmt* s, int i, std::uint64_t n);
void put(sqlite3_stmt* s, int i, std::int64_t n);
std::string text_at(sqlite3_stmt* s, int i);
std::string blob_at(sqlite3_stmt* s, int i);

} // namespace conclave::sqlite
