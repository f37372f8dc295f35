// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/policy_gate.hpp"

#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/wire/mcp.hpp"
#include "protocols/workspace_tools.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace conclave {

namespace {

constexpr auto judge_limit = std::chrono::minutes(1);

struct gate_state {
  gate_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "policy_gate";

  /// A call whose paths are being judged.
  struct judged {
    tool_invocation what;
    caf::typed_response_promise<tool_result> promise;
  };

  tool_source_actor guarded;
  mcp_server_config server;
  wall_actor judge;
  std::set<std::string> readers; ///< public names of tools that say they are read-only
  std::uint64_t ids = 0;
  std::map<std::uint64_t, judged> waiting;

  bool names(const tool_policy& p, const std::string& tool) const {
    return p.tool == tool || wire::mcp::public_name(server.name, p.tool) == tool
           || wire::mcp::public_name(server.name, p.tool, true) == tool;
  }

  const tool_policy* policy_of(const std::string& tool) const {
    auto is = [&](const tool_policy& p) { return names(p, tool); };
    auto i = std::find_if(server.tool_policies.begin(), server.tool_policies.end(), is);
    return i == server.tool_policies.end() ? nullptr : &*i;
  }

  /// Adds what a person is to know of policies that nothing is judged by.
  void tell_unused(tool_list& list) const {
    std::vector<std::string> offered;
    auto start = "mcp__" + server.name + "__";
    for (auto& t : list.tools)
      offered.push_back(t.spec.name.starts_with(start) ? t.spec.name.substr(start.size()) : t.spec.name);
    for (auto& p : server.tool_policies) {
      auto is = [&](auto& t) { return names(p, t.spec.name); };
      if (std::any_of(list.tools.begin(), list.tools.end(), is))
        continue;
      auto like = nearest(p.tool, offered);
      list.notes.push_back("tool_policies names the tool '" + shown_text(p.tool, 100) + "', which it does not offer"
                           + (like.empty() ? std::string{} : " (is '" + like + "' meant?)")
                           + ", so nothing is judged by it: mend the name, or take it out");
    }
  }
};

using gate_ptr = tool_source_actor::stateful_pointer<gate_state>;

constexpr std::string_view denial_start = "Error: Permission denied for tool ";

std::chrono::milliseconds call_limit(gate_ptr self, const tool_invocation& i) {
  return tool_waits::guard_call(tool_waits::start(self->state.server), std::chrono::milliseconds(i.timeout_ms));
}

void pass_on(gate_ptr self, tool_invocation i, caf::typed_response_promise<tool_result> promise) {
  auto limit = call_limit(self, i);
  self->request(self->state.guarded, limit, std::move(i))
      .then(
          [promise](tool_result& r) mutable {
            if (r.is_error && r.text.starts_with(denial_start)) // it is not for a server to say
              r.text.insert(0, "The server says: ");
            promise.deliver(std::move(r));
          },
          [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
}

caf::result<tool_result> on_call(gate_ptr self, tool_invocation& i) {
  auto& st = self->state;
  auto* said = st.policy_of(i.call.name);
  // What a server says of itself counts where the sandbox sees to it.
  auto reads = st.server.sandbox != "off" && st.readers.contains(i.call.name);
  bool more = false;
  auto paths = wire::foreign_paths(i.call.arguments, wire::foreign_policy_of(said, reads), more);
  auto denied = [id = i.call.id](std::string text) { return tool_result{id, std::move(text), true}; };
  if (more)
    return denied(
        workspace_tools::error_text(i.call.name, {path_policy::denial::args, "its arguments hold more than 1,000 paths"}));
  auto promise = self->template make_response_promise<tool_result>();
  auto adds = !reads && !(said && (said->access == "read" || said->access == "none"));
  if (paths.empty() && !adds) {
    pass_on(self, std::move(i), promise);
    return caf::delegated<tool_result>{};
  }
  ask_ruling question{i.task,
                      i.run,
                      i.call.name,
                      std::move(paths),
                      !reads && (!said || said->access.empty()),
                      adds,
                      st.server.sandbox == "off" ? st.server.cwd : ""};
  auto id = ++st.ids;
  st.waiting[id] = {std::move(i), promise};
  auto settle = [self, id](std::string denial) {
    auto at = self->state.waiting.find(id);
    if (at == self->state.waiting.end())
      return; // cancelled
    auto w = std::move(at->second);
    self->state.waiting.erase(at);
    if (denial.empty())
      pass_on(self, std::move(w.what), w.promise);
    else
      w.promise.deliver(tool_result{w.what.call.id, std::move(denial), true});
  };
  self->request(st.judge, judge_limit, std::move(question))
      .then([settle](call_ruling& r) { settle(std::move(r.denial)); },
            [settle, tool = st.waiting[id].what.call.name](const caf::error& e) {
              settle(workspace_tools::error_text(tool,
                                                 {path_policy::denial::hook_failed, "its paths cannot be judged: " + text_of(e)}));
            });
  return caf::delegated<tool_result>{};
}

tool_source_actor::behavior_type policy_gate(gate_ptr self, tool_source_actor guarded, const mcp_server_config& server,
                                             wall_actor judge) {
  auto& st = self->state;
  st.guarded = std::move(guarded);
  st.server = server;
  st.judge = std::move(judge);
  self->set_exit_handler([self](caf::exit_msg& m) {
    end_now(self, self->state.guarded, m.reason);
    leave(self, m.reason);
  });
  return {
      [self](list_tools l) -> caf::result<tool_list> {
        auto promise = self->template make_response_promise<tool_list>();
        self->request(self->state.guarded, tool_waits::guard_list(tool_waits::start(self->state.server)), l)
            .then(
                [self, promise](tool_list& t) mutable {
                  self->state.readers.clear();
                  for (auto& tool : t.tools)
                    if (tool.notes.read_only)
                      self->state.readers.insert(tool.spec.name);
                  self->state.tell_unused(t);
                  promise.deliver(std::move(t));
                },
                [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
        return caf::delegated<tool_list>{};
      },
      [self](tool_invocation& i) { return on_call(self, i); },
      [self](const cancel_tools& c) {
        auto& waiting = self->state.waiting;
        for (auto i = waiting.begin(); i != waiting.end();) {
          auto& a = i->second.what;
          if (a.task != c.task || a.agent != c.agent || a.run != c.run) {
            ++i;
            continue;
          }
          i->second.promise.deliver(tool_result{a.call.id, "Error: cancelled", true});
          i = waiting.erase(i);
        }
        self->send(self->state.guarded, c);
      },
  };
}

} // namespace

tool_source_actor spawn_policy_gate(caf::actor_system& sys, tool_source_actor guarded, const mcp_server_config& server,
                                    wall_actor judge) {
  return sys.spawn(policy_gate, std::move(guarded), server, std::move(judge));
}

} // namespace conclave
