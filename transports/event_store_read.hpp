// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Reads a store beside its writers, of this schema and the ones before; and the thread that does so for callers that cannot wait.
/// Private to transports/event_store*.

#include "transports/event_store.hpp"
#include "transports/event_store_sqlite.hpp"
#include "transports/event_store_walk.hpp"
#include "transports/live_tasks.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace conclave {

/// One connection, opened with the first read. Each read sees one state of the store. Thread rule: one thread at a time.
class store_reader {
public:
  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

  /// Bytes of events, or of bodies, unpacked. A task stores half of it (docs/architecture.md): what takes more was made to.
  static constexpr std::size_t most_of_a_task = std::size_t{2} << 30;
  static std::string too_large(const std::string& task) {
    return "task " + task + " takes more than any task may store: it was not written by conclave; delete it";
  }

  store_reader(std::string path, store_use use) : path_(std::move(path)), use_(use) {}

  /// A part ends with the event, or body, that reaches `max_bytes`. `on_the_way`: gets the bodies within the records that are read.
  event_page events(const std::string& task, std::uint64_t after, std::size_t limit, std::size_t max_bytes,
                    std::vector<stored_body>* on_the_way = nullptr);
  body_page bodies(const std::string& task, const std::vector<std::string>& shas, std::size_t max_bytes);
  body_page all_bodies(const std::string& task);
  std::vector<task_row> list(live_tasks& live, std::string& error, const std::string& only = {}); ///< `only`: one task's

private:
  /// Runs `f`, which returns SQLITE_DONE or an error and is run again where the store has to be opened in another way. Returns why
  /// it could not be, or empty.
  template <class F>
  std::string reading(F&& f);

  /// What a page of events takes.
  struct page_bounds {
    std::uint64_t after;
    std::size_t limit, max_bytes;
    std::vector<stored_body>* on_the_way;
    std::size_t bytes = 0;                                            ///< of those it has
    std::size_t beside = 0;                                           ///< bytes of bodies
    bool take(event_page& page, std::uint64_t seq, std::string json); ///< false: the page is full, and there is more
    void take(std::vector<stored_body>& bodies);
  };
  // The steps of one read, with codes of SQLite; SQLITE_DONE where there is no more.
  int old_events(sqlite::connection& db, const std::string& task, page_bounds& to, event_page& page);
  int new_events(sqlite::connection& db, const std::string& task, page_bounds& to, event_page& page);
  int some_bodies(sqlite::connection& db, const std::string& task, const std::vector<std::string>& shas, std::size_t max_bytes,
                  body_page& page);
  int every_body(sqlite::connection& db, const std::string& task, body_page& page);

  std::string path_;
  store_use use_;
  sqlite::connection db_;
  record_packer packer_;
  sqlite::body_places places_; ///< of the task read last
  std::string damage_;         ///< what was found in a record, in the read that is under way
};

/// A thread that begins with the first read.
class reading_thread {
public:
  using work = std::function<void(store_reader*)>; ///< nullptr: the store is being closed

  reading_thread(std::string path, store_use use) : path_(std::move(path)), reader_(path_, use) {}
  ~reading_thread() { stop(); }
  void stop(); ///< what waits is told so; nothing more is taken

  /// Returns why this cannot be done, or empty: then it is called once on the thread.
  std::string post(work w);

private:
  void loop();

  std::string path_;
  store_reader reader_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<work> queue_;
  bool stop_ = false;
  std::thread thread_;
};

} // namespace conclave
