// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/circuit_breaker.hpp"
#include "actors/leaving.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

namespace conclave {

namespace {

struct tool_guard_state {
  tool_guard_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "guarded_tools";
  tool_source_actor guarded;
  std::string source;
  std::chrono::milliseconds start_limit{};
  std::shared_ptr<const known_secrets> hidden;
  breaker gate{breaker_policy{}};
};

using tool_guard_ptr = tool_source_actor::stateful_pointer<tool_guard_state>;

std::int64_t now_ms(tool_guard_ptr self) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(self->clock().now().time_since_epoch()).count();
}

caf::error closed(tool_guard_ptr self) {
  auto left = (self->state.gate.remaining_ms(now_ms(self)) + 999) / 1000;
  return make_error(ec::breaker_open,
                    self->state.source + " failed too often lately; it is tried again in " + std::to_string(left) + " s");
}

secrets hidden(tool_guard_ptr self) {
  auto& from = self->state.hidden;
  return from ? *from->get() : secrets{};
}

/// What went wrong, naming the source once.
caf::error told(tool_guard_ptr self, const caf::error& e) {
  auto& source = self->state.source;
  auto text = text_of(e);
  hidden(self).hide(text);
  return make_error(code_of(e), text.starts_with(source) ? text : source + ": " + text);
}

/// Some servers describe their tools with the address they were given, password included.
void clean(tool_list& t, const secrets& hidden) {
  for (auto& tool : t.tools)
    for (auto* text : {&tool.spec.description, &tool.spec.parameters})
      hidden.hide(*text);
  for (auto& note : t.notes)
    hidden.hide(note);
}

/// Only losing the source or its silence counts; a denial, a bad argument or a tool's own error says nothing about its health.
void learn(tool_guard_ptr self, ec code, bool probe) {
  if (probe)
    self->state.gate.undecided(); // whatever it says, the call is over: it must not stay the probe
  if (is_outage(code))
    self->state.gate.failure(now_ms(self));
}

tool_source_actor::behavior_type tool_guard(tool_guard_ptr self, tool_source_actor guarded, std::string source,
                                            std::chrono::milliseconds start_limit, std::shared_ptr<const known_secrets> hidden_ones,
                                            breaker_policy policy) {
  self->state.guarded = std::move(guarded);
  self->state.source = std::move(source);
  self->state.start_limit = start_limit;
  self->state.hidden = std::move(hidden_ones);
  self->state.gate = breaker{policy};
  self->set_exit_handler([self](caf::exit_msg& m) {
    end_now(self, self->state.guarded, m.reason); // a server that floods must not keep the end of a task waiting
    leave(self, m.reason);
  });
  return {
      [self](list_tools l) -> caf::result<tool_list> {
        if (!self->state.gate.allow(now_ms(self)))
          return closed(self);
        auto probe = self->state.gate.probing();
        auto promise = self->template make_response_promise<tool_list>();
        self->request(self->state.guarded, tool_waits::guard_list(self->state.start_limit), l)
            .then(
                [self, promise](tool_list& t) mutable {
                  self->state.gate.success();
                  clean(t, hidden(self));
                  promise.deliver(std::move(t));
                },
                [self, promise, probe](caf::error& e) mutable {
                  learn(self, code_of(e), probe);
                  promise.deliver(told(self, e));
                });
        return caf::delegated<tool_list>{};
      },
      [self](tool_invocation& i) -> caf::result<tool_result> {
        if (!self->state.gate.allow(now_ms(self)))
          return closed(self);
        auto probe = self->state.gate.probing();
        auto promise = self->template make_response_promise<tool_result>();
        auto limit = tool_waits::guard_call(self->state.start_limit, std::chrono::milliseconds(i.timeout_ms));
        self->request(self->state.guarded, limit, std::move(i))
            .then(
                [self, promise](tool_result& r) mutable {
                  self->state.gate.success();
                  admit(r, hidden(self));
                  promise.deliver(std::move(r));
                },
                [self, promise, probe](caf::error& e) mutable {
                  learn(self, code_of(e), probe);
                  promise.deliver(told(self, e));
                });
        return caf::delegated<tool_result>{};
      },
      [self](const cancel_tools& c) { self->send(self->state.guarded, c); },
  };
}

} // namespace

tool_source_actor spawn_guarded_tools(caf::actor_system& sys, tool_source_actor guarded, std::string name,
                                      std::chrono::milliseconds start_limit, std::shared_ptr<const known_secrets> hidden,
                                      breaker_policy policy) {
  return sys.spawn(tool_guard, std::move(guarded), std::move(name), start_limit, std::move(hidden), policy);
}

} // namespace conclave
