// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_write.hpp"

#include "protocols/text.hpp"
#include "transports/event_store_names.hpp"
#include "transports/event_store_schema.hpp"

#include <string_view>
#include <sys/stat.h>

namespace conclave {

namespace {

using sqlite::text_at;

/// Half of what SQLite takes for one value: what comes with it in a row has room.
constexpr std::size_t max_piece = 500'000'000;

std::string cut_question(const std::string& q) {
  return q.substr(0, whole_characters(q, 200));
}

/// Returns why this can be no part of a log, or empty.
std::string fault_of(const append_batch& batch, std::uint64_t expected) {
  if (expected == 0 && batch.events.empty())
    return "a log begins with an event";
  if (batch.events.size() > last_event || expected > last_event - batch.events.size())
    return "a log has at most " + std::to_string(last_event) + " events";
  std::size_t together = 0;
  for (auto& e : batch.events) {
    if (e.size() > max_piece)
      return "an event of " + std::to_string(e.size()) + " bytes is too long";
    together += e.size();
  }
  if (together > max_piece)
    return "events of " + std::to_string(together) + " bytes are too long for one append";
  for (auto& b : batch.bodies) {
    if (b.bytes.size() > max_piece)
      return "a body of " + std::to_string(b.bytes.size()) + " bytes is too long";
    if (body_key(b.sha).empty())
      return "the name of a body is not 64 hexadecimal digits in lower case";
  }
  return {};
}

} // namespace

std::string store_writer::open(store_use purpose, bool alone) {
  db_.begin_waiting();
  statements_.clear();
  auto whole = purpose == store_use::everything;
  auto code = db_.open(path_, SQLITE_OPEN_READWRITE | (whole ? SQLITE_OPEN_CREATE : 0));
  if (code != SQLITE_OK) {
    failure_ = db_.explain(code, path_);
  } else {
    ::chmod(path_.c_str(), 0600);
    code = sqlite::set_up(db_, path_, whole, alone, failure_);
  }
  was_full_ = code != SQLITE_OK && db_.is_full(code);
  return code == SQLITE_OK ? std::string{} : failure_;
}

store_writer::use store_writer::statement(const char* sql) {
  auto& s = statements_[sql];
  if (!s)
    s = db_.prepare(sql);
  return use{s.get()};
}

int store_writer::append(const std::string& task, std::uint64_t fence, std::uint64_t expected, const append_batch& batch,
                         append_result& result) {
  if (auto fault = fault_of(batch, expected); !fault.empty()) {
    result = {ec::bad_request, "event store " + path_ + ", task " + task + ": " + fault, 0};
    return SQLITE_OK;
  }
  bool known = false;
  std::uint64_t owner = 0, seq = 0;
  std::int64_t nr = 0;
  {
    auto at = statement("SELECT fence, seq, nr FROM tasks LEFT JOIN starts USING(task) WHERE task = ?1");
    if (!at)
      return db_.last();
    at.bind(task);
    auto code = sqlite3_step(at.get());
    if (code != SQLITE_ROW && code != SQLITE_DONE)
      return code;
    if (known = code == SQLITE_ROW; known) {
      owner = static_cast<std::uint64_t>(sqlite3_column_int64(at.get(), 0));
      seq = static_cast<std::uint64_t>(sqlite3_column_int64(at.get(), 1));
      nr = sqlite3_column_int64(at.get(), 2);
    }
  }
  std::string conflict;
  if (known && fence != owner)
    conflict = ": another engine owns it, with fence " + std::to_string(owner) + ", not " + std::to_string(fence);
  else if (expected != seq)
    conflict = " is at event " + std::to_string(seq) + ", not " + std::to_string(expected);
  if (!conflict.empty()) {
    result = {ec::denied, "event store " + path_ + ": task " + task + conflict, seq};
    return SQLITE_OK;
  }
  auto code = known ? SQLITE_OK : begin_task(task, fence, batch, nr, result);
  if (code == SQLITE_OK && result.code == ec::none)
    code = add(task, nr, seq, batch);
  if (code == SQLITE_OK && result.code == ec::none)
    result.seq = seq + batch.events.size();
  return code;
}

int store_writer::begin_task(const std::string& task, std::uint64_t fence, const append_batch& batch, std::int64_t& nr,
                             append_result& result) {
  {
    auto next = statement("SELECT coalesce(max(nr), 0) + 1 FROM starts");
    if (!next)
      return db_.last();
    if (auto code = sqlite3_step(next.get()); code != SQLITE_ROW)
      return code;
    nr = sqlite3_column_int64(next.get(), 0);
  }
  std::string fault;
  auto lock = live_.hold(task, nr, fault);
  if (lock != live_tasks::taking::done) {
    result =
        lock == live_tasks::taking::taken
            ? append_result{ec::denied, "event store " + path_ + ": the lock of task " + task + " is held by another engine", 0}
            : append_result{ec::unavailable, std::move(fault), 0};
    return SQLITE_OK;
  }
  taken_.push_back(task);
  auto& note = batch.note;
  auto code = run("INSERT OR REPLACE INTO starts(nr, task) VALUES(?1, ?2)", nr, task);
  if (code == SQLITE_OK)
    code = run("INSERT INTO tasks(task, fence, seq, started_ms, last_ms, question, outcome, log_version, owner_host, owner_pid,"
               " owner_started_ms) VALUES(?1, ?2, 0, ?3, ?3, ?4, '', ?5, ?6, ?7, ?8)",
               task, fence, note.time_ms, cut_question(note.question), std::uint64_t{note.log_version}, note.owner.host,
               note.owner.pid, note.owner.started_ms);
  if (code == SQLITE_OK && note.played && (code = db_.run(sqlite::played_schema)) == SQLITE_OK)
    code = run("INSERT OR IGNORE INTO played(task) VALUES(?1)", task);
  return code;
}

int store_writer::add(const std::string& task, std::int64_t nr, std::uint64_t seq, const append_batch& batch) {
  auto stored = to_records(batch, seq + 1);
  auto code = SQLITE_OK;
  for (auto& record : stored.records)
    if (code == SQLITE_OK)
      code = add_record(task, nr, record);
  for (auto* body : stored.apart)
    if (code == SQLITE_OK)
      code = add_body(task, *body);
  auto& note = batch.note;
  if (code == SQLITE_OK)
    code = run("UPDATE tasks SET seq = ?2, last_ms = ?3, outcome = CASE WHEN ?4 = '' THEN outcome ELSE ?4 END,"
               " short_bytes = short_bytes + ?5 WHERE task = ?1",
               task, seq + batch.events.size(), note.time_ms, note.outcome, stored.body_bytes);
  if (code == SQLITE_OK && !note.outcome.empty()) {
    forget(task);
    code = run("DELETE FROM cancels WHERE task = ?1", task);
  }
  return code;
}

int store_writer::claim(const std::string& task, const task_owner& owner, claim_result& result) {
  std::int64_t nr = 0;
  auto ended = false;
  {
    auto at =
        statement("SELECT fence, seq, owner_host, owner_pid, owner_started_ms, nr, outcome FROM tasks LEFT JOIN starts USING(task)"
                  " WHERE task = ?1");
    if (!at)
      return db_.last();
    at.bind(task);
    auto code = sqlite3_step(at.get());
    if (code == SQLITE_DONE)
      result = {ec::bad_request, "event store " + path_ + " has no task " + task, 0, 0, {}};
    if (code != SQLITE_ROW)
      return code == SQLITE_DONE ? SQLITE_OK : code;
    result.fence = static_cast<std::uint64_t>(sqlite3_column_int64(at.get(), 0)) + 1;
    result.seq = static_cast<std::uint64_t>(sqlite3_column_int64(at.get(), 1));
    result.owner = {text_at(at.get(), 2), sqlite3_column_int64(at.get(), 3), sqlite3_column_int64(at.get(), 4)};
    nr = sqlite3_column_int64(at.get(), 5);
    ended = !text_at(at.get(), 6).empty();
  }
  if (nr == 0) { // written by a program that gives no numbers
    if (auto code = run("INSERT INTO starts(task) VALUES(?1)", task); code != SQLITE_OK)
      return code;
    nr = sqlite3_last_insert_rowid(db_.get());
  }
  auto old = live_.is_live_by_name(task);
  std::string fault;
  auto kept = kept_ended_.contains(task);
  auto lock = old ? live_tasks::taking::taken : kept ? live_tasks::taking::done : live_.hold(task, nr, fault);
  if (lock == live_tasks::taking::taken) {
    result.owner = old ? task_owner{} : result.owner;
    result = {ec::denied, in_use_text(task, result.owner, ended), 0, 0, result.owner};
  } else if (lock == live_tasks::taking::failed) {
    result = {ec::unavailable, std::move(fault), 0, 0, {}};
  } else {
    if (!kept)
      taken_.push_back(task);
    forget(task); // others may have gone on with it
    if (ended)
      lent_.insert_or_assign(task, result.owner);
    result.owner = {};
    auto bodies = statement("SELECT short_bytes + (SELECT coalesce(sum(CASE WHEN size > 0 THEN size ELSE (SELECT"
                            " sum(length(bytes)) FROM pieces WHERE nr BETWEEN first AND last) END), 0) FROM bodies"
                            " WHERE task = ?1) FROM tasks WHERE task = ?1");
    if (!bodies)
      return db_.last();
    bodies.bind(task);
    if (auto code = sqlite3_step(bodies.get()); code != SQLITE_ROW)
      return code;
    result.body_bytes = static_cast<std::uint64_t>(sqlite3_column_int64(bodies.get(), 0));
    auto code = run("UPDATE tasks SET fence = ?2, owner_host = ?3, owner_pid = ?4, owner_started_ms = ?5 WHERE task = ?1", task,
                    result.fence, owner.host, owner.pid, owner.started_ms);
    // What was asked of the owner before is not for this one.
    return code == SQLITE_OK ? run("DELETE FROM cancels WHERE task = ?1", task) : code;
  }
  return SQLITE_OK;
}

void store_writer::release(const std::string& task) {
  forget(task);
  kept_ended_.erase(task);
  auto of = lent_.extract(task);
  if (of.empty())
    return;
  // Where it cannot be written the row goes on to name who held the task last.
  transaction([&] {
    auto& owner = of.mapped();
    return run("UPDATE tasks SET owner_host = ?2, owner_pid = ?3, owner_started_ms = ?4 WHERE task = ?1", task, owner.host,
               owner.pid, owner.started_ms);
  });
}

int store_writer::number_of(const std::string& task, std::int64_t& nr) {
  auto at = statement("SELECT nr FROM starts WHERE task = ?1"); // a store of before may have no order of its own
  nr = 0;
  if (!at)
    return db_.last() == SQLITE_ERROR ? SQLITE_OK : db_.last();
  at.bind(task);
  auto code = sqlite3_step(at.get());
  if (code == SQLITE_ROW)
    nr = sqlite3_column_int64(at.get(), 0);
  return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

bool store_writer::keep_to_erase(const std::string& task) {
  std::int64_t nr = 0;
  std::string ignored;
  auto known = number_of(task, nr) == SQLITE_OK && nr != 0;
  if (live_.is_live(task, nr))
    return false;
  // One without a number, or where there are no locks, is looked at once more when it is deleted.
  auto lock = known ? live_.hold(task, nr, ignored) : live_tasks::taking::failed;
  if (lock == live_tasks::taking::done)
    to_erase_.insert(task);
  return lock != live_tasks::taking::taken;
}

void store_writer::let_go_of_kept() {
  for (auto& id : to_erase_)
    live_.let_go(id);
  to_erase_.clear();
}

int store_writer::erase(std::vector<std::string>& tasks) {
  std::vector<std::string> gone;
  for (auto& id : tasks) {
    std::int64_t nr = 0;
    if (auto code = number_of(id, nr); code != SQLITE_OK)
      return code;
    if (to_erase_.count(id) == 0 && live_.is_live(id, nr))
      continue;
    auto code = erase_bodies(id);
    if (code == SQLITE_OK && nr != 0)
      code = run_if_there("DELETE FROM records WHERE id >= ?1 AND id < ?2", record_id(nr, 0), record_id(nr + 1, 0));
    if (code == SQLITE_OK)
      code = run_if_there("DELETE FROM events WHERE task = ?1", id);
    if (code == SQLITE_OK && nr != 0)
      code = run("DELETE FROM starts WHERE task = ?1", id);
    if (code == SQLITE_OK)
      code = run_if_there("DELETE FROM played WHERE task = ?1", id);
    if (code == SQLITE_OK)
      code = run("DELETE FROM tasks WHERE task = ?1", id);
    if (code != SQLITE_OK)
      return code;
    if (sqlite3_changes(db_.get()) > 0)
      gone.push_back(id);
  }
  tasks = std::move(gone);
  return SQLITE_OK;
}

std::vector<cancel_request> store_writer::new_cancels(bool look) {
  std::vector<cancel_request> out;
  db_.begin_waiting();
  std::int64_t version = -1;
  if (auto now = statement("PRAGMA data_version"); now && sqlite3_step(now.get()) == SQLITE_ROW)
    version = sqlite3_column_int64(now.get(), 0);
  if (version < 0 || (version == seen_ && !look && told_.empty()))
    return out;
  auto s = statement("SELECT nr, task, reason FROM cancels ORDER BY nr");
  if (!s)
    return out;
  auto code = sqlite3_step(s.get());
  for (; code == SQLITE_ROW; code = sqlite3_step(s.get())) {
    cancel_request r{sqlite3_column_int64(s.get(), 0), text_at(s.get(), 1), text_at(s.get(), 2)};
    if (live_.holds(r.task) && told_.insert(r.nr).second)
      out.push_back(std::move(r));
  }
  seen_ = code == SQLITE_DONE ? version : -1;
  return out;
}

void store_writer::forget_cancels() {
  if (told_.empty())
    return;
  auto code = transaction([this] {
    for (auto nr : told_)
      if (auto c = run("DELETE FROM cancels WHERE nr = ?1", nr); c != SQLITE_OK)
        return c;
    return SQLITE_OK;
  });
  if (code == SQLITE_OK)
    told_.clear();
}

} // namespace conclave
