// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

namespace conclave {

namespace {

constexpr auto address_limit = std::chrono::seconds(2);

std::string range(std::uint32_t min, std::uint32_t max) {
  return min == max ? std::to_string(min) : std::to_string(min) + " to " + std::to_string(max);
}

struct door_parts {
  node_actor node;
  std::string build;
  node_resources with;
};

/// What a caller is told.
welcome greet(const door_parts& p, const hello& h, const std::string& peer) {
  welcome w;
  w.build = p.build;
  if (h.max < protocol_min || h.min > protocol_max)
    w.reason = "this node speaks protocol " + range(protocol_min, protocol_max) + ", the caller " + range(h.min, h.max)
               + ": update the older side";
  else if (p.with.load && p.with.load->ending)
    w.reason = "it is ending and takes no new task";
  if (w.reason.empty()) {
    w.version = std::min(h.max, protocol_max);
    w.node = caf::actor_cast<caf::strong_actor_ptr>(p.node);
  }
  if (p.with.note && w.reason.empty())
    p.with.note({note_weight::detail, "caller_joined", {{"peer", peer}, {"protocol", w.version}, {"build", h.build}}});
  else if (p.with.note)
    p.with.note({note_weight::trouble, "caller_refused", {{"peer", peer}, {"why", w.reason}, {"build", h.build}}});
  return w;
}

door_actor::behavior_type door(door_actor::pointer self, door_parts p) {
  return {
      [self, p = std::move(p)](const hello& h) -> caf::result<welcome> {
        auto sender = caf::actor_cast<caf::strong_actor_ptr>(self->current_sender());
        if (!p.with.peers || !p.with.callers || !sender)
          return greet(p, h, {});
        auto promise = self->make_response_promise<welcome>();
        auto id = sender->node();
        self->request(p.with.peers, address_limit, caf::get_atom::value, id)
            .then(
                [p, h, promise, id](const caf::node_id&, const std::string& host, std::uint16_t port) mutable {
                  auto peer = host.empty() ? std::string{} : host + ":" + std::to_string(port);
                  if (!peer.empty())
                    p.with.callers->put(id, peer);
                  promise.deliver(greet(p, h, peer));
                },
                [p, h, promise](const caf::error&) mutable { promise.deliver(greet(p, h, {})); });
        return caf::delegated<welcome>{};
      },
  };
}

} // namespace

door_actor spawn_door(caf::actor_system& sys, node_actor n, std::string build, const node_resources& with) {
  return sys.spawn(door, door_parts{std::move(n), std::move(build), with});
}

} // namespace conclave
