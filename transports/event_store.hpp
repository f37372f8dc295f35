// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The durable log of all tasks: one task = one append-only stream of events, and the pieces of text they point to. Owns its
/// threads (group commit; reads beside it); nothing in this header is specific to the engine behind it.
///
/// Who works on a task owns it: an owner has a fence, higher than that of every owner before, and holds the task's live lock until
/// the task has ended, `release`, or the end of the process, however it ends. A stale owner's appends are refused.
///
/// Thread rule: the calls with a callback may come from any thread, never wait, and call back exactly once on a thread of the store
/// (appends and claims of one task in their order), or on the caller's if they are refused at once; a callback must not block. The
/// calls that return their result are for hosts: they read or write on the caller's thread, beside writers and other processes.
/// Each call waits for locks of others 5 s at the most.

#include "protocols/error.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace conclave {

struct stored_event {
  std::uint64_t seq = 0;
  std::string json;
};

/// A piece of what was said, kept once per task under its SHA-256 (64 lower-case hex digits). The store believes the name.
struct stored_body {
  std::string sha;
  std::string bytes;
  bool operator==(const stored_body&) const = default;
};

/// Who works on a task.
struct task_owner {
  std::string host; ///< its name, for people
  std::int64_t pid = 0;
  std::int64_t started_ms = 0; ///< Unix time at which the process began
};

struct append_result {
  ec code = ec::none;    ///< none; denied = conflict (seq or fence); bad_request = no log can hold this; unavailable = the store
                         ///< failed (full, locked, corrupt, a task's lock cannot be had)
  std::string error;     ///< one sentence naming the file
  std::uint64_t seq = 0; ///< of the last event appended
};

struct task_row {
  std::string task;
  std::int64_t started_ms = 0;
  std::int64_t last_ms = 0;
  std::uint64_t events = 0;
  std::string question;          ///< first 200 bytes, cut at a character
  std::string outcome;           ///< empty = still running or interrupted
  bool live = false;             ///< somebody owns it now, in this or another process
  std::uint32_t log_version = 1; ///< of its events; a log of version 1 lacks what `resume` needs
  task_owner owner;              ///< the last one; host empty = unknown
  bool played = false;           ///< a cassette was played: what it did, it did elsewhere, and nobody goes on with it
};

/// Facts about the events of one append that the store keeps beside the JSON so that `list` reads no streams.
struct append_note {
  std::int64_t time_ms = 0;
  std::string question;          ///< set by the first append of a task
  std::string outcome;           ///< set by the append that holds task_ended
  std::uint32_t log_version = 1; ///< read from the first append of a task, as the next
  task_owner owner = {};
  bool played = false; ///< the same; see task_row
};

/// What becomes durable together, or not at all.
struct append_batch {
  std::vector<std::string> events; ///< JSON lines
  std::vector<stored_body> bodies; ///< what the task has already is left as it is
  append_note note;
};

struct claim_result {
  ec code = ec::none;           ///< none; denied = `owner` works on it; bad_request = no such task; unavailable = the store failed
  std::string error;            ///< one sentence
  std::uint64_t fence = 0;      ///< of the new owner
  std::uint64_t seq = 0;        ///< of the last event
  task_owner owner;             ///< denied: who works on it, as far as known
  std::uint64_t body_bytes = 0; ///< of all its bodies
};

/// A part of a stream, in order.
struct event_page {
  ec code = ec::none;
  std::string error;
  std::vector<stored_event> events;
  bool more = false; ///< there were events beyond the limit
};

struct body_page {
  ec code = ec::none;
  std::string error;
  std::vector<stored_body> bodies; ///< those that were found, in the order asked for
  std::size_t looked_for = 0;      ///< so many of the names; ask again for the others
};

/// What a store is opened for.
enum class store_use : std::uint8_t {
  everything,
  deleting, ///< tasks are to be claimed and deleted, also on a full disk: what is kept aside for that is used. Nothing is created.
  reading,  ///< also where nothing can be written (permissions, a read-only or full file system); no store yet = no tasks
};

class event_store {
public:
  using callback = std::function<void(append_result)>;

  /// So much of the bodies of a task `read_with_bodies` gives at the most.
  static constexpr std::size_t on_the_way_bytes = std::size_t{32} << 20;

  /// Opens or creates the store at `path` (directory 0700, file 0600). On failure returns nullptr and sets `error`. What `use` does
  /// not cover is an error where it is tried.
  static std::unique_ptr<event_store> open(const std::string& path, std::string& error, store_use use = store_use::everything);

  virtual ~event_store() = default; ///< flushes what was appended, answers what waits, joins the threads

  /// Appends events after `expected_seq`, with their bodies. A conflict appends nothing. `expected_seq` 0 makes the task, owned
  /// by `note.owner` with this fence; later appends must come with exactly the fence of the task's owner.
  virtual void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) = 0;

  /// Takes over a task nobody works on, an ended one too: raises its fence (but not to delete it) and holds its live lock. The row
  /// of an ended one names `owner` until `release`, then who played it.
  virtual void claim(std::string task, task_owner owner, std::function<void(claim_result)> done) = 0;

  /// Lets go of a task that is given up without a terminal event, once what was appended before is written.
  virtual void release(const std::string& task) = 0;

  /// Whether a task that ends here goes on to be held, until a `claim` here and then `release`: nobody else gets it before who does
  /// something with its files. Set before it ends; any thread. A store that no other process knows may ignore it.
  virtual void keep_ended(bool) {}

  /// Reads at most `limit` events (and about 4 MiB) with seq > after.
  virtual void read(std::string task, std::uint64_t after, std::size_t limit, std::function<void(event_page)> done) = 0;

  /// Reads bodies by name: at least one, and about 4 MiB at the most.
  virtual void read_bodies(std::string task, std::vector<std::string> shas, std::function<void(body_page)> done) = 0;

  /// Asks the owner of a task, in whatever process, to end it. An error if nobody works on it. Returns whether it was asked.
  virtual bool request_cancel(const std::string& task, const std::string& reason, std::string& error) = 0;

  /// Who is told, within a second and once per request, of requests to end a task that this store object owns. Called on a thread
  /// of the store; set once, before the first append. A request ends with its task's terminal event, its deletion or a new claim.
  virtual void on_cancel(std::function<void(std::string task, std::string reason)> told) = 0;

  /// Returns the events with seq > after. An unknown task gives none.
  virtual std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) = 0;

  /// The same of the whole stream, with bodies that lie among its events, up to `on_the_way_bytes` of them: who goes on with a task
  /// need not read its log twice. What of them is not there is found by its name, as ever.
  virtual std::vector<stored_event> read_with_bodies(const std::string& task, std::vector<stored_body>& on_the_way,
                                                     std::string& error) {
    on_the_way.clear();
    return read(task, 0, error);
  }

  /// Returns the bodies of these names that there are, in order; all of the task if `shas` is empty.
  virtual std::vector<stored_body> bodies(const std::string& task, const std::vector<std::string>& shas, std::string& error) = 0;

  /// Newest first, by the order in which tasks began, whatever the clock said.
  virtual std::vector<task_row> list(std::string& error) = 0;

  /// One of these; nothing if there is no such task, or with `error` set.
  virtual std::optional<task_row> find(const std::string& task, std::string& error) {
    for (auto& row : list(error))
      if (row.task == task)
        return row;
    return {};
  }

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
