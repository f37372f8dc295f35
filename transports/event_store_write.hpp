// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The writing connection of a store: appends, claims, deletions, requests to cancel. Private to transports/event_store*.
///
/// Thread rule: one thread at a time.

#include "transports/event_store.hpp"
#include "transports/event_store_record.hpp"
#include "transports/event_store_sqlite.hpp"
#include "transports/live_tasks.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace conclave {

struct cancel_request {
  std::int64_t nr = 0;
  std::string task;
  std::string reason;
};

class store_writer {
public:
  store_writer(std::string path, live_tasks& live) : path_(std::move(path)), live_(live) {}

  /// Opens the connection and sees to the tables. Returns an empty string, or why not. `alone`: see sqlite::set_up.
  std::string open(store_use purpose, bool alone);
  bool was_full() const { return was_full_; } ///< the last failure was for want of room

  /// Runs `f` in a transaction, waiting for locks until 5 s after `since`. Locks of tasks that `f` took are let go if it fails.
  template <class F>
  int transaction(F&& f, std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now()) {
    db_.begin_waiting(since);
    taken_.clear();
    auto code = db_.in_transaction(path_, failure_, f);
    was_full_ = code != SQLITE_OK && db_.is_full(code);
    if (code != SQLITE_OK) {
      for (auto& task : taken_)
        live_.let_go(task);
      groups_.clear(); // some of their records may not be there
    }
    return code;
  }
  const std::string& failure() const { return failure_; } ///< one sentence on the last transaction that failed

  // In a transaction. A conflict is a result, not a failure of the transaction, which other tasks share.
  int append(const std::string& task, std::uint64_t fence, std::uint64_t expected, const append_batch& batch,
             append_result& result);
  int claim(const std::string& task, const task_owner& owner, claim_result& result);
  bool keep_to_erase(const std::string& task); ///< false: somebody works on it; else nobody takes it up from now on
  void let_go_of_kept();

  /// A task that has just ended stays held: the next claim here gets it, as if nobody held it.
  void keep_ended(const std::string& task) { kept_ended_.insert(task); }
  void is_claimed(const std::string& task) { kept_ended_.erase(task); } ///< its claim is written

  int erase(std::vector<std::string>& tasks); ///< takes those under way, and unknown ones, out of the list

  /// A task is about to be let go of, in a transaction of its own: the row of one that had ended when it was claimed names again
  /// who played it, by whom the rest of that process is looked after.
  void release(const std::string& task);

  /// What was kept in memory for the next append of a task ends.
  void forget(const std::string& task) { groups_.erase(task); }

  /// Returns the requests for tasks held here that were not returned before. Costs next to nothing while no other connection has
  /// written; `look`: one of this process has.
  std::vector<cancel_request> new_cancels(bool look);

  /// Deletes what new_cancels has returned; what cannot be deleted now is the next time.
  void forget_cancels();

  sqlite::connection& db() { return db_; }

private:
  /// A statement that is ready to be bound, and is reset at the end of the scope.
  class use {
  public:
    explicit use(sqlite3_stmt* s) : s_(s) {}
    use(const use&) = delete;
    use& operator=(const use&) = delete;
    ~use() {
      if (s_ == nullptr)
        return;
      sqlite3_reset(s_);
      sqlite3_clear_bindings(s_);
    }
    explicit operator bool() const { return s_ != nullptr; }
    sqlite3_stmt* get() const { return s_; }
    template <class... Ts>
    void bind(const Ts&... values) const {
      int i = 0;
      (sqlite::put(s_, ++i, values), ...);
    }

  private:
    sqlite3_stmt* s_;
  };
  /// `sql` is a literal: its address is its name.
  use statement(const char* sql);
  template <class... Ts>
  int run(const char* sql, const Ts&... values) {
    auto s = statement(sql);
    if (!s)
      return db_.last();
    s.bind(values...);
    auto code = sqlite3_step(s.get());
    return code == SQLITE_DONE ? SQLITE_OK : code;
  }

  /// The same on a table that not every store has: those of before records, those that began after `events`.
  template <class... Ts>
  int run_if_there(const char* sql, const Ts&... values) {
    return !statement(sql) && db_.last() == SQLITE_ERROR ? SQLITE_OK : run(sql, values...);
  }

  int begin_task(const std::string& task, std::uint64_t fence, const append_batch& batch, std::int64_t& nr, append_result& result);
  int add(const std::string& task, std::int64_t nr, std::uint64_t seq, const append_batch& batch);
  int add_record(const std::string& task, std::int64_t nr, const record_text& record);
  int add_body(const std::string& task, const stored_body& body);
  int erase_bodies(const std::string& task);
  int number_of(const std::string& task, std::int64_t& nr);

  /// The group of records that the next one of a task goes on with. One that is not at hand is not looked up: a new one begins.
  struct record_group {
    std::uint64_t first = 0, next = 0; ///< the numbers of its first event, and of the one that comes next
    std::string text;                  ///< of its records; empty: it has ended
  };

  std::string path_;
  live_tasks& live_;
  sqlite::connection db_;
  record_packer packer_;
  std::map<std::string, record_group> groups_;          ///< of tasks under way here: less than group_bytes each
  std::map<const char*, sqlite::statement> statements_; ///< ends before the connection
  std::vector<std::string> taken_;                      ///< locks taken in this transaction
  std::map<std::string, task_owner> lent_;              ///< of tasks held here that had ended: who owned them before
  std::set<std::string> kept_ended_;                    ///< held here since before they ended, and nobody's
  std::set<std::string> to_erase_;                      ///< locks taken so that nobody else does
  std::string failure_;
  bool was_full_ = false;
  std::int64_t seen_ = -1;      ///< what the data version was when requests were last looked for
  std::set<std::int64_t> told_; ///< requests that were returned and are still there
};

} // namespace conclave
