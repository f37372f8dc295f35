// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What CAF 0.17 keeps of an actor that ended, and how it is taken back. The timer of a request stays until it is due, also if the
/// answer came long before, and holds the actor meanwhile; a delayed message does so too, and cannot be called off at all.

#include <caf/all.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace conclave {

/// Ends the actor and its timers. An actor that asks with long limits ends by this. Own context only.
template <class Self>
void leave(Self* self, caf::error reason) {
  self->clock().cancel_timeouts(self);
  self->quit(std::move(reason));
}

/// Ends another actor before it reads what else waits in its mailbox, which send_exit() would not. Own context only.
template <class Self, class Handle>
void end_now(Self* self, const Handle& other, caf::error reason) {
  if (auto to = caf::actor_cast<caf::strong_actor_ptr>(other))
    to->enqueue(self->ctrl(), caf::make_message_id(caf::message_priority::high),
                caf::make_message(caf::exit_msg{self->address(), std::move(reason)}), self->context());
}

/// Ends the timer of one request: for actors that outlive what they ask. Own context only.
template <class Self>
void answered_in_time(Self* self, caf::message_id request) {
  self->clock().cancel_request_timeout(self, request);
}

/// Calls `f` in the actor's context after `delay`, as a delayed message would, but ends with the actor if it ends by leave().
template <class Self, class F>
void call_after(Self* self, std::chrono::milliseconds delay, F f) {
  auto id = self->new_request_id(caf::message_priority::normal); // a request nobody was sent: it can only run out of time
  self->request_response_timeout(caf::duration{std::max(delay, std::chrono::milliseconds(1))}, id);
  self->add_multiplexed_response_handler(id.response_id(), caf::behavior{[f](caf::error&) { f(); }});
}

} // namespace conclave
