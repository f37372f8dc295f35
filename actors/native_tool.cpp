// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/native_tool.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <exception>

namespace conclave {

/// One call for the worker, and its result on the way back. Never cross nodes.
struct tool_work {
  std::uint64_t id = 0;
  std::string arguments;
};
struct tool_worked {
  std::uint64_t id = 0;
  std::string text;
  bool is_error = false;
};
struct tool_late {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_worked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_late)

namespace conclave {

namespace {

using tool_impl = tool_source_actor::extend<caf::reacts_to<tool_worked>, caf::reacts_to<tool_late>>;
using worker_actor = caf::typed_actor<caf::reacts_to<tool_work>>;

struct pending_call {
  tool_invocation asked;
  caf::typed_response_promise<tool_result> promise;
};

struct native_tool_state {
  static inline const char* name = "native_tool";
  tool_spec spec;
  bool read_only = false;
  worker_actor worker;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, pending_call> pending;
};

using tool_ptr = tool_impl::stateful_pointer<native_tool_state>;

/// Runs the function; it may block, so it has a thread of its own.
worker_actor::behavior_type worker(worker_actor::pointer self, std::function<std::string(const std::string&)> run,
                                   caf::actor_addr back) {
  return {
      [self, run, back](const tool_work& w) {
        tool_worked out{w.id, "", false};
        try {
          out.text = run(w.arguments);
        } catch (const std::exception& e) {
          out.text = std::string("Error: ") + e.what();
          out.is_error = true;
        } catch (...) {
          out.text = "Error: the tool failed";
          out.is_error = true;
        }
        if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(back))
          caf::anon_send(caf::actor_cast<tool_impl>(strong), std::move(out));
      },
  };
}

void answer(tool_ptr self, std::uint64_t id, std::string text, bool is_error) {
  auto i = self->state.pending.find(id);
  if (i == self->state.pending.end())
    return; // it was late or abandoned
  i->second.promise.deliver(tool_result{i->second.asked.call.id, std::move(text), is_error});
  self->state.pending.erase(i);
}

tool_impl::behavior_type native_tool_source(tool_ptr self, tool_spec spec, bool read_only,
                                            std::function<std::string(const std::string&)> run) {
  self->state.spec = std::move(spec);
  self->state.read_only = read_only;
  self->state.worker = self->spawn<caf::detached>(worker, std::move(run), caf::actor_cast<caf::actor_addr>(self));
  self->set_exit_handler([self](caf::exit_msg& m) {
    for (auto& [id, p] : self->state.pending)
      p.promise.deliver(tool_result{p.asked.call.id, "Error: the tool is being closed", true});
    self->state.pending.clear();
    self->send_exit(self->state.worker, caf::exit_reason::user_shutdown);
    self->quit(m.reason);
  });
  return {
      [self](list_tools) -> caf::result<tool_list> {
        auto& st = self->state;
        tool_list out;
        out.source = "tool " + st.spec.name;
        out.tools = {st.spec};
        if (st.read_only)
          out.read_only = {st.spec.name};
        return out;
      },
      [self](const tool_invocation& i) -> caf::result<tool_result> {
        auto& st = self->state;
        if (i.call.name != st.spec.name)
          return tool_result{i.call.id, "Error: no tool named '" + i.call.name + "' here", true};
        auto id = ++st.ids;
        auto& p = st.pending[id];
        p.asked = i;
        p.promise = self->template make_response_promise<tool_result>();
        self->send(st.worker, tool_work{id, i.call.arguments});
        self->delayed_send(self, std::chrono::milliseconds(i.timeout_ms), tool_late{id});
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
          answer(self, l.id, "Error: no result within " + std::to_string(i->second.asked.timeout_ms / 1000) + " s", true);
      },
  };
}

} // namespace

tool_source_actor spawn_native_tool(caf::actor_system& sys, tool_spec spec, bool read_only,
                                    std::function<std::string(const std::string&)> run) {
  return sys.spawn(native_tool_source, std::move(spec), read_only, std::move(run));
}

} // namespace conclave
