// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_walk.hpp"

#include "transports/event_store_names.hpp"

#include <algorithm>
#include <charconv>
#include <set>

namespace conclave::sqlite {

namespace {

/// The first 16 digits of a name, as a number.
std::uint64_t beginning_of(const std::string& sha) {
  std::uint64_t n = 0;
  std::from_chars(sha.data(), sha.data() + std::min<std::size_t>(sha.size(), 16), n, 16);
  return n;
}

} // namespace

int first_row(connection& db, sqlite3_stmt* s) {
  return db.patiently([&] { return sqlite3_step(s); });
}

statement prepared(connection& db, const char* sql) {
  statement s;
  db.patiently([&] {
    s = db.prepare(sql);
    return db.last();
  });
  return s;
}

int record_walk::open(const std::string& task) {
  task_ = task;
  nr_ = 0;
  rows_.reset();
  auto number = prepared(db_, "SELECT nr FROM starts WHERE task = ?1");
  if (!number)
    return db_.last() == SQLITE_ERROR ? SQLITE_OK : db_.last();
  put(number.get(), 1, task);
  auto code = first_row(db_, number.get());
  if (code != SQLITE_ROW)
    return code == SQLITE_DONE ? SQLITE_OK : code;
  nr_ = sqlite3_column_int64(number.get(), 0);
  rows_ = prepared(db_, "SELECT id, back, data FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id");
  if (!rows_)
    return db_.last() == SQLITE_ERROR ? SQLITE_OK : db_.last();
  return seek(0);
}

int record_walk::seek(std::uint64_t seq) {
  if (!rows_)
    return SQLITE_OK;
  if (!group_of_)
    group_of_ = prepared(db_, "SELECT id - back FROM records WHERE id > ?1 AND id <= ?2 ORDER BY id DESC LIMIT 1");
  if (!group_of_)
    return db_.last();
  put(group_of_.get(), 1, record_id(nr_, 0));
  put(group_of_.get(), 2, record_id(nr_, std::min(seq, last_event)));
  auto code = first_row(db_, group_of_.get());
  std::int64_t begin = code == SQLITE_ROW ? sqlite3_column_int64(group_of_.get(), 0) : record_id(nr_, 0);
  sqlite3_reset(group_of_.get());
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    return code;
  if (!group_.empty() && first_ < seq && begin == record_id(nr_, group_first_))
    return SQLITE_OK; // on the way there
  sqlite3_reset(rows_.get());
  put(rows_.get(), 1, begin);
  put(rows_.get(), 2, record_id(nr_ + 1, 0));
  group_.clear();
  group_first_ = 0;
  return SQLITE_OK;
}

int record_walk::next() {
  if (!rows_)
    return SQLITE_DONE;
  auto code = sqlite3_step(rows_.get());
  if (code != SQLITE_ROW)
    return code;
  first_ = static_cast<std::uint64_t>(sqlite3_column_int64(rows_.get(), 0) - record_id(nr_, 0));
  auto back = static_cast<std::uint64_t>(sqlite3_column_int64(rows_.get(), 1));
  if (back == 0) {
    group_.clear();
    group_first_ = first_;
  } else if (first_ - back != group_first_ || group_.empty() || group_.size() >= group_bytes) {
    return damaged();
  }
  auto* data = static_cast<const char*>(sqlite3_column_blob(rows_.get(), 2));
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(rows_.get(), 2));
  if (!packer_.unpack({data == nullptr ? "" : data, size}, group_, text_))
    return damaged();
  group_ += text_;
  return SQLITE_ROW;
}

int record_walk::take(record& out, bool bodies_alone) {
  return from_record(text_, first_, out, bodies_alone) ? SQLITE_OK : damaged();
}

int record_walk::damaged() {
  damage_ = "the record that begins with event " + std::to_string(first_) + " of task " + task_
            + " is damaged: other tasks can still be read; delete this one, or take the file from a copy";
  return SQLITE_CORRUPT;
}

std::uint64_t body_places::known_to(const std::string& task) {
  if (task_ != task) {
    *this = {};
    task_ = task;
  }
  return to_;
}

void body_places::add(const std::string& task, std::uint64_t first, const record& r, bool begins) {
  if (auto to = known_to(task); to != 0 ? to != first : !begins)
    return;
  for (auto& b : r.bodies)
    places_.emplace_back(beginning_of(b.sha), first);
  to_ = first + r.events.size();
}

int body_places::find(record_walk& walk, const std::string& task, const std::vector<std::string>& shas,
                      std::map<std::string, std::string>& out) {
  auto code = walk.seek(known_to(task));
  record r;
  while (code == SQLITE_OK && (code = walk.next()) == SQLITE_ROW)
    if (code = SQLITE_OK; walk.first() >= to_ && (code = walk.take(r)) == SQLITE_OK)
      add(task, walk.first(), r, to_ == 0);
  if (code != SQLITE_DONE)
    return code;
  if (sorted_ != places_.size())
    std::sort(places_.begin(), places_.end());
  sorted_ = places_.size();
  std::set<std::string_view> wanted;
  std::vector<std::uint64_t> records;
  for (auto& sha : shas) {
    wanted.insert(sha);
    auto begins = beginning_of(sha);
    for (auto at = std::lower_bound(places_.begin(), places_.end(), std::pair{begins, std::uint64_t{0}});
         at != places_.end() && at->first == begins; ++at)
      records.push_back(at->second);
  }
  std::sort(records.begin(), records.end());
  records.erase(std::unique(records.begin(), records.end()), records.end());
  code = SQLITE_OK;
  for (auto seq : records) {
    if (code = walk.seek(seq); code != SQLITE_OK)
      return code;
    do
      code = walk.next();
    while (code == SQLITE_ROW && walk.first() < seq);
    if (code == SQLITE_ROW)
      code = walk.take(r, true);
    if (code != SQLITE_OK)
      return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
    for (auto& b : r.bodies)
      if (wanted.count(b.sha) > 0)
        out.emplace(std::move(b.sha), std::move(b.bytes));
  }
  return code;
}

} // namespace conclave::sqlite
