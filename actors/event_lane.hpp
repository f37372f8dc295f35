// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What leads to one reader of tasks: a bounded queue and a thread that calls the reader back. Whoever tells it something never
/// waits. Events that find no room are read from the store again, in order, until the reader is level; pieces of streams merge per
/// run and lose their oldest text, with a mark. Text that flows is handed on at a pace, so that a stream costs few wake-ups. With
/// the bounds of a reader who names none, what waits for one that blocks takes less than 1 MiB.
///
/// Thread rule: all members from any thread. The callbacks run on the lane's thread.

#include "protocols/merged_chunks.hpp"
#include "protocols/watching.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace conclave {

class event_store;
class outside;
struct event_page;

/// What a callback threw: it takes nobody down, and is told with the outcome.
struct thrown_texts {
  std::uint64_t times = 0;
  std::string first;
};

struct lane_callbacks {
  listener to;
  std::function<void(outcome)> on_done; ///< once per task that `end` was called for, after every event of it
};

class event_lane : public std::enable_shared_from_this<event_lane> {
public:
  event_lane(std::shared_ptr<event_store> store, lane_callbacks callbacks, watch_bounds bounds);
  event_lane(const event_lane&) = delete;
  event_lane& operator=(const event_lane&) = delete;

  /// Starts the thread. Returns false if there is none to be had.
  bool begin(outside& from);

  /// The reader has what is up to `after` of this task; what there is beyond it, up to `known` at least, is read from the store.
  void follow(const std::string& task, std::uint64_t after, std::uint64_t known);

  /// The same of a task that nobody here works on: what the store has of it, if anything, is read.
  void look(const std::string& task, std::uint64_t after);

  /// An event: durable and numbered, or one that the store could not take (seq 0), which is told after all others of its task.
  void push(const std::shared_ptr<const event>& e);

  /// Text. The reader is not woken for it when `more_follows`, but by `go_on`.
  void push(const std::string& task, std::uint64_t run, const std::string& agent, const std::vector<chunk>& chunks,
            bool more_follows = false);

  void go_on();

  /// The task has ended: no event of it follows. `on_done` gets the outcome.
  void end(const std::string& task, outcome o);

  /// Nothing comes any more: the lane ends by itself once the reader is level.
  void finish();

  /// No callback begins afterwards. Waits for one under way, or for a lane that is finishing to be level, at most `limit`, but not
  /// on the lane's own thread. Returns whether the thread has ended or is this one.
  bool close(std::chrono::milliseconds limit);

private:
  /// Text of one run, in the queue at the place of its first piece.
  struct held_text {
    std::string task, agent;
    std::uint64_t run = 0;
    merged_chunks text;
  };

  /// Either of both.
  struct item {
    std::shared_ptr<const event> what;
    std::unique_ptr<held_text> text;
  };

  /// How far the reader is in one task.
  struct track {
    std::uint64_t given = 0; ///< seq of the last event that it got or that waits in the queue
    std::uint64_t known = 0; ///< of the last one there is, as far as known
    bool behind = false;     ///< events beyond `given` are to be read from the store
    std::vector<std::shared_ptr<const event>> unstored;
    bool over = false;
    outcome with;
  };

  using lock_type = std::unique_lock<std::mutex>;

  void run();
  void wake();
  void hand_out(lock_type& lock);
  bool catch_up(lock_type& lock);
  bool finish_one(lock_type& lock);
  bool give_page(lock_type& lock, const std::string& task, const event_page& page);
  void give_gap(lock_type& lock, const std::string& task, const std::string& why);
  void tell(const event& e);
  void show(const chunk_batch& b);
  held_text* open_text(const std::string& task, std::uint64_t run, std::string_view agent);
  held_text* begin_text(const std::string& task, std::uint64_t run, std::string_view agent);
  void make_room(const held_text& newest);
  item take();
  void shorten(event_page& page);

  std::shared_ptr<event_store> store_; ///< of the lane's thread, as `call_`, once it runs
  lane_callbacks call_;
  const bool wants_chunks_, wants_end_;
  const watch_bounds bounds_;

  std::mutex mutex_;
  std::condition_variable changed_, left_;
  std::deque<item> queue_;
  std::vector<held_text*> open_; ///< texts in the queue that more may be added to
  std::map<std::string, track> tracks_;
  std::size_t events_ = 0, event_bytes_ = 0, chunk_bytes_ = 0; ///< of what is in the queue
  bool waiting_ = false;                                       ///< the thread waits for anything at all
  bool urgent_ = false;                                        ///< something came that is not to be waited with
  bool in_step_ = false;                                       ///< what it is woken for comes at a pace already
  bool closed_ = false, finishing_ = false, running_ = false;
  decltype(std::this_thread::get_id()) thread_{};

  thrown_texts by_event_, by_chunk_; ///< of the lane's thread
  std::vector<std::string> gaps_;    ///< likewise: events that the store did not give back
  std::size_t page_events_;          ///< likewise: how many are asked of the store at once
};

} // namespace conclave
