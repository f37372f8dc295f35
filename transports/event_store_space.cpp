// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_space.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr off_t reserve_bytes = 1 << 20;
constexpr std::uint64_t plenty_bytes = std::uint64_t{4} << 20;

/// What may be moved while a task is under way: a fraction of a second, where its writes wait for 5 s.
constexpr std::int64_t shared_bytes = std::int64_t{64} << 20;
/// What is rebuilt at the most: some seconds, as nobody waits.
constexpr std::int64_t rebuild_bytes = std::int64_t{1} << 30;

/// Moves the pages that stay to the front and cuts the file. The mode that does it at a commit is taken for one commit only: its
/// single steps (PRAGMA incremental_vacuum) look up each page of the file in the list of free ones, which takes minutes for a list
/// of 200,000 pages; this takes seconds.
int move_to_the_front(sqlite::connection& db) {
  db.run("PRAGMA cache_size = -65536"); // KiB: what does not fit is written to the log again and again
  auto code = db.run("PRAGMA auto_vacuum = FULL");
  if (code == SQLITE_OK)
    code = db.patiently([&] { return db.run("BEGIN IMMEDIATE"); });
  if (code == SQLITE_OK) {
    // A commit that changes nothing moves nothing.
    code = db.run("CREATE TABLE moving(x); DROP TABLE moving");
    if (code == SQLITE_OK)
      code = db.run("COMMIT");
    if (code != SQLITE_OK)
      db.run("ROLLBACK");
  }
  db.run("PRAGMA auto_vacuum = INCREMENTAL");
  db.run(sqlite::small_cache);
  return code;
}

} // namespace

void disk_reserve::keep() const {
  struct stat st {};
  struct statvfs disk {};
  auto slash = path_.rfind('/');
  auto folder = slash == std::string::npos ? std::string{"."} : path_.substr(0, slash + 1);
  if (::stat(path_.c_str(), &st) == 0 || ::statvfs(folder.c_str(), &disk) != 0
      || std::uint64_t{disk.f_bavail} * disk.f_frsize < plenty_bytes)
    return;
  auto fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return;
  if (::posix_fallocate(fd, 0, reserve_bytes) != 0)
    ::unlink(path_.c_str());
  ::close(fd);
}

bool disk_reserve::release() const {
  return ::unlink(path_.c_str()) == 0;
}

void give_pages_back(sqlite::connection& db, bool shared) {
  db.begin_waiting();
  auto page = db.number("PRAGMA page_size");
  auto free = db.number("PRAGMA freelist_count");
  auto used = db.number("PRAGMA page_count") - free;
  if (page > 0 && free > 0 && used >= 0) {
    auto mode = db.number("PRAGMA auto_vacuum");
    if (mode > 0 && (!shared || std::min(free, used) * page <= shared_bytes)) {
      auto code = move_to_the_front(db);
      if (db.is_full(code)) { // no room for the log of so many moves: a few at a time, as far as a moment goes
        auto until = std::chrono::steady_clock::now() + sqlite::lock_patience;
        while (std::chrono::steady_clock::now() < until && db.number("PRAGMA freelist_count") > 0
               && db.run("PRAGMA incremental_vacuum(64)") == SQLITE_OK)
          db.run("PRAGMA wal_checkpoint(TRUNCATE)");
      }
    } else if (mode == 0 && !shared && used * page <= rebuild_bytes) {
      db.run("PRAGMA auto_vacuum = INCREMENTAL");
      db.run("VACUUM"); // where it cannot be now, the pages are used again
    }
  }
  // Only this cuts the file itself, and the log.
  db.begin_waiting();
  db.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

} // namespace conclave
