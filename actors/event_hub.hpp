// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Where the events and streams of an engine's tasks meet their readers: one per engine, a lane (actors/event_lane.hpp) per reader.
/// Tasks speak to it through doors, actors that hand on at once, on the thread of whoever sends: no message waits, no worker is
/// woken. Whoever comes late gets a task's events from the store and the text of the runs under way.
///
/// Thread rule: all members from any thread; none waits, but for `close`.

#include "actors/event_lane.hpp"
#include "protocols/interfaces.hpp"
#include "transports/http_transfers.hpp"

#include <caf/actor_system.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

class event_hub final : public text_readers {
public:
  event_hub(std::shared_ptr<event_store> store, std::shared_ptr<outside> from)
      : store_(std::move(store)), outside_(std::move(from)) {}

  /// A task begins, or goes on behind event `seq`.
  void begin(const std::string& task, const std::string& question, std::uint64_t seq);

  void on(event e);                                         ///< of a task that has begun; seq 0 = the store could not take it
  void on(const chunk_batch& b, std::uint64_t dropped = 0); ///< `dropped`: bytes that are missing before it

  /// The last word on a task.
  void end(const std::string& task, const outcome& o);

  std::vector<running_task> running() const;

  /// Adds a reader. A named task is followed from `filter.after` on, also one that has ended; without a name all tasks are, those
  /// under way from their beginning. Returns nullptr if there is no thread for it, or the hub is closed.
  std::shared_ptr<event_lane> watch(const watch_filter& filter, lane_callbacks callbacks, watch_bounds bounds = {});

  /// Ends a reader, see event_lane::close.
  bool end_watch(const std::shared_ptr<event_lane>& lane, std::chrono::milliseconds limit);

  /// Ends all readers once they have what there is; those that are not level after `limit` are left to themselves.
  void close(std::chrono::milliseconds limit);

  std::chrono::milliseconds patience() const override {
    return std::chrono::milliseconds(pace_ms_.load(std::memory_order_relaxed));
  }
  void hold() override;
  void go_on() override;

private:
  struct live_text {
    std::string agent;
    merged_chunks text;
  };
  struct task_state {
    std::string question;
    std::uint64_t seq = 0;
    std::map<std::uint64_t, live_text> texts; ///< of the runs under way
    std::set<std::uint64_t> ended;            ///< runs: what still comes of them is for nobody
    std::size_t text_bytes = 0;
    std::uint64_t not_kept = 0; ///< bytes of runs that find no room among the texts

    void keep(const chunk_batch& b, const std::vector<chunk>& chunks);
  };
  struct reader {
    std::string task; ///< empty = all
    std::shared_ptr<event_lane> lane;
    std::int64_t pace_ms; ///< of text
  };

  /// A run waits for what is in a stream, too: not longer than for readers that did not choose.
  static constexpr std::int64_t longest_pace_ms = watch_bounds{}.pace.count();

  void set_pace(); ///< call with the lock held

  std::shared_ptr<event_store> store_;
  const std::shared_ptr<outside> outside_;
  mutable std::mutex mutex_;
  std::map<std::string, task_state> tasks_;
  std::vector<reader> readers_;
  std::atomic<std::int64_t> pace_ms_{longest_pace_ms}; ///< the shortest of those that read text
  int holds_ = 0;
  bool closed_ = false;
};

/// The door of a task's owner: takes its events.
event_sink_actor spawn_event_door(caf::actor_system& sys, const std::shared_ptr<event_hub>& hub, const std::string& task);

/// The door of a task's agents, on whatever node: takes streams of this task alone, and no events.
event_sink_actor spawn_chunk_door(caf::actor_system& sys, const std::shared_ptr<event_hub>& hub, const std::string& task);

} // namespace conclave
