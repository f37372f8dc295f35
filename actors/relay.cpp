// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/relay.hpp"

#include "actors/leaving.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <map>

namespace conclave {

namespace {

constexpr std::size_t max_pending = std::size_t{64} * 1024;
constexpr auto ack_limit = std::chrono::seconds(20);

/// What waits for the acknowledgement of one run's batch.
struct lane {
  chunk_batch pending;
  std::size_t bytes = 0;
  std::uint64_t dropped = 0;
  bool under_way = false;
};

struct relay_state {
  relay_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "relay";
  event_sink_actor sink;
  std::map<std::pair<std::string, std::uint64_t>, lane> lanes;
};

using relay_ptr = chunk_sink_actor::stateful_pointer<relay_state>;

void drop_oldest(lane& l) {
  while (l.bytes > max_pending && !l.pending.chunks.empty()) {
    auto& first = l.pending.chunks.front();
    auto over = l.bytes - max_pending;
    if (over >= first.text.size()) {
      l.dropped += first.text.size();
      l.bytes -= first.text.size();
      l.pending.chunks.erase(l.pending.chunks.begin());
      continue;
    }
    while (over < first.text.size() && (static_cast<unsigned char>(first.text[over]) & 0xC0) == 0x80)
      ++over; // never cut a UTF-8 sequence
    first.text.erase(0, over);
    l.dropped += over;
    l.bytes -= over;
  }
}

void flush(relay_ptr self, std::pair<std::string, std::uint64_t> key) {
  auto& l = self->state.lanes[key];
  if (l.under_way)
    return;
  if (l.pending.chunks.empty()) {
    self->state.lanes.erase(key);
    return;
  }
  chunk_delivery d{std::move(l.pending), l.dropped};
  l.pending = {};
  l.bytes = 0;
  l.dropped = 0;
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
        l.pending.task = b.task;
        l.pending.run = b.run;
        l.pending.agent = b.agent;
        for (auto& c : b.chunks) {
          l.bytes += c.text.size();
          auto& chunks = l.pending.chunks;
          if (!chunks.empty() && chunks.back().kind == c.kind && (c.kind == chunk_kind::text || c.kind == chunk_kind::reasoning))
            chunks.back().text += c.text;
          else
            chunks.push_back(std::move(c));
        }
        drop_oldest(l);
        flush(self, key);
      },
  };
}

} // namespace

chunk_sink_actor spawn_relay(caf::actor_system& sys, event_sink_actor sink) {
  return sys.spawn(relay, std::move(sink));
}

} // namespace conclave
