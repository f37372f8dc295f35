// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_read.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>
#include <system_error>
#include <utility>

namespace conclave {

namespace {

using sqlite::connection;
using sqlite::first_row;
using sqlite::one_state;
using sqlite::prepared;
using sqlite::put;
using sqlite::record_walk;
using sqlite::text_at;

constexpr std::size_t max_waiting = 1'000;

} // namespace

template <class F>
std::string store_reader::reading(F&& f) {
  struct stat st {};
  if (use_ == store_use::reading && ::stat(path_.c_str(), &st) != 0 && errno == ENOENT)
    return {}; // nothing was ever stored
  db_.begin_waiting();
  damage_.clear();
  auto attempt = [&](int flags, bool immutable) {
    auto code = db_.open(path_, flags, immutable);
    if (code != SQLITE_OK)
      return code;
    if (use_ == store_use::reading && db_.number("SELECT count(*) FROM sqlite_master") == 0) {
      db_.close(); // whoever was about to make its tables may do so yet, or was killed before
      return SQLITE_DONE;
    }
    db_.run(sqlite::small_cache);
    return f(db_);
  };
  auto code = db_.get() != nullptr ? f(db_) : attempt(SQLITE_OPEN_READWRITE, false);
  if (code == SQLITE_DONE)
    return {};
  auto error = damage_.empty() ? db_.explain(code, path_) : "event store " + path_ + ": " + damage_;
  // A reader writes too: the index of the log. Where that cannot be, the log is read without it, and a store without a log as it
  // is (https://www.sqlite.org/wal.html section 5, read 2026-11-26).
  auto kind = code & 0xFF;
  auto no_log = ::stat((path_ + "-wal").c_str(), &st) != 0 || st.st_size == 0;
  if (use_ == store_use::reading
      && (kind == SQLITE_READONLY || kind == SQLITE_CANTOPEN || kind == SQLITE_PERM || kind == SQLITE_IOERR || kind == SQLITE_FULL)
      && (attempt(SQLITE_OPEN_READONLY, false) == SQLITE_DONE || (no_log && attempt(SQLITE_OPEN_READONLY, true) == SQLITE_DONE)))
    error.clear();
  db_.close(); // the next one finds out anew
  return error;
}

bool store_reader::page_bounds::take(event_page& page, std::uint64_t seq, std::string json) {
  if (page.events.size() >= limit || bytes >= max_bytes) {
    page.more = true;
    return false;
  }
  bytes += json.size();
  page.events.push_back({seq, std::move(json)});
  return true;
}

void store_reader::page_bounds::take(std::vector<stored_body>& bodies) {
  if (on_the_way == nullptr)
    return;
  for (auto& b : bodies)
    if (beside += b.bytes.size(); beside <= event_store::on_the_way_bytes)
      on_the_way->push_back(std::move(b));
}

int store_reader::old_events(connection& db, const std::string& task, page_bounds& to, event_page& page) {
  auto s = prepared(db, "SELECT seq, json FROM events WHERE task = ?1 AND seq > ?2 ORDER BY seq");
  if (!s)
    return db.last() == SQLITE_ERROR ? SQLITE_DONE : db.last();
  put(s.get(), 1, task);
  put(s.get(), 2, to.after);
  auto code = first_row(db, s.get());
  for (; code == SQLITE_ROW; code = sqlite3_step(s.get()))
    if (!to.take(page, static_cast<std::uint64_t>(sqlite3_column_int64(s.get(), 0)), text_at(s.get(), 1)))
      return SQLITE_DONE;
  return code;
}

int store_reader::new_events(connection& db, const std::string& task, page_bounds& to, event_page& page) {
  record_walk walk(db, packer_);
  auto code = walk.open(task);
  if (code == SQLITE_OK)
    code = walk.seek(to.after + 1);
  record r;
  for (auto begins = to.after == 0; code == SQLITE_OK && (code = walk.next()) == SQLITE_ROW; begins = false) {
    if (code = walk.take(r); code != SQLITE_OK)
      break;
    places_.add(task, walk.first(), r, begins);
    to.take(r.bodies);
    auto seq = walk.first();
    for (auto& json : r.events)
      if (auto at = seq++; at > to.after && !to.take(page, at, std::move(json)))
        return SQLITE_DONE;
  }
  damage_ = walk.damage();
  return code;
}

event_page store_reader::events(const std::string& task, std::uint64_t after, std::size_t limit, std::size_t max_bytes,
                                std::vector<stored_body>* on_the_way) {
  event_page page;
  page.error = reading([&](connection& db) {
    page.events.clear();
    page.more = false;
    if (on_the_way != nullptr)
      on_the_way->clear();
    page_bounds to{after, limit, max_bytes, on_the_way};
    one_state state(db);
    auto code = state.code();
    if (code == SQLITE_OK)
      code = old_events(db, task, to, page);
    return code == SQLITE_DONE && !page.more ? new_events(db, task, to, page) : code;
  });
  if (!page.error.empty())
    page = {ec::unavailable, std::move(page.error), {}, false};
  return page;
}

body_page store_reader::bodies(const std::string& task, const std::vector<std::string>& shas, std::size_t max_bytes) {
  body_page page;
  page.looked_for = shas.size(); // where nothing was ever stored
  page.error = reading([&](connection& db) {
    page.bodies.clear();
    page.looked_for = 0;
    one_state state(db);
    return state.code() == SQLITE_OK ? some_bodies(db, task, shas, max_bytes, page) : state.code();
  });
  if (!page.error.empty())
    page = {ec::unavailable, std::move(page.error), {}, 0};
  return page;
}

body_page store_reader::all_bodies(const std::string& task) {
  body_page page;
  page.error = reading([&](connection& db) {
    page.bodies.clear();
    one_state state(db);
    return state.code() == SQLITE_OK ? every_body(db, task, page) : state.code();
  });
  page.code = page.error.empty() ? ec::none : ec::unavailable;
  page.looked_for = page.bodies.size();
  return page;
}

std::vector<task_row> store_reader::list(live_tasks& live, std::string& error, const std::string& only) {
  // What a store of before lacks is given as it would be there now; it may be on a medium that nobody can write to.
  static constexpr const char* by_number = " ORDER BY nr IS NULL DESC, nr DESC, started_ms DESC, task DESC";
  static constexpr std::pair<const char*, const char*> queries[] = {
      {"SELECT task, started_ms, last_ms, seq, question, outcome, nr, log_version, owner_host, owner_pid, owner_started_ms,"
       " task IN (SELECT task FROM played) FROM tasks LEFT JOIN starts USING(task)",
       by_number},
      {"SELECT task, started_ms, last_ms, seq, question, outcome, nr, log_version, owner_host, owner_pid, owner_started_ms, 0"
       " FROM tasks LEFT JOIN starts USING(task)",
       by_number},
      {"SELECT task, started_ms, last_ms, seq, question, outcome, nr, 1, '', 0, 0, 0 FROM tasks LEFT JOIN starts USING(task)",
       by_number},
      {"SELECT task, started_ms, last_ms, seq, question, outcome, 0, 1, '', 0, 0, 0 FROM tasks",
       " ORDER BY started_ms DESC, task DESC"}};
  std::vector<task_row> out;
  std::vector<std::int64_t> numbers;
  auto failure = reading([&](connection& db) {
    out.clear();
    numbers.clear();
    sqlite::statement s;
    for (auto& [rows, order] : queries)
      if (s = prepared(db, (std::string{rows} + (only.empty() ? order : " WHERE task = ?1")).c_str());
          s || db.last() != SQLITE_ERROR)
        break;
    if (!s)
      return db.last();
    if (!only.empty())
      put(s.get(), 1, only);
    auto code = first_row(db, s.get());
    for (; code == SQLITE_ROW; code = sqlite3_step(s.get())) {
      auto number = [&](int i) { return sqlite3_column_int64(s.get(), i); };
      numbers.push_back(number(6));
      out.push_back({text_at(s.get(), 0),
                     number(1),
                     number(2),
                     static_cast<std::uint64_t>(number(3)),
                     text_at(s.get(), 4),
                     text_at(s.get(), 5),
                     false,
                     static_cast<std::uint32_t>(number(7)),
                     {text_at(s.get(), 8), number(9), number(10)},
                     number(11) != 0});
    }
    return code;
  });
  if (!failure.empty())
    error = std::move(failure);
  if (live.is_any_live())
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i].live = live.is_live(out[i].task, numbers[i]);
  return out;
}

std::string reading_thread::post(work w) {
  std::unique_lock lock(mutex_);
  if (stop_)
    return "event store " + path_ + " is being closed";
  if (queue_.size() >= max_waiting)
    return "event store " + path_ + ": " + std::to_string(max_waiting) + " reads are waiting: try again when some are done";
  if (!thread_.joinable())
    try {
      thread_ = std::thread([this] { loop(); });
    } catch (const std::system_error& e) {
      return "event store " + path_ + " cannot be read: the system gives no more threads (" + e.code().message() + ")";
    }
  queue_.push_back(std::move(w));
  lock.unlock();
  wake_.notify_one();
  return {};
}

void reading_thread::stop() {
  {
    std::lock_guard guard(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable())
    thread_.join();
}

void reading_thread::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty())
      return;
    auto next = std::move(queue_.front());
    queue_.pop_front();
    auto* reader = stop_ ? nullptr : &reader_;
    lock.unlock();
    next(reader);
    next = nullptr; // what it holds may end here, not under the lock
    lock.lock();
  }
}

} // namespace conclave
