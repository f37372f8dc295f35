// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/recorder.hpp"

#include "protocols/type_ids.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"

#include <caf/all.hpp>

#include <deque>

namespace conclave {

/// What the writing thread reports; replies come back in the order of the appends.
struct store_reply {
  append_result result;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::store_reply)

namespace conclave {

namespace {

using recorder_impl = recorder_actor::extend<caf::reacts_to<store_reply>>;

struct recorder_state {
  static inline const char* name = "recorder";
  std::shared_ptr<event_store> store;
  std::string task;
  std::uint64_t fence = 1;
  task_owner owner;
  bool ended = false; ///< the terminal event was appended
  std::deque<caf::typed_response_promise<appended>> waiting;
};

recorder_impl::behavior_type recorder(recorder_impl::stateful_pointer<recorder_state> self, std::shared_ptr<event_store> store,
                                      std::string task, std::uint64_t fence, task_owner owner) {
  self->state.store = std::move(store);
  self->state.task = std::move(task);
  self->state.fence = fence;
  self->state.owner = std::move(owner);
  self->set_exit_handler([self](caf::exit_msg& m) {
    for (auto& p : self->state.waiting)
      p.deliver(appended{ec::cancelled, "the recorder is being closed", 0});
    self->state.waiting.clear();
    if (!self->state.ended) // nobody works on it any more: it can be gone on with
      self->state.store->release(self->state.task);
    self->quit(m.reason);
  });
  return {
      [self](append_events& batch) -> caf::result<appended> {
        auto& st = self->state;
        if (batch.events.empty())
          return appended{};
        append_batch lines;
        lines.note.question = batch.started;
        lines.note.time_ms = batch.events.back().time_ms;
        lines.note.owner = st.owner;
        lines.note.log_version = wire::event_version;
        for (auto& b : batch.bodies)
          lines.bodies.push_back({std::move(b.sha), std::move(b.bytes)});
        lines.events.reserve(batch.events.size());
        for (auto& e : batch.events) {
          if (e.type == event_type::task_ended) {
            lines.note.outcome = e.reason;
            st.ended = true;
          }
          lines.events.push_back(wire::to_json(e));
        }
        st.waiting.push_back(self->template make_response_promise<appended>());
        // The transport holds a weak address and only posts: a late write of a dead task must not keep the actor alive.
        auto weak = caf::actor_cast<caf::actor_addr>(self);
        st.store->append(st.task, st.fence, batch.events.front().seq - 1, std::move(lines), [weak](append_result r) {
          if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(weak))
            caf::anon_send(caf::actor_cast<recorder_impl>(strong), store_reply{std::move(r)});
        });
        return caf::delegated<appended>{};
      },
      [self](const store_reply& reply) {
        auto& waiting = self->state.waiting;
        if (waiting.empty())
          return;
        auto promise = waiting.front();
        waiting.pop_front();
        promise.deliver(appended{reply.result.code, reply.result.error, reply.result.seq});
      },
  };
}

} // namespace

recorder_actor spawn_recorder(caf::actor_system& sys, std::shared_ptr<event_store> store, std::string task, std::uint64_t fence,
                              task_owner owner) {
  return sys.spawn(recorder, std::move(store), std::move(task), fence, std::move(owner));
}

} // namespace conclave
