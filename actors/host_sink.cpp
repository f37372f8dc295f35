// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/host_sink.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/config.hpp"
#include "protocols/spelling.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <exception>
#include <sched.h>

namespace conclave {

namespace {

constexpr std::size_t max_thrown_text = 300;
constexpr std::size_t max_waiting = std::size_t{1} << 20; ///< bytes of chunks that wait for the host
/// Deliveries of all nodes that were not acknowledged: a relay has one per run under way, of 64 KiB at most, if it heeds the rule.
constexpr std::size_t max_under_way = std::size_t{16} << 20;

/// What a batch costs while it waits.
std::size_t weight(const chunk_batch& b) {
  std::size_t bytes = sizeof b;
  for (auto& c : b.chunks)
    bytes += sizeof c + c.text.size();
  return bytes;
}

chunk left_out(std::uint64_t bytes) {
  return {chunk_kind::status, "[" + std::to_string(bytes) + " bytes of the stream were left out]"};
}

struct host_sink_state {
  static inline const char* name = "host_sink";
  host_callbacks call;
  bool done = false;
  struct thrown {
    std::uint64_t times = 0;
    std::string first;
  };
  thrown by_event, by_chunk;
};

/// A host that is slow does not make the mailbox grow: chunks beyond `max_waiting` are left out, and a status chunk says how much
/// was. Events and the outcome are never dropped; the ledger bounds them.
class limited_sink : public caf::stateful_actor<host_sink_state, host_sink_actor::base> {
public:
  using super = caf::stateful_actor<host_sink_state, host_sink_actor::base>;

  limited_sink(caf::actor_config& cfg, host_callbacks callbacks) : super(cfg) { state.call = std::move(callbacks); }

  using super::enqueue;

  /// Any thread.
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* unit) override {
    if (what->content().match_elements<chunk_batch>()) {
      auto& batch = what->content().get_as<chunk_batch>(0);
      auto bytes = weight(batch);
      if (waiting_.fetch_add(bytes) + bytes > max_waiting) {
        waiting_ -= bytes;
        dropped_ += bytes;
        return;
      }
      if (auto gone = dropped_.exchange(0); gone > 0) {
        chunk_batch word = batch;
        word.chunks = {left_out(gone)};
        waiting_ += weight(word);
        super::enqueue(caf::make_mailbox_element(nullptr, caf::make_message_id(), {}, std::move(word)), unit);
      }
    }
    super::enqueue(std::move(what), unit);
  }

  behavior_type make_behavior() override;

private:
  std::atomic<std::size_t> waiting_ = 0, dropped_ = 0;
};

using host_sink_ptr = limited_sink*;

/// A host's exception must not take the task down; it is remembered for the outcome.
template <class F, class... Ts>
void guarded(host_sink_state::thrown& seen, const F& f, Ts&&... xs) {
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

void warn(outcome& o, const char* callback, const host_sink_state::thrown& seen) {
  if (seen.times == 0)
    return;
  o.warnings.push_back("the host's " + std::string(callback) + " threw"
                       + (seen.times == 1 ? "" : " " + std::to_string(seen.times) + " times, first") + ": " + seen.first);
}

/// This thread is woken once per chunk, by the thread that reads all streams. A batch thread does not push its waker off the core,
/// which halves what a chunk costs (docs/performance.md). Threads a callback starts are not affected.
void let_readers_finish() {
  sched_param none{};
  if (sched_getscheduler(0) == SCHED_OTHER)
    sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none);
}

void finish(host_sink_ptr self, outcome o) {
  if (self->state.done)
    return;
  self->state.done = true;
  warn(o, "on_event", self->state.by_event);
  warn(o, "on_chunk", self->state.by_chunk);
  host_sink_state::thrown nobody_to_tell;
  guarded(nobody_to_tell, self->state.call.on_done, std::move(o));
}

host_sink_actor::behavior_type limited_sink::make_behavior() {
  auto* self = this;
  let_readers_finish();
  self->set_exit_handler([self](caf::exit_msg& m) {
    outcome o;
    o.code = ec::cancelled;
    o.error = "the engine was stopped before the task ended";
    finish(self, std::move(o));
    self->quit(m.reason);
  });
  return {
      [self](const event& e) { guarded(self->state.by_event, self->state.call.on_event, e); },
      [self](const chunk_batch& b) {
        self->waiting_ -= weight(b);
        guarded(self->state.by_chunk, self->state.call.on_chunk, b);
      },
      [self](chunk_delivery& d) {
        if (d.dropped > 0)
          d.batch.chunks.insert(d.batch.chunks.begin(), left_out(d.dropped));
        guarded(self->state.by_chunk, self->state.call.on_chunk, d.batch);
        return chunk_ack{};
      },
      [self](outcome& o) {
        finish(self, std::move(o));
        self->quit();
      },
  };
}

event_sink_actor::behavior_type chunk_gate(event_sink_actor::pointer self, const event_sink_actor& sink) {
  auto under_way = std::make_shared<std::size_t>(0);
  self->monitor(sink);
  self->set_down_handler([self](const caf::down_msg&) { self->quit(); });
  return {
      [](const event&) {}, // the ledger's affair; no node has any to tell
      [self, sink](chunk_batch& b) { self->send(sink, std::move(b)); },
      [self, sink, under_way](chunk_delivery& d) -> caf::result<chunk_ack> {
        auto bytes = weight(d.batch);
        if (*under_way + bytes > max_under_way)
          return make_error(ec::unavailable, "pieces of streams are not waited for: too many are under way");
        *under_way += bytes;
        auto promise = self->make_response_promise<chunk_ack>();
        // No limit of its own: the far end has one, and the end of the sink ends this actor.
        self->request(sink, caf::infinite, std::move(d))
            .then(
                [promise, under_way, bytes](chunk_ack a) mutable {
                  *under_way -= bytes;
                  promise.deliver(a);
                },
                [promise, under_way, bytes](caf::error& e) mutable {
                  *under_way -= bytes;
                  promise.deliver(e);
                });
        return caf::delegated<chunk_ack>{};
      },
  };
}

} // namespace

host_sink_actor spawn_host_sink(caf::actor_system& sys, host_callbacks callbacks) {
  return sys.spawn<limited_sink, caf::detached>(std::move(callbacks));
}

event_sink_actor spawn_chunk_gate(caf::actor_system& sys, event_sink_actor sink) {
  return sys.spawn(chunk_gate, std::move(sink));
}

} // namespace conclave
