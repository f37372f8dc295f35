// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the parts of a player share. Private to transports/cassette_*.

#include "transports/cassette_notes.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace conclave {

/// The answer of the real store to one append. It comes when it comes; it counts when the cassette says so.
struct store_answer {
  std::mutex mutex;
  std::condition_variable came;
  std::optional<append_result> result;
  std::shared_ptr<turn_thread> free; ///< set: it counts as soon as it has come
  event_store::callback done;        ///< of the turn thread
};

/// All members on the turn thread, but for `links.turns`.
struct play {
  tape_links links;
  wire::cassette tape;
  bool on = false;            ///< from the beginning of the task until its end, or until something differs
  std::size_t at = 0;         ///< the next entry
  std::size_t next_input = 0; ///< no earlier than `at`
  std::string failure;
  bool stopped = false; ///< by the host
  std::uint64_t transfers = 0, children = 0, appends = 0, jobs = 0, models = 0;
  std::set<std::uint64_t> failed_appends; ///< those that the store refused when it was recorded
  std::map<std::uint64_t, http_transfers::callbacks> open_transfers;
  std::map<std::uint64_t, child_process::callbacks> open_children;
  std::map<std::uint64_t, std::shared_ptr<store_answer>> open_appends;
  std::map<std::uint64_t, lane::done> open_jobs;
  std::map<std::uint64_t, local_model::callbacks> open_models;

  bool here() const { return links.turns && links.turns->here(); }

  /// Returns what is recorded for a question; nullptr if the play is over, or the cassette does not hold it: that is the end of it.
  const wire::tape_entry* expect(const wire::tape_entry& asked);

  /// Nothing comes from the cassette any more.
  void leave();

  /// The run is not the recorded one.
  void differ(const std::string& what);
};

std::shared_ptr<http_transfers> make_played_http(std::shared_ptr<play> p);
std::shared_ptr<child_process> start_played_child(const std::shared_ptr<play>& p, const child_options& options,
                                                  child_process::callbacks cb);
std::unique_ptr<event_store> make_played_store(std::unique_ptr<event_store> to, std::shared_ptr<play> p);
std::unique_ptr<lane> make_played_lane(std::string owner, std::shared_ptr<play> p);

/// Lets an input in.
void let_in(play& p, const wire::tape_entry& e);

} // namespace conclave
