// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_schema.hpp"

namespace conclave::sqlite {

namespace {

constexpr std::int64_t schema_version = 4;

// Has to be said before the first page is written; see give_pages_back.
constexpr const char* before_schema = "PRAGMA auto_vacuum = INCREMENTAL";

constexpr const char* schema_1 = R"(
CREATE TABLE tasks(
  task TEXT PRIMARY KEY, fence INTEGER NOT NULL, seq INTEGER NOT NULL, started_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  question TEXT NOT NULL, outcome TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
)";
// A store that began with schema 1 or 2 has one table more, with the events of then; those of the same task that came later are
// in records:
//   events(task TEXT NOT NULL, seq INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY(task, seq)) WITHOUT ROWID

// A column that is added at the end of a table with a fixed default changes no row. Names of bodies are random and bodies large:
// their bytes lie in the order in which they came, in pieces that fill pages (see add_body).
constexpr const char* schema_2 = R"(
ALTER TABLE tasks ADD COLUMN log_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tasks ADD COLUMN owner_host TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN owner_pid INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN owner_started_ms INTEGER NOT NULL DEFAULT 0;
CREATE TABLE bodies(
  task TEXT NOT NULL, sha BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY(task, sha)) WITHOUT ROWID;
CREATE TABLE pieces(nr INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE cancels(nr INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT NOT NULL, reason TEXT NOT NULL);
PRAGMA user_version = 2;
)";

// Rows of a table with a number for its key fill their pages when they come in order, as those of the newest task do. `id` is that
// of the first event (see record_id), `back` how many events before it the first one of its group lies.
constexpr const char* schema_3 = R"(
ALTER TABLE tasks ADD COLUMN short_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE records(id INTEGER PRIMARY KEY, back INTEGER NOT NULL, data BLOB NOT NULL);
PRAGMA user_version = 3;
)";

// `size`: of the bytes whose compressed form (see pack_body) the pieces hold; 0: they hold the bytes themselves.
constexpr const char* schema_4 = R"(
ALTER TABLE bodies ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 4;
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

/// Runs in a transaction: another program may have been faster.
int make_tables(connection& db, bool whole) {
  auto version = db.number("PRAGMA user_version");
  if (version < 0)
    return static_cast<int>(-version);
  auto code = version < 1 ? db.run(schema_1) : SQLITE_OK;
  if (code == SQLITE_OK && version < 2 && (whole || version < 1))
    code = db.run(schema_2);
  if (code == SQLITE_OK && version < 3 && (whole || version < 1))
    code = db.run(schema_3);
  if (code == SQLITE_OK && version < 4 && (whole || version < 1))
    code = db.run(schema_4);
  return code;
}

} // namespace

int set_up(connection& db, const std::string& path, bool whole, bool alone, std::string& error) {
  auto fail = [&](int code) {
    error = db.explain(code, path);
    return code;
  };
  if (alone)
    db.run("PRAGMA locking_mode = EXCLUSIVE");
  std::int64_t version = 0;
  db.patiently([&] {
    version = db.number("PRAGMA user_version");
    return version < 0 ? static_cast<int>(-version) : SQLITE_OK;
  });
  if (version < 0)
    return fail(static_cast<int>(-version));
  if (version > schema_version) {
    error = "event store " + path + " has schema " + std::to_string(version) + ", this program knows "
            + std::to_string(schema_version) + ": use a newer conclave, or another $CONCLAVE_HOME";
    return SQLITE_ERROR;
  }
  if (version == 0)
    db.run(before_schema);
  // Pages that are freed need not be overwritten: they return to the disk at once.
  for (auto* sql : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = FAST", small_cache})
    if (auto code = db.patiently([&] { return db.run(sql); }); code != SQLITE_OK)
      return fail(code);
  auto code = SQLITE_OK;
  if (version == 0 || (whole && version < schema_version))
    code = db.in_transaction(path, error, [&] { return make_tables(db, whole); });
  if (code == SQLITE_OK && whole && db.number(order_is_complete) != 1)
    code = db.in_transaction(path, error, [&] { return db.run(order_schema); });
  return code;
}

} // namespace conclave::sqlite
