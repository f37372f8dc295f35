// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/event_hub.hpp"

#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave {

namespace {

constexpr std::size_t kept_per_run = std::size_t{256} << 10; ///< text for readers that come late
constexpr std::size_t kept_per_task = std::size_t{16} << 20;
constexpr std::size_t max_texts = 1024; ///< runs of a task with text at one time: a node may name runs that there are not

} // namespace

void event_hub::begin(const std::string& task, const std::string& question, std::uint64_t seq) {
  std::lock_guard guard(mutex_);
  auto& t = tasks_[task];
  t.question = question;
  t.seq = seq;
}

void event_hub::on(event e) {
  auto shared = std::make_shared<const event>(std::move(e));
  std::lock_guard guard(mutex_);
  if (auto t = tasks_.find(shared->task); t != tasks_.end()) {
    t->second.seq = std::max(t->second.seq, shared->seq);
    if (shared->type == event_type::run_ended) {
      if (auto live = t->second.texts.find(shared->run); live != t->second.texts.end()) {
        t->second.text_bytes -= live->second.text.bytes();
        t->second.texts.erase(live);
      }
      t->second.ended.insert(shared->run);
    }
  }
  for (auto& r : readers_)
    if (r.task.empty() || r.task == shared->task)
      r.lane->push(shared);
}

void event_hub::task_state::keep(const chunk_batch& b, const std::vector<chunk>& chunks) {
  if (texts.size() >= max_texts && texts.count(b.run) == 0) {
    for (auto& c : chunks)
      not_kept += missing_without(c);
    return;
  }
  auto& live = texts[b.run];
  live.agent = b.agent;
  text_bytes -= live.text.bytes();
  for (auto& c : chunks)
    live.text.add(c, kept_per_run);
  if (text_bytes + live.text.bytes() > kept_per_task)
    live.text.drop();
  text_bytes += live.text.bytes();
}

void event_hub::on(const chunk_batch& b, std::uint64_t dropped) {
  std::lock_guard guard(mutex_);
  auto t = tasks_.find(b.task);
  if (t == tasks_.end() || t->second.ended.count(b.run) > 0)
    return; // it is over, and so is whoever read it
  std::vector<chunk> marked;
  if (dropped > 0) {
    marked = b.chunks;
    marked.insert(marked.begin(), left_out(dropped));
  }
  auto& chunks = dropped > 0 ? marked : b.chunks;
  t->second.keep(b, chunks);
  for (auto& r : readers_)
    if (r.task.empty() || r.task == b.task)
      r.lane->push(b.task, b.run, b.agent, chunks, holds_ > 0);
}

void event_hub::end(const std::string& task, const outcome& o) {
  std::lock_guard guard(mutex_);
  tasks_.erase(task);
  for (auto& r : readers_)
    if (r.task.empty() || r.task == task)
      r.lane->end(task, o);
}

std::vector<running_task> event_hub::running() const {
  std::lock_guard guard(mutex_);
  std::vector<running_task> out;
  for (auto& [task, t] : tasks_)
    out.push_back({task, t.question, t.seq});
  return out;
}

std::shared_ptr<event_lane> event_hub::watch(const watch_filter& filter, lane_callbacks callbacks, watch_bounds bounds) {
  std::lock_guard guard(mutex_);
  if (closed_)
    return nullptr;
  auto pace_ms = callbacks.to.on_chunk ? bounds.pace.count() : longest_pace_ms;
  auto lane = std::make_shared<event_lane>(store_, std::move(callbacks), bounds);
  // With the lock held, so that what is told next follows on what is given here.
  auto is_running = tasks_.count(filter.task) > 0;
  if (!filter.task.empty() && !is_running)
    lane->look(filter.task, filter.after);
  for (auto& [task, t] : tasks_) {
    if (!filter.task.empty() && filter.task != task)
      continue;
    lane->follow(task, filter.task.empty() ? 0 : filter.after, t.seq);
    for (auto& [run, live] : t.texts)
      lane->push(task, run, live.agent, merged_chunks(live.text).take());
    if (t.not_kept > 0)
      lane->push(task, 0, "", {left_out(t.not_kept)});
  }
  if (!lane->begin(*outside_))
    return nullptr;
  readers_.push_back({filter.task, lane, pace_ms});
  set_pace();
  return lane;
}

void event_hub::hold() {
  std::lock_guard guard(mutex_);
  ++holds_;
}

void event_hub::go_on() {
  std::lock_guard guard(mutex_);
  if (--holds_ == 0)
    for (auto& r : readers_)
      r.lane->go_on();
}

void event_hub::set_pace() {
  auto least = longest_pace_ms;
  for (auto& r : readers_)
    least = std::min(least, r.pace_ms);
  pace_ms_.store(least, std::memory_order_relaxed);
}

bool event_hub::end_watch(const std::shared_ptr<event_lane>& lane, std::chrono::milliseconds limit) {
  {
    std::lock_guard guard(mutex_);
    std::erase_if(readers_, [&](auto& r) { return r.lane == lane; });
    set_pace();
  }
  return lane->close(limit);
}

void event_hub::close(std::chrono::milliseconds limit) {
  std::vector<reader> all;
  {
    std::lock_guard guard(mutex_);
    all = std::exchange(readers_, {});
    closed_ = true;
    store_ = nullptr; // a subscription may outlive the engine, and keeps this
  }
  for (auto& r : all)
    r.lane->finish();
  for (auto& r : all)
    if (!r.lane->close(limit))
      limit = std::chrono::milliseconds(0); // the time is spent
}

namespace {

/// Hands on what is sent to it on the sender's thread; only what wants a reply goes through the mailbox.
class door : public event_sink_actor::base {
public:
  door(caf::actor_config& cfg, const std::shared_ptr<event_hub>& hub, std::string task, bool events)
      : event_sink_actor::base(cfg), hub_(hub), task_(std::move(task)), events_(events) {}

  using event_sink_actor::base::enqueue;

  /// Any thread.
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* unit) override {
    auto& m = what->content();
    if (m.match_elements<event>()) {
      if (auto hub = events_ ? hub_.lock() : nullptr)
        hub->on(m.get_as<event>(0));
      return;
    }
    if (m.match_elements<chunk_batch>())
      return take(m.get_as<chunk_batch>(0), 0);
    if (m.match_elements<chunk_delivery>()) {
      auto& d = m.get_as<chunk_delivery>(0);
      // Looked at here, so nothing of it waits; the acknowledgement takes its turn.
      take(d.batch, d.dropped);
      m.get_mutable_as<chunk_delivery>(0) = {};
    }
    event_sink_actor::base::enqueue(std::move(what), unit);
  }

  behavior_type make_behavior() override {
    return {[](const event&) {}, [](const chunk_batch&) {}, [](const chunk_delivery&) { return chunk_ack{}; }};
  }

  const char* name() const override { return events_ ? "event_door" : "chunk_door"; }

private:
  void take(const chunk_batch& b, std::uint64_t dropped) {
    if (auto hub = !events_ && b.task == task_ ? hub_.lock() : nullptr)
      hub->on(b, dropped);
  }

  const std::weak_ptr<event_hub> hub_; ///< a message that the network still holds must not keep the store open
  const std::string task_;
  const bool events_;
};

} // namespace

event_sink_actor spawn_event_door(caf::actor_system& sys, const std::shared_ptr<event_hub>& hub, const std::string& task) {
  return sys.spawn<door>(hub, task, true);
}

event_sink_actor spawn_chunk_door(caf::actor_system& sys, const std::shared_ptr<event_hub>& hub, const std::string& task) {
  return sys.spawn<door>(hub, task, false);
}

} // namespace conclave
