// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/host_sink.hpp"

#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

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

void finish(host_sink_ptr self, outcome o) {
  if (self->state.done)
    return;
  self->state.done = true;
  guarded(self->state.call.on_done, std::move(o));
}

host_sink_actor::behavior_type host_sink(host_sink_ptr self, host_callbacks callbacks) {
  self->state.call = std::move(callbacks);
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

} // namespace

host_sink_actor spawn_host_sink(caf::actor_system& sys, host_callbacks callbacks) {
  return sys.spawn<caf::detached>(host_sink, std::move(callbacks));
}

} // namespace conclave
