// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_queue.hpp"

namespace conclave {

namespace {

constexpr std::size_t max_batch = 512;
constexpr std::size_t max_batch_bytes = std::size_t{8} << 20; ///< of a transaction, but for its last append: others wait for it

std::size_t size_of(const append_batch& b) {
  std::size_t n = 0;
  for (auto& e : b.events)
    n += e.size();
  for (auto& body : b.bodies)
    n += body.bytes.size();
  return n;
}

/// Returns why nobody would heed a request to cancel, or empty.
std::string nobody_there(live_tasks& live, const std::string& task, std::int64_t nr, const std::string& outcome, bool resumable) {
  if (live.is_live_by_name(task))
    return "task " + task + " is run by an older conclave, which cannot be asked: end it where it runs";
  if (!outcome.empty()) // who holds it then is about its files
    return "task " + task + " has ended (" + outcome + "): there is nothing to cancel";
  if (live.is_live(task, nr))
    return {};
  return "nobody works on task " + task + ": it was interrupted"
         + (resumable ? "; `conclave resume " + task + "` goes on with it" : std::string{});
}

} // namespace

std::vector<write_job> next_batch(std::deque<write_job>& queue) {
  std::vector<write_job> batch;
  std::size_t bytes = 0;
  while (!queue.empty() && batch.size() < max_batch && bytes < max_batch_bytes) {
    auto alone = !queue.front().appended;
    if (alone && !batch.empty())
      break;
    bytes += size_of(queue.front().batch);
    batch.push_back(std::move(queue.front()));
    queue.pop_front();
    if (alone)
      break;
  }
  return batch;
}

void write_all(store_writer& writer, live_tasks& live, std::vector<write_job>& batch, bool keep_ended) {
  if (auto& first = batch.front(); !first.appended && !first.claimed) {
    writer.release(first.task);
    return live.let_go(first.task);
  }
  auto write = [&] {
    for (auto& j : batch) {
      auto c = j.claimed ? writer.claim(j.task, j.batch.note.owner, j.claim)
                         : writer.append(j.task, j.fence, j.expected, j.batch, j.append);
      if (c != SQLITE_OK)
        return c;
    }
    return SQLITE_OK;
  };
  // What waited in the queue behind a lock has waited for it, too.
  auto code = writer.transaction(write, batch.front().since);
  for (auto& j : batch)
    if (code != SQLITE_OK) {
      j.append = {ec::unavailable, writer.failure(), 0};
      j.claim = {ec::unavailable, writer.failure(), 0, 0, {}};
    } else if (j.claimed) {
      if (j.claim.code == ec::none)
        writer.is_claimed(j.task);
    } else if (j.append.code == ec::none && !j.batch.note.outcome.empty()) {
      keep_ended ? writer.keep_ended(j.task) : live.let_go(j.task);
    }
}

bool ask_to_cancel(const std::string& path, live_tasks& live, const std::string& task, const std::string& reason,
                   std::string& error) {
  sqlite::connection db;
  db.begin_waiting();
  auto code = db.open(path, SQLITE_OPEN_READWRITE);
  if (code != SQLITE_OK) {
    error = db.explain(code, path);
    return false;
  }
  std::string refusal;
  code = db.in_transaction(path, error, [&]() -> int {
    auto at = db.prepare("SELECT outcome, nr, log_version FROM tasks LEFT JOIN starts USING(task) WHERE task = ?1");
    if (!at && db.last() == SQLITE_ERROR) // a store of before, which this one did not convert
      at = db.prepare("SELECT outcome, 0, 1 FROM tasks WHERE task = ?1");
    if (!at)
      return db.last();
    sqlite::put(at.get(), 1, task);
    auto c = sqlite3_step(at.get());
    if (c != SQLITE_ROW && c != SQLITE_DONE)
      return c;
    refusal = c == SQLITE_DONE ? "event store " + path + " has no task " + task
                               : nobody_there(live, task, sqlite3_column_int64(at.get(), 1), sqlite::text_at(at.get(), 0),
                                              sqlite3_column_int64(at.get(), 2) > 1);
    if (!refusal.empty())
      return SQLITE_OK;
    auto put = db.prepare("INSERT INTO cancels(task, reason) VALUES(?1, ?2)");
    if (!put)
      return db.last();
    sqlite::put(put.get(), 1, task);
    sqlite::put(put.get(), 2, reason);
    c = sqlite3_step(put.get());
    return c == SQLITE_DONE ? SQLITE_OK : c;
  });
  if (!refusal.empty())
    error = refusal;
  return code == SQLITE_OK && refusal.empty();
}

} // namespace conclave
