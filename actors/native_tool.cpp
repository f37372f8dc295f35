// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/native_tool.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave {

/// A result on its way back to the actor. Never crosses nodes.
struct tool_worked {
  std::uint64_t id = 0;
  std::string text;
  bool is_error = false;
};
struct tool_late {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_worked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_late)

namespace conclave {

namespace {

using tool_impl = tool_source_actor::extend<caf::reacts_to<tool_worked>, caf::reacts_to<tool_late>>;

struct pending_call {
  tool_invocation asked;
  caf::typed_response_promise<tool_result> promise;
};

struct native_tool_state {
  native_tool_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "native_tool";
  listed_tool tool;
  std::shared_ptr<const std::function<std::string(const std::string&)>> work;
  std::unique_ptr<lane> thread; ///< not a detached actor: one that never returns would hold up the end of the actor system
  std::uint64_t ids = 0;
  std::map<std::uint64_t, pending_call> pending;
};

/// "3 s", "300 ms"
std::string span(std::int64_t ms) {
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

using tool_ptr = tool_impl::stateful_pointer<native_tool_state>;

void answer(tool_ptr self, std::uint64_t id, std::string text, bool is_error) {
  auto i = self->state.pending.find(id);
  if (i == self->state.pending.end())
    return; // it was late or abandoned
  i->second.promise.deliver(tool_result{i->second.asked.call.id, std::move(text), is_error});
  self->state.pending.erase(i);
}

/// Returns false if there is no thread for it.
bool work(tool_ptr self, std::uint64_t id, const std::string& arguments) {
  auto& st = self->state;
  auto job = [work = st.work, arguments] { return (*work)(arguments); };
  return st.thread->run(std::move(job), [id, back = caf::actor_cast<caf::actor_addr>(self)](job_result r) {
    if (r.failed)
      r.text = "Error: " + (r.text.empty() ? "the tool failed" : r.text);
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(back))
      caf::anon_send(caf::actor_cast<tool_impl>(strong), tool_worked{id, std::move(r.text), r.failed});
  });
}

tool_impl::behavior_type native_tool_source(tool_ptr self, const std::shared_ptr<outside>& from, listed_tool tool,
                                            std::function<std::string(const std::string&)> run) {
  self->state.thread = from->open_lane("tool " + tool.spec.name);
  self->state.tool = std::move(tool);
  self->state.work = std::make_shared<const std::function<std::string(const std::string&)>>(std::move(run));
  self->set_exit_handler([self](caf::exit_msg& m) {
    for (auto& [id, p] : self->state.pending)
      p.promise.deliver(tool_result{p.asked.call.id, "Error: the tool is being closed", true});
    self->state.pending.clear();
    self->quit(m.reason);
  });
  return {
      [self](list_tools) -> caf::result<tool_list> {
        auto& st = self->state;
        tool_list out;
        out.source = "tool " + st.tool.spec.name;
        out.tools = {st.tool};
        return out;
      },
      [self](const tool_invocation& i) -> caf::result<tool_result> {
        auto& st = self->state;
        if (i.call.name != st.tool.spec.name)
          return tool_result{i.call.id, "Error: no tool named '" + i.call.name + "' here", true};
        auto id = ++st.ids;
        auto& p = st.pending[id];
        p.asked = i;
        if (auto own = st.tool.notes.timeout_ms; own > 0)
          p.asked.timeout_ms = std::min(own, i.timeout_ms);
        p.promise = self->template make_response_promise<tool_result>();
        if (!work(self, id, i.call.arguments)) {
          answer(self, id, "Error: the system gives no thread for this tool", true);
          return caf::delegated<tool_result>{};
        }
        self->delayed_send(self, std::chrono::milliseconds(p.asked.timeout_ms), tool_late{id});
        return caf::delegated<tool_result>{};
      },
      [self](const cancel_tools& c) {
        std::vector<std::uint64_t> gone;
        for (auto& [id, p] : self->state.pending)
          if (p.asked.task == c.task && p.asked.agent == c.agent && p.asked.run == c.run)
            gone.push_back(id);
        for (auto id : gone)
          answer(self, id, "Error: cancelled", true);
      },
      [self](tool_worked& w) { answer(self, w.id, std::move(w.text), w.is_error); },
      [self](const tool_late& l) {
        auto i = self->state.pending.find(l.id);
        if (i != self->state.pending.end())
          answer(self, l.id, "Error: no result within " + span(i->second.asked.timeout_ms), true);
      },
  };
}

} // namespace

tool_source_actor spawn_native_tool(caf::actor_system& sys, std::shared_ptr<outside> from, listed_tool tool,
                                    std::function<std::string(const std::string&)> run) {
  return sys.spawn(native_tool_source, std::move(from), std::move(tool), std::move(run));
}

} // namespace conclave
