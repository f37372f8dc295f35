// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/relay.hpp"

#include "actors/leaving.hpp"
#include "protocols/merged_chunks.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <map>

namespace conclave {

namespace {

constexpr std::size_t max_pending = std::size_t{64} * 1024;
constexpr auto ack_limit = std::chrono::seconds(20);

/// What waits for the acknowledgement of one run's batch.
struct lane {
  std::string agent;
  merged_chunks pending;
  bool under_way = false;
};

struct relay_state {
  relay_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "relay";
  event_sink_actor sink;
  std::map<std::pair<std::string, std::uint64_t>, lane> lanes;
};

using relay_ptr = chunk_sink_actor::stateful_pointer<relay_state>;

void flush(relay_ptr self, std::pair<std::string, std::uint64_t> key) {
  auto& l = self->state.lanes[key];
  if (l.under_way)
    return;
  if (l.pending.empty()) {
    self->state.lanes.erase(key);
    return;
  }
  chunk_delivery d;
  d.batch = {key.first, key.second, l.agent, l.pending.take(d.dropped)};
  l.under_way = true;
  auto next = [self, key] {
    auto i = self->state.lanes.find(key);
    if (i == self->state.lanes.end())
      return;
    i->second.under_way = false;
    flush(self, key);
  };
  self->request(self->state.sink, ack_limit, std::move(d))
      .then([next](chunk_ack) { next(); }, [next](const caf::error&) { next(); });
}

chunk_sink_actor::behavior_type relay(relay_ptr self, event_sink_actor sink) {
  self->state.sink = std::move(sink);
  self->set_exit_handler([self](caf::exit_msg& m) { leave(self, m.reason); });
  return {
      [self](chunk_batch& b) {
        std::pair<std::string, std::uint64_t> key{b.task, b.run};
        auto& l = self->state.lanes[key];
        l.agent = b.agent;
        for (auto& c : b.chunks)
          l.pending.add(c, max_pending);
        flush(self, key);
      },
  };
}

} // namespace

chunk_sink_actor spawn_relay(caf::actor_system& sys, event_sink_actor sink) {
  return sys.spawn(relay, std::move(sink));
}

} // namespace conclave
