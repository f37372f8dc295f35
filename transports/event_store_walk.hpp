// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Reads the records of a task one after the other, and finds the short bodies in them. Private to transports/event_store*.

#include "transports/event_store_record.hpp"
#include "transports/event_store_sqlite.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace conclave::sqlite {

/// Takes the first row of a statement, which takes the lock.
int first_row(connection& db, sqlite3_stmt* s);

/// Returns nullptr on failure; see connection::last().
statement prepared(connection& db, const char* sql);

/// All that is read while this is there is of one state of the store.
class one_state {
public:
  explicit one_state(connection& db) : db_(db), code_(db.run("BEGIN")) {}
  one_state(const one_state&) = delete;
  one_state& operator=(const one_state&) = delete;
  ~one_state() { db_.run("ROLLBACK"); } // nothing was changed
  int code() const { return code_; }

private:
  connection& db_;
  int code_;
};

/// The functions that return an int return a code of SQLite; after SQLITE_CORRUPT, damage() tells more.
class record_walk {
public:
  record_walk(connection& db, record_packer& packer) : db_(db), packer_(packer) {}

  /// Finds the task. One without records, in a store of before them too, is at its end.
  int open(const std::string& task);

  /// Goes before the record that holds event `seq`, as far as its group has to be unpacked for it.
  int seek(std::uint64_t seq);

  /// SQLITE_ROW: there is one more; SQLITE_DONE: there is none.
  int next();

  std::uint64_t first() const { return first_; }    ///< the number of its first event
  int take(record& out, bool bodies_alone = false); ///< what it holds; SQLITE_OK
  const std::string& damage() const { return damage_; }

private:
  int damaged();

  connection& db_;
  record_packer& packer_;
  std::string task_;
  std::int64_t nr_ = 0;
  statement rows_, group_of_;
  std::uint64_t first_ = 0, group_first_ = 0;
  std::string text_, group_, damage_;
};

/// Where the short bodies of one task lie, as far as its records were read. 16 bytes a body.
class body_places {
public:
  /// Begins anew if this is another task. Returns the number of the event up to which, not included, all records are known.
  std::uint64_t known_to(const std::string& task);

  /// Takes what a record holds if it is the next one, or `begins` the task's records.
  void add(const std::string& task, std::uint64_t first, const record& r, bool begins);

  /// Reads on to the end, then finds those bodies that are here. Adds them to `out`.
  int find(record_walk& walk, const std::string& task, const std::vector<std::string>& shas,
           std::map<std::string, std::string>& out);

private:
  std::string task_;
  std::uint64_t to_ = 0;                                        ///< 0: nothing is known
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places_; ///< the beginning of a name, the first event of its record
  std::size_t sorted_ = 0;
};

} // namespace conclave::sqlite
