// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"
#include "sim/servers.hpp"

#include <caf/all.hpp>

namespace conclave::sim {
struct tool_acts {
  std::uint64_t id = 0;
  bool effect = false; ///< else the result
};
} // namespace conclave::sim

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::sim::tool_acts)

namespace conclave::sim {

namespace {

using tool_impl = tool_source_actor::extend<caf::reacts_to<tool_acts>>;

struct tool_run {
  tool_invocation asked;
  caf::typed_response_promise<tool_result> promise;
};

struct tool_state {
  static inline const char* name = "tool";
  world* w = nullptr;
  process_ptr process;
  std::string tool;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, tool_run> running;

  std::size_t& open(const tool_run& r) { return w->open_tools[{r.asked.agent, r.asked.run}]; }
  ~tool_state() {
    for (auto& [id, r] : running)
      --open(r);
  }
};

using tool_ptr = tool_impl::stateful_pointer<tool_state>;

void act(tool_ptr self, const tool_acts& a) {
  auto& st = self->state;
  auto i = st.running.find(a.id);
  if (i == st.running.end() || (st.process->cut && !a.effect))
    return;
  auto& call = i->second.asked.call;
  if (a.effect) { // what was asked for is done, whether or not somebody waits for it
    if (st.tool == "stamp")
      st.w->on_effect(call.arguments);
    return;
  }
  if (st.w->chance.chance(st.w->what.bad_tool / 2))
    i->second.promise.deliver(make_error(ec::unavailable, "the tool server is gone"));
  else
    i->second.promise.deliver(tool_result{call.id, "done " + call.arguments, false});
  --st.open(i->second);
  st.running.erase(i);
}

tool_impl::behavior_type tool(tool_ptr self, world* w, process_ptr p, std::string name) {
  self->state.w = w;
  self->state.process = std::move(p);
  self->state.tool = std::move(name);
  return {
      [self](list_tools) -> caf::result<tool_list> {
        auto& st = self->state;
        tool_list out;
        out.source = "tool " + st.tool;
        tool_annotations notes;
        notes.read_only = st.tool == "look";
        notes.idempotent = st.tool == "put";
        out.tools.push_back({{st.tool, "does something", "{\"type\":\"object\"}"}, notes});
        return out;
      },
      [self](tool_invocation& x) -> caf::result<tool_result> {
        auto& st = self->state;
        auto& d = st.w->chance;
        if (st.process->cut)
          return caf::delegated<tool_result>{};
        st.w->on_tool(x, st.tool);
        auto id = ++st.ids;
        auto& r = st.running[id];
        r.asked = std::move(x);
        r.promise = self->template make_response_promise<tool_result>();
        ++st.open(r);
        if (d.chance(st.w->what.bad_tool / 3)) { // it never comes to it
          if (d.chance(500))
            return caf::delegated<tool_result>{};
          r.promise.deliver(tool_result{r.asked.call.id, "Error: it does not want to", true});
          --st.open(r);
          st.running.erase(id);
          return caf::delegated<tool_result>{};
        }
        auto at = std::chrono::milliseconds(d.chance(500) ? 0 : d.between(1, 5'000));
        self->delayed_send(self, at, tool_acts{id, true});
        if (d.chance(st.w->what.lost_source))
          self->quit(caf::exit_reason::user_shutdown);
        else if (!d.chance(st.w->what.bad_tool / 3))
          self->delayed_send(self, at + std::chrono::milliseconds(d.between(0, 500)), tool_acts{id, false});
        return caf::delegated<tool_result>{};
      },
      [self](const cancel_tools& c) {
        auto& st = self->state;
        for (auto i = st.running.begin(); i != st.running.end() && !st.process->cut;) {
          auto here = i++;
          if (here->second.asked.agent != c.agent || here->second.asked.run != c.run)
            continue;
          here->second.promise.deliver(tool_result{here->second.asked.call.id, "Error: cancelled", true});
          --st.open(here->second);
          st.running.erase(here);
        }
      },
      [self](const tool_acts& a) { act(self, a); },
  };
}

} // namespace

std::map<std::string, tool_factory> tools_of(world& w, process_ptr p) {
  std::map<std::string, tool_factory> out;
  for (const auto* name : {"look", "put", "stamp"})
    out.emplace(name, [&w, p, name](caf::actor_system& sys, const workspace_actor&) -> tool_source_actor {
      return sys.spawn(tool, &w, p, std::string(name));
    });
  return out;
}

} // namespace conclave::sim
