// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/host_sink.hpp"

#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <sched.h>

namespace conclave {

namespace {

struct host_sink_state {
  static inline const char* name = "host_sink";
  host_callbacks call;
  bool done = false;
};

using host_sink_ptr = host_sink_actor::stateful_pointer<host_sink_state>;

/// A host's exception is its own affair: it must not take the task down.
template <class F, class... Ts>
void guarded(const F& f, Ts&&... xs) {
  if (!f)
    return;
  try {
    f(std::forward<Ts>(xs)...);
  } catch (...) {
  }
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
  guarded(self->state.call.on_done, std::move(o));
}

host_sink_actor::behavior_type host_sink(host_sink_ptr self, host_callbacks callbacks) {
  self->state.call = std::move(callbacks);
  let_readers_finish();
  self->set_exit_handler([self](caf::exit_msg& m) {
    outcome o;
    o.code = ec::cancelled;
    o.error = "the engine was stopped before the task ended";
    finish(self, std::move(o));
    self->quit(m.reason);
  });
  return {
      [self](const event& e) { guarded(self->state.call.on_event, e); },
      [self](const chunk_batch& b) { guarded(self->state.call.on_chunk, b); },
      [self](chunk_delivery& d) {
        if (d.dropped > 0)
          d.batch.chunks.insert(d.batch.chunks.begin(),
                                {chunk_kind::status, "[" + std::to_string(d.dropped) + " bytes of the stream were left out]"});
        guarded(self->state.call.on_chunk, d.batch);
        return chunk_ack{};
      },
      [self](outcome& o) {
        finish(self, std::move(o));
        self->quit();
      },
  };
}

event_sink_actor::behavior_type chunk_gate(event_sink_actor::pointer self, const event_sink_actor& sink) {
  self->monitor(sink);
  self->set_down_handler([self](const caf::down_msg&) { self->quit(); });
  return {
      [self, sink](event& e) { self->send(sink, std::move(e)); },
      [self, sink](chunk_batch& b) { self->send(sink, std::move(b)); },
      [self, sink](chunk_delivery& d) -> caf::result<chunk_ack> {
        auto promise = self->make_response_promise<chunk_ack>();
        // No limit of its own: the far end has one, and the end of the sink ends this actor.
        self->request(sink, caf::infinite, std::move(d))
            .then([promise](chunk_ack a) mutable { promise.deliver(a); }, [promise](caf::error& e) mutable { promise.deliver(e); });
        return caf::delegated<chunk_ack>{};
      },
  };
}

} // namespace

host_sink_actor spawn_host_sink(caf::actor_system& sys, host_callbacks callbacks) {
  return sys.spawn<caf::detached>(host_sink, std::move(callbacks));
}

event_sink_actor spawn_chunk_gate(caf::actor_system& sys, event_sink_actor sink) {
  return sys.spawn(chunk_gate, std::move(sink));
}

} // namespace conclave
