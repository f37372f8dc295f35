// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/node_notes.hpp"

#include "protocols/key_route.hpp"

namespace conclave {

node_note ready_note(const spawn_agent& order, const connection_parts& c) {
  auto& b = order.agent.backend;
  return {note_weight::info,
          "agent_ready",
          {{"task", order.task},
           {"agent", order.agent.id},
           {"backend", b.type},
           {"model", b.model},
           {"at", url_place(c.parts.endpoint.base_url)}}};
}

void note_ready(const note_taker& keep, node_note ready, const agent_ready& r) {
  auto about = [&](note_weight weight, const char* type, std::string why) {
    keep({weight, type, {ready.fields[0], ready.fields[1], {"why", std::move(why)}}});
  };
  for (auto& m : r.missing)
    about(note_weight::trouble, "tools_missing", m.source + ": " + m.why);
  for (auto& n : r.notes)
    about(note_weight::info, "agent_notice", n);
  ready.fields.emplace_back("tools", std::to_string(r.tools.size()));
  keep(std::move(ready));
}

node_note failed_run_note(const verdict& v) {
  auto cancelled = v.code == ec::cancelled;
  return {cancelled ? note_weight::detail : note_weight::trouble,
          "run_failed",
          {{"task", v.task}, {"agent", v.agent}, {"run", std::to_string(v.run)}, {"code", to_string(v.code)}, {"why", v.reason}}};
}

} // namespace conclave
