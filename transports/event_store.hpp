// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The durable log of all tasks: one task = one append-only stream. Owns its writing thread (group commit); nothing in this header
/// is specific to the engine behind it.
///
/// Thread rule: append may be called from any thread and calls back on the writing thread, in order per task, exactly once; reads
/// are synchronous on the caller's thread and may run beside writers and other processes. Each call waits for locks of others 5 s
/// at the most.

#include "protocols/error.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

struct stored_event {
  std::uint64_t seq = 0;
  std::string json;
};

struct append_result {
  ec code = ec::none;    ///< none; denied = conflict (seq or fence); unavailable = store failed (full, locked, corrupt)
  std::string error;     ///< one sentence naming the file
  std::uint64_t seq = 0; ///< of the last event appended
};

struct task_row {
  std::string task;
  std::int64_t started_ms = 0;
  std::int64_t last_ms = 0;
  std::uint64_t events = 0;
  std::string question; ///< first 200 bytes, cut at a character
  std::string outcome;  ///< empty = still running or interrupted
  bool live = false;    ///< under way, in this or another process
};

/// Facts about the events of one append that the store keeps beside the JSON so that `list` reads no streams.
struct append_note {
  std::int64_t time_ms = 0;
  std::string question; ///< set by the first append of a task
  std::string outcome;  ///< set by the append that holds task_ended
};

/// What a store is opened for.
enum class store_use : std::uint8_t {
  everything,
  deleting, ///< tasks are to be deleted, also on a full disk: what is kept aside for that is used. Nothing is created.
  reading,  ///< also where nothing can be written (permissions, a read-only or full file system); no store yet = no tasks
};

class event_store {
public:
  using callback = std::function<void(append_result)>;

  /// Opens or creates the store at `path` (directory 0700, file 0600). On failure returns nullptr and sets `error`. What `use` does
  /// not cover is an error where it is tried.
  static std::unique_ptr<event_store> open(const std::string& path, std::string& error, store_use use = store_use::everything);

  virtual ~event_store() = default; ///< flushes what was appended, joins the thread

  /// Appends events after `expected_seq` (0 = new task). A conflict appends nothing. `fence` must be >= the highest seen for the
  /// task.
  virtual void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, std::vector<std::string> events,
                      append_note note, callback done) = 0;

  /// Returns the events with seq > after. An unknown task gives none.
  virtual std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) = 0;

  /// Newest first, by the order in which tasks began, whatever the clock said.
  virtual std::vector<task_row> list(std::string& error) = 0;

  /// Deletes one task, or all that started before `before_ms`, and returns their pages to the disk. Returns the ids deleted (with
  /// `error` set: those before it happened). A task under way is never deleted: for one that is an error, of many it is left out.
  virtual bool remove(const std::string& task, std::string& error) = 0;
  virtual std::vector<std::string> prune(std::int64_t before_ms, std::string& error) = 0;

  /// The same for these tasks; the space is returned once, at the end.
  virtual std::vector<std::string> remove_all(const std::vector<std::string>& tasks, std::string& error) {
    std::vector<std::string> gone;
    for (auto& task : tasks)
      if (error.empty() && remove(task, error))
        gone.push_back(task);
    return gone;
  }
};

} // namespace conclave
