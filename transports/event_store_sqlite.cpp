// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_sqlite.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sys/resource.h>

namespace conclave::sqlite {

namespace {

/// Returns the system's reason of a failure, 0 where SQLite keeps none.
int system_reason(sqlite3* db, int code) {
  auto kind = code & 0xFF;
  return db != nullptr && (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN) ? sqlite3_system_errno(db) : 0;
}

std::string what_to_do(int code, int reason) {
  switch (reason) {
  case ENOSPC:
  case EDQUOT:
    return "the disk is full: free some space";
  case EMFILE:
  case ENFILE:
    return "too many files are open: raise the limit (ulimit -n)";
  case EFBIG:
    return "a file has reached the limit of its size: raise it (ulimit -f)";
  case EROFS:
    return "its file system is mounted read-only";
  case EACCES:
  case EPERM:
    return "it cannot be written: check the permissions";
  default:
    break;
  }
  switch (code & 0xFF) {
  case SQLITE_FULL:
    return "the disk is full: free some space";
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return "it stayed locked for " + std::to_string(lock_patience.count()) + " s: another program holds it";
  case SQLITE_READONLY:
  case SQLITE_PERM:
    return "it cannot be written: check the permissions";
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return "it is damaged: move it away to start a new one";
  default:
    return reason == 0 ? "" : std::strerror(reason);
  }
}

/// Whether a file of the database is about as large as this process may make one.
bool is_at_limit(const std::string& path) {
  constexpr std::uintmax_t step = 64 << 10; // by which SQLite lets its files grow, and more
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return false;
  for (auto* end : {"", "-wal", "-shm"}) {
    std::error_code none;
    if (auto size = std::filesystem::file_size(path + end, none); !none && size + step > limit.rlim_cur)
      return true;
  }
  return false;
}

/// A path as SQLite reads it in a URI. Source: https://www.sqlite.org/uri.html section 3.1, read 2026-11-26.
std::string uri_of(const std::string& path) {
  std::string out = "file:";
  for (char c : path)
    out += c == '%' ? "%25" : c == '?' ? "%3f" : c == '#' ? "%23" : std::string(1, c);
  return out + "?immutable=1";
}

} // namespace

int connection::open(const std::string& path, int flags, bool immutable) {
  sqlite3* raw = nullptr;
  flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | (immutable ? SQLITE_OPEN_URI : 0);
  auto code = sqlite3_open_v2((immutable ? uri_of(path) : path).c_str(), &raw, flags, nullptr);
  db_.reset(raw);
  return code == SQLITE_OK ? sqlite3_busy_handler(raw, &connection::on_busy, this) : code;
}

int connection::on_busy(void* self, int tries) {
  if (std::chrono::steady_clock::now() >= static_cast<connection*>(self)->until_)
    return 0;
  sqlite3_sleep(std::min(1 + tries, 50));
  return 1;
}

int connection::run(const char* sql) {
  return sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
}

statement connection::prepare(const char* sql) {
  sqlite3_stmt* s = nullptr;
  last_ = sqlite3_prepare_v2(db_.get(), sql, -1, &s, nullptr);
  return statement{s};
}

std::int64_t connection::number(const char* sql) {
  auto s = prepare(sql);
  if (!s)
    return -last_;
  auto code = sqlite3_step(s.get());
  return code == SQLITE_ROW ? sqlite3_column_int64(s.get(), 0) : -code;
}

std::string connection::explain(int code, const std::string& path) const {
  auto* db = db_.get();
  auto reason = system_reason(db, code);
  if (reason == 0 && (code & 0xFF) == SQLITE_IOERR && is_at_limit(path))
    reason = EFBIG; // of some of its files SQLite does not keep why
  auto hint = what_to_do(code, reason);
  std::string kind = sqlite3_errstr(code);
  auto detail = db != nullptr && sqlite3_errcode(db) == code ? std::string{sqlite3_errmsg(db)} : kind;
  auto text = "event store " + path + ": " + (detail == kind ? kind : kind + ", " + detail);
  return hint.empty() ? text : text + "; " + hint;
}

bool connection::is_elsewhere() const {
  int moved = 0;
  return sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

bool connection::is_full(int code) const {
  auto reason = system_reason(db_.get(), code);
  return (code & 0xFF) == SQLITE_FULL || reason == ENOSPC || reason == EDQUOT;
}

std::string explain_open(const std::string& path, int reason) {
  std::string what = std::strerror(reason), hint = what_to_do(SQLITE_OK, reason);
  return "event store " + path + " cannot be opened: " + what + (hint == what ? "" : "; " + hint);
}

void put(sqlite3_stmt* s, int i, const std::string& text) {
  sqlite3_bind_text64(s, i, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void put(sqlite3_stmt* s, int i, blob b) {
  sqlite3_bind_blob64(s, i, b.bytes.empty() ? "" : b.bytes.data(), b.bytes.size(), SQLITE_STATIC); // no bytes are not NULL
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

std::string blob_at(sqlite3_stmt* s, int i) {
  auto* p = static_cast<const char*>(sqlite3_column_blob(s, i));
  return p == nullptr ? std::string{} : std::string(p, static_cast<std::size_t>(sqlite3_column_bytes(s, i)));
}

} // namespace conclave::sqlite
