// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What store_reader does with bodies.

#include "transports/event_store_names.hpp"
#include "transports/event_store_read.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace conclave {

namespace {

using sqlite::connection;
using sqlite::first_row;
using sqlite::prepared;
using sqlite::put;
using sqlite::record_walk;

/// Of so many names short bodies are looked for at once; of each there may be 1 KiB.
constexpr std::size_t names_at_once = 4096;

/// Prepares a query on bodies that has SIZE for how they are packed; in a store of before none is. nullptr: see connection::last().
sqlite::statement of_bodies(connection& db, std::string sql) {
  auto at = sql.find("SIZE");
  auto s = prepared(db, std::string(sql).replace(at, 4, "size").c_str());
  return s || db.last() != SQLITE_ERROR ? std::move(s) : prepared(db, sql.replace(at, 4, "0").c_str());
}

/// Makes what was stored of the pieces of a body.
bool is_whole(std::string& pieces, std::int64_t size) {
  std::string bytes;
  if (size <= 0)
    return true;
  if (!unpack_body(pieces, static_cast<std::size_t>(size), bytes))
    return false;
  pieces = std::move(bytes);
  return true;
}

std::string damage_of(const std::string& task, const stored_body& b) {
  return "the body " + b.sha + " of task " + task
         + " is damaged: other tasks can still be read; delete this one, or take the file from a copy";
}

} // namespace

int store_reader::some_bodies(connection& db, const std::string& task, const std::vector<std::string>& shas, std::size_t max_bytes,
                              body_page& page) {
  record_walk walk(db, packer_);
  auto code = walk.open(task);
  auto s = of_bodies(
      db, "SELECT bytes, SIZE FROM bodies JOIN pieces ON nr BETWEEN first AND last WHERE task = ?1 AND sha = ?2 ORDER BY nr");
  if (!s && db.last() != SQLITE_ERROR) // a store of before bodies has none
    return db.last();
  std::map<std::string, std::string> found;
  for (std::size_t bytes = 0; code == SQLITE_OK && page.looked_for < shas.size() && bytes < max_bytes; ++page.looked_for) {
    if (page.looked_for % names_at_once == 0) {
      auto from = shas.begin() + static_cast<std::ptrdiff_t>(page.looked_for);
      found.clear();
      code = places_.find(
          walk, task, {from, from + static_cast<std::ptrdiff_t>(std::min(names_at_once, shas.size() - page.looked_for))}, found);
      damage_ = walk.damage();
      if (code != SQLITE_OK)
        return code;
    }
    auto& sha = shas[page.looked_for];
    if (auto at = found.find(sha); at != found.end()) {
      bytes += at->second.size();
      page.bodies.push_back({sha, at->second});
      continue;
    }
    if (!s)
      continue;
    auto key = body_key(sha);
    put(s.get(), 1, task);
    put(s.get(), 2, sqlite::blob{key});
    code = first_row(db, s.get());
    auto there = code == SQLITE_ROW;
    auto size = there ? sqlite3_column_int64(s.get(), 1) : 0;
    stored_body b{sha, {}};
    for (; code == SQLITE_ROW; code = sqlite3_step(s.get()))
      b.bytes += sqlite::blob_at(s.get(), 0);
    sqlite3_reset(s.get());
    code = code == SQLITE_DONE ? SQLITE_OK : code;
    if (code != SQLITE_OK || !there)
      continue;
    if (!is_whole(b.bytes, size)) {
      damage_ = damage_of(task, b);
      return SQLITE_CORRUPT;
    }
    bytes += b.bytes.size();
    page.bodies.push_back(std::move(b));
  }
  return code == SQLITE_OK ? SQLITE_DONE : code;
}

int store_reader::every_body(connection& db, const std::string& task, body_page& page) {
  std::set<std::string> names;
  record_walk walk(db, packer_);
  auto code = walk.open(task);
  record r;
  std::size_t bytes = 0;
  while (code == SQLITE_OK && (code = walk.next()) == SQLITE_ROW)
    if (code = walk.take(r, true); code == SQLITE_OK)
      for (auto& b : r.bodies)
        if (names.insert(b.sha).second && (bytes += b.bytes.size()) < most_of_a_task)
          page.bodies.push_back(std::move(b));
  damage_ = walk.damage();
  if (code != SQLITE_OK && code != SQLITE_DONE)
    return code;
  auto s = of_bodies(db, "SELECT sha, nr = first, nr = last, bytes, SIZE FROM bodies JOIN pieces ON nr BETWEEN first AND last "
                         "WHERE task = ?1 ORDER BY nr");
  if (!s)
    return db.last() == SQLITE_ERROR ? SQLITE_DONE : db.last();
  put(s.get(), 1, task);
  code = first_row(db, s.get());
  stored_body b;
  for (; code == SQLITE_ROW && bytes < most_of_a_task; code = sqlite3_step(s.get())) {
    if (sqlite3_column_int(s.get(), 1) != 0)
      b = {body_name(sqlite::blob_at(s.get(), 0)), {}};
    b.bytes += sqlite::blob_at(s.get(), 3);
    if (sqlite3_column_int(s.get(), 2) == 0)
      continue; // more of it comes
    if (!is_whole(b.bytes, sqlite3_column_int64(s.get(), 4))) {
      damage_ = damage_of(task, b);
      return SQLITE_CORRUPT;
    }
    bytes += b.bytes.size();
    page.bodies.push_back(std::exchange(b, {}));
  }
  if (bytes < most_of_a_task)
    return code;
  damage_ = too_large(task);
  return SQLITE_CORRUPT;
}

} // namespace conclave
