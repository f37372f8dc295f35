// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

namespace conclave {

namespace {

std::string range(std::uint32_t min, std::uint32_t max) {
  return min == max ? std::to_string(min) : std::to_string(min) + " to " + std::to_string(max);
}

door_actor::behavior_type door(door_actor::pointer, node_actor node, std::string build, std::shared_ptr<node_load> load,
                               note_taker keep) {
  return {
      [=](const hello& h) -> caf::result<welcome> {
        welcome w;
        w.build = build;
        if (h.max < protocol_min || h.min > protocol_max)
          w.reason = "this node speaks protocol " + range(protocol_min, protocol_max) + ", the caller " + range(h.min, h.max)
                     + ": update the older side";
        else if (load && load->ending)
          w.reason = "it is ending and takes no new task";
        if (!w.reason.empty()) {
          if (keep)
            keep({note_weight::trouble, "caller_refused", {{"why", w.reason}, {"build", h.build}}});
          return w;
        }
        w.version = std::min(h.max, protocol_max);
        w.node = caf::actor_cast<caf::strong_actor_ptr>(node);
        if (keep)
          keep({note_weight::detail, "caller_joined", {{"protocol", std::to_string(w.version)}, {"build", h.build}}});
        return w;
      },
  };
}

} // namespace

door_actor spawn_door(caf::actor_system& sys, node_actor n, std::string build, const node_resources& with) {
  return sys.spawn(door, std::move(n), std::move(build), with.load, with.note);
}

} // namespace conclave
