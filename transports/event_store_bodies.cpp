// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What store_writer does with records and bodies.

#include "transports/event_store_names.hpp"
#include "transports/event_store_write.hpp"

#include <string_view>

namespace conclave {

namespace {

/// How the bytes of a body are cut so that pages are full: what does not fit into a page of 4096 bytes takes whole pages of its
/// own, of 4092 bytes, and may leave about 490 where the rows are (https://www.sqlite.org/fileformat.html section 1.6, read
/// 2026-11-26). Of rows of 500 bytes a page takes eight; of rows of 2100, one.
std::vector<std::size_t> piece_sizes(std::size_t bytes) {
  constexpr std::size_t small = 500, with_rows = 490, page = 4092;
  std::vector<std::size_t> out;
  if (bytes >= with_rows + page) {
    out.push_back((bytes - with_rows) / page * page + with_rows);
    bytes -= out.back();
  }
  for (; bytes > small; bytes -= small)
    out.push_back(small);
  if (bytes > 0 || out.empty())
    out.push_back(bytes);
  return out;
}

} // namespace

int store_writer::add_record(const std::string& task, std::int64_t nr, const record_text& record) {
  auto& group = groups_[task];
  if (group.next != record.first)
    group.text.clear();
  if (group.text.empty())
    group.first = record.first;
  auto data = packer_.pack(record.text, group.text);
  group.next = record.first + record.events;
  if (group.text.size() + record.text.size() < group_bytes)
    group.text += record.text;
  else
    group.text = {};
  return run("INSERT INTO records(id, back, data) VALUES(?1, ?2, ?3)", record_id(nr, record.first), record.first - group.first,
             sqlite::blob{data});
}

int store_writer::add_body(const std::string& task, const stored_body& body) {
  {
    auto known = statement("SELECT 1 FROM bodies WHERE task = ?1 AND sha = ?2");
    if (!known)
      return db_.last();
    auto key = body_key(body.sha);
    known.bind(task, sqlite::blob{key});
    if (auto code = sqlite3_step(known.get()); code != SQLITE_DONE)
      return code == SQLITE_ROW ? SQLITE_OK : code;
  }
  auto packed = pack_body(body.bytes);
  std::string_view rest = packed.empty() ? body.bytes : packed;
  auto size = packed.empty() ? std::int64_t{0} : static_cast<std::int64_t>(body.bytes.size());
  auto sizes = piece_sizes(rest.size());
  std::int64_t nr = 0;
  {
    auto next = statement("SELECT coalesce(max(nr), 0) + 1 FROM pieces");
    if (!next)
      return db_.last();
    if (auto code = sqlite3_step(next.get()); code != SQLITE_ROW)
      return code;
    nr = sqlite3_column_int64(next.get(), 0);
  }
  auto code = run("INSERT INTO bodies(task, sha, first, last, size) VALUES(?1, ?2, ?3, ?4, ?5)", task,
                  sqlite::blob{body_key(body.sha)}, nr, nr + static_cast<std::int64_t>(sizes.size()) - 1, size);
  for (auto n : sizes) {
    if (code == SQLITE_OK)
      code = run("INSERT INTO pieces(nr, bytes) VALUES(?1, ?2)", nr++, sqlite::blob{rest.substr(0, n)});
    rest.remove_prefix(n);
  }
  return code;
}

int store_writer::erase_bodies(const std::string& task) {
  {
    auto all = statement("SELECT first, last FROM bodies WHERE task = ?1");
    if (!all)
      return db_.last() == SQLITE_ERROR ? SQLITE_OK : db_.last(); // a store of before has none
    all.bind(task);
    auto code = sqlite3_step(all.get());
    for (; code == SQLITE_ROW; code = sqlite3_step(all.get()))
      if (auto c = run("DELETE FROM pieces WHERE nr BETWEEN ?1 AND ?2", std::int64_t{sqlite3_column_int64(all.get(), 0)},
                       std::int64_t{sqlite3_column_int64(all.get(), 1)});
          c != SQLITE_OK)
        return c;
    if (code != SQLITE_DONE)
      return code;
  }
  auto code = run("DELETE FROM bodies WHERE task = ?1", task);
  return code == SQLITE_OK ? run("DELETE FROM cancels WHERE task = ?1", task) : code;
}

} // namespace conclave
