// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/event_lane.hpp"

#include "protocols/config.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"
#include "transports/outside.hpp"

#include <algorithm>
#include <exception>
#include <future>
#include <sched.h>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t max_thrown_text = 300;
constexpr std::size_t max_texts = 512; ///< that wait: of runs, and between events of one run

std::size_t weight(const event& e) {
  auto bytes = sizeof e + e.text.size() + e.reason.size() + e.extra.size() + e.detail.size() + e.cause.size();
  for (auto* texts : {&e.labels, &e.said})
    for (auto& text : *texts)
      bytes += sizeof(std::string) + text.size();
  return bytes;
}

/// A host's exception must not take the task down; it is remembered for the outcome.
template <class F, class... Ts>
void guarded(thrown_texts& seen, const F& f, Ts&&... xs) {
  if (!f)
    return;
  auto say = [&seen](const char* what) {
    if (seen.times++ == 0)
      seen.first = shown_text(what, max_thrown_text);
  };
  try {
    f(std::forward<Ts>(xs)...);
  } catch (const std::exception& e) {
    say(e.what());
  } catch (...) {
    say("something that is no std::exception");
  }
}

void warn(outcome& o, const char* callback, const thrown_texts& seen) {
  if (seen.times == 0)
    return;
  o.warnings.push_back("the host's " + std::string(callback) + " threw"
                       + (seen.times == 1 ? "" : " " + std::to_string(seen.times) + " times, first") + ": " + seen.first);
}

/// A reader is woken by the thread that reads all streams. A batch thread does not push its waker off the core, which halves what a
/// chunk costs (docs/performance.md). Threads a callback starts are not affected.
void let_readers_finish() {
  sched_param none{};
  if (sched_getscheduler(0) == SCHED_OTHER)
    sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none);
}

} // namespace

event_lane::event_lane(std::shared_ptr<event_store> store, lane_callbacks callbacks, watch_bounds bounds)
    : store_(std::move(store)), call_(std::move(callbacks)), wants_chunks_(call_.to.on_chunk != nullptr),
      wants_end_(call_.on_done != nullptr), bounds_(bounds), page_events_(std::max<std::size_t>(bounds.events, 1)) {}

bool event_lane::begin(outside& from) {
  std::lock_guard guard(mutex_);
  // Nobody waits for its end: a reader that blocks for ever is left alone.
  running_ = from.start_thread("reader", [me = shared_from_this()] { me->run(); }) != nullptr;
  return running_;
}

void event_lane::follow(const std::string& task, std::uint64_t after, std::uint64_t known) {
  std::lock_guard guard(mutex_);
  auto& t = tracks_[task];
  t.given = after;
  t.known = std::max(known, after);
  t.behind = t.known > t.given;
  if (t.behind)
    wake();
}

void event_lane::look(const std::string& task, std::uint64_t after) {
  std::lock_guard guard(mutex_);
  auto& t = tracks_[task];
  t.given = t.known = after;
  t.behind = true;
  wake();
}

// Call with the lock held, as all that is private.
void event_lane::wake() {
  urgent_ = true;
  changed_.notify_one();
}

void event_lane::push(const std::shared_ptr<const event>& e) {
  std::lock_guard guard(mutex_);
  if (closed_)
    return;
  auto [i, is_new] = tracks_.try_emplace(e->task);
  auto& t = i->second;
  if (e->seq == 0) {
    t.unstored.push_back(e);
    return wake();
  }
  t.known = std::max(t.known, e->seq);
  if (t.behind || e->seq <= t.given)
    return; // it is read from the store, or was
  auto bytes = weight(*e);
  auto room = events_ < bounds_.events && (events_ == 0 || event_bytes_ + bytes <= bounds_.event_bytes);
  if (e->seq != t.given + 1 || !room) {
    t.behind = true;
    return wake();
  }
  t.given = e->seq;
  ++events_;
  event_bytes_ += bytes;
  queue_.push_back({e, nullptr});
  // What the agent says from here on comes after this event.
  std::erase_if(open_, [&](auto* x) { return x->agent == e->agent && x->task == e->task; });
  wake();
}

void event_lane::push(const std::string& task, std::uint64_t run, const std::string& agent, const std::vector<chunk>& chunks,
                      bool more_follows) {
  std::lock_guard guard(mutex_);
  if (closed_ || !wants_chunks_)
    return;
  auto* at = open_text(task, run, agent);
  if (at == nullptr && queue_.size() - events_ < max_texts)
    at = begin_text(task, run, agent);
  if (at == nullptr) {
    // A text of no run, one per task, says what is missing.
    at = open_text(task, 0, "");
    if (at == nullptr)
      at = begin_text(task, 0, "");
    for (auto& c : chunks)
      at->text.miss(missing_without(c));
    return;
  }
  auto before = at->text.held();
  // What comes while nothing of the run waits is kept whole.
  std::size_t whole = 0;
  if (at->text.empty())
    for (auto& c : chunks)
      whole += c.text.size();
  for (auto& c : chunks)
    at->text.add(c, std::max(whole, bounds_.run_bytes));
  chunk_bytes_ += at->text.held() - before; // it may have become less: unsigned numbers wrap back
  make_room(*at);
  if ((waiting_ && !more_follows) || at->text.bytes() > bounds_.run_bytes / 2 || chunk_bytes_ > bounds_.chunk_bytes / 2) {
    waiting_ = false; // one wake-up is enough
    wake();
  }
}

void event_lane::go_on() {
  {
    std::lock_guard guard(mutex_);
    if (!waiting_ || queue_.empty())
      return;
    waiting_ = false;
    in_step_ = true;
    urgent_ = true;
  }
  changed_.notify_one(); // without the lock, which it would wait for first
}

event_lane::held_text* event_lane::open_text(const std::string& task, std::uint64_t run, std::string_view agent) {
  auto i = std::find_if(open_.begin(), open_.end(), [&](auto* x) { return x->run == run && x->agent == agent && x->task == task; });
  return i == open_.end() ? nullptr : *i;
}

event_lane::held_text* event_lane::begin_text(const std::string& task, std::uint64_t run, std::string_view agent) {
  queue_.push_back({nullptr, std::make_unique<held_text>()});
  auto* out = queue_.back().text.get();
  out->task = task;
  out->agent = agent;
  out->run = run;
  open_.push_back(out);
  return out;
}

// The oldest text first, but for what has just come, which may be larger alone; what is more than its run's share before whole
// texts. A quarter at once, so that not every piece is a walk through the queue.
void event_lane::make_room(const held_text& newest) {
  if (chunk_bytes_ <= bounds_.chunk_bytes)
    return;
  for (auto whole_texts : {false, true})
    for (auto& x : queue_) {
      if (chunk_bytes_ <= bounds_.chunk_bytes / 4 * 3)
        return;
      if (!x.text || x.text.get() == &newest || (!whole_texts && x.text->text.bytes() <= bounds_.run_bytes))
        continue;
      auto& text = x.text->text;
      chunk_bytes_ -= text.held();
      if (whole_texts)
        text.drop();
      else
        text.keep(bounds_.run_bytes);
      chunk_bytes_ += text.held();
    }
}

void event_lane::end(const std::string& task, outcome o) {
  std::lock_guard guard(mutex_);
  auto& t = tracks_[task];
  t.over = true;
  if (wants_end_)
    t.with = std::move(o);
  wake();
}

void event_lane::finish() {
  std::lock_guard guard(mutex_);
  finishing_ = true;
  wake();
}

bool event_lane::close(std::chrono::milliseconds limit) {
  lock_type lock(mutex_);
  if (finishing_ && thread_ != std::this_thread::get_id() && left_.wait_for(lock, limit, [this] { return !running_; }))
    return true;
  closed_ = true;
  wake();
  if (thread_ == std::this_thread::get_id())
    return true;
  return left_.wait_for(lock, finishing_ ? std::chrono::milliseconds(0) : limit, [this] { return !running_; });
}

void event_lane::run() {
  let_readers_finish();
  lock_type lock(mutex_);
  thread_ = std::this_thread::get_id();
  while (!closed_) {
    if (!queue_.empty()) {
      hand_out(lock);
    } else if (!catch_up(lock) && !finish_one(lock)) {
      if (finishing_)
        break;
      urgent_ = false;
      waiting_ = true;
      changed_.wait(lock, [this] { return urgent_ || closed_; });
      waiting_ = false;
    }
  }
  queue_.clear();
  open_.clear();
  lock.unlock();
  // Before anybody hears that the thread is gone: what a host gave is let go of, and the store with it.
  call_ = {};
  store_ = nullptr;
  lock.lock();
  thread_ = {};
  running_ = false;
  left_.notify_all();
}

event_lane::item event_lane::take() {
  auto out = std::move(queue_.front());
  queue_.pop_front();
  if (out.what) {
    --events_;
    event_bytes_ -= weight(*out.what);
  } else {
    chunk_bytes_ -= out.text->text.held();
    std::erase(open_, out.text.get());
  }
  return out;
}

// One by one: what waits while the reader blocks is counted, also what it would have got next.
void event_lane::hand_out(lock_type& lock) {
  urgent_ = false;
  auto streamed = false;
  for (auto left = queue_.size(); left > 0 && !closed_; --left) {
    auto next = take();
    lock.unlock();
    streamed = streamed || next.text;
    if (next.what)
      tell(*next.what);
    else
      show({next.text->task, next.text->run, next.text->agent, next.text->text.take()});
    next = {};
    lock.lock();
  }
  if (!std::exchange(in_step_, false) && streamed && bounds_.pace.count() > 0)
    changed_.wait_for(lock, bounds_.pace, [this] { return urgent_ || closed_; });
}

bool event_lane::catch_up(lock_type& lock) {
  auto i = std::find_if(tracks_.begin(), tracks_.end(), [](auto& t) { return t.second.behind; });
  if (i == tracks_.end())
    return false;
  auto task = i->first;
  auto after = i->second.given;
  lock.unlock();
  auto reply = std::make_shared<std::promise<event_page>>();
  auto page = reply->get_future();
  store_->read(task, after, page_events_, [reply](event_page p) { reply->set_value(std::move(p)); });
  auto got = page.get(); // the store answers within its own limit
  shorten(got);
  lock.lock();
  if (got.code != ec::none) {
    give_gap(lock, task, got.error);
  } else if (give_page(lock, task, got) && !got.more) {
    auto& t = tracks_[task];
    if (got.events.empty() && t.given < t.known)
      give_gap(lock, task, "the store has them no more");
    else
      t.behind = t.given < t.known;
  }
  return true;
}

/// A page waits too, while its reader blocks. What is too much of it is read again, and the next ones are no longer.
void event_lane::shorten(event_page& page) {
  std::size_t bytes = 0, fit = 0;
  for (; fit < page.events.size() && (fit == 0 || bytes + page.events[fit].json.size() <= bounds_.event_bytes); ++fit)
    bytes += page.events[fit].json.size();
  auto all = fit == page.events.size();
  page_events_ = all ? std::min(2 * page_events_, std::max<std::size_t>(bounds_.events, 1)) : fit;
  if (all)
    return;
  page.more = true;
  page.events.resize(fit);
  page.events.shrink_to_fit();
}

/// Returns false if it ended early.
bool event_lane::give_page(lock_type& lock, const std::string& task, const event_page& page) {
  for (auto& stored : page.events) {
    if (closed_)
      return false;
    lock.unlock();
    event e;
    auto readable = wire::from_json(stored.json, e);
    e.task = task;
    if (readable)
      tell(e);
    lock.lock();
    if (!readable) {
      give_gap(lock, task, "event " + std::to_string(stored.seq) + " cannot be read");
      return false;
    }
    tracks_[task].given = stored.seq;
  }
  return true;
}

void event_lane::give_gap(lock_type& lock, const std::string& task, const std::string& why) {
  auto& t = tracks_[task];
  auto text = "events " + std::to_string(t.given + 1) + " to " + std::to_string(t.known) + " could not be read back: " + why;
  t.given = t.known;
  t.behind = false;
  gaps_.push_back(text);
  lock.unlock();
  show({task, 0, "", {{chunk_kind::status, "[" + text + "]"}}});
  lock.lock();
}

bool event_lane::finish_one(lock_type& lock) {
  for (auto& [task, t] : tracks_) {
    if (!t.unstored.empty()) {
      auto last = std::exchange(t.unstored, {});
      lock.unlock();
      for (auto& e : last)
        tell(*e);
      lock.lock();
      return true;
    }
    if (!t.over)
      continue;
    auto o = std::move(t.with);
    tracks_.erase(task);
    lock.unlock();
    warn(o, "on_event", by_event_);
    warn(o, "on_chunk", by_chunk_);
    o.warnings.insert(o.warnings.end(), gaps_.begin(), gaps_.end());
    thrown_texts nobody_to_tell;
    guarded(nobody_to_tell, call_.on_done, std::move(o));
    lock.lock();
    return true;
  }
  return false;
}

void event_lane::tell(const event& e) {
  guarded(by_event_, call_.to.on_event, e);
}

void event_lane::show(const chunk_batch& b) {
  guarded(by_chunk_, call_.to.on_chunk, b);
}

} // namespace conclave
