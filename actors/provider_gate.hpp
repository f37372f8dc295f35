// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one gate in front of a provider's key: whoever sends a request with that key to that host asks it first, through whatever
/// connection. It keeps the rate limits (configured, and as the server tells them), a wait the server asked for, and the circuit
/// breaker. Requests pass in the order in which their calls came. Rules: docs/protocol.md 8.3. Local only: its messages never cross
/// nodes. Messages of one caller arrive in order, so a `leave_gate` is taken before the next `enter_gate` of that caller.

#include "actors/circuit_breaker.hpp"
#include "actors/rate_window.hpp"
#include "transports/outside.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

/// Gate -> caller, about the request it names.
struct gate_answer {
  enum class says : std::uint8_t {
    go,      ///< send it now, and tell by `leave_gate` what came of it
    waits,   ///< it waits; for people, and told again only when the reason is another one
    refused, ///< not before its deadline, or the breaker is open; nothing was counted
  };
  std::uint64_t id = 0;
  says what = says::go;
  ec code = ec::none;         ///< refused: breaker_open or rate_limited
  std::string text;           ///< waits: "waiting 12 s for the rate limit of api.openai.com"; refused: why, and until when
  std::int64_t again_ms = -1; ///< refused by a limit: it may be asked again after this; -1 = nobody waits for it
};

using gate_guest_actor = caf::typed_actor<caf::reacts_to<gate_answer>>;

/// Caller -> gate: may this request be sent? Answered by `gate_answer`s, the last one go or refused, or by none after `leave_gate`.
struct enter_gate {
  gate_guest_actor guest;
  std::uint64_t id = 0;
  std::string model;
  std::int64_t tokens = 0;   ///< of its prompt, estimated
  std::int64_t since_ms = 0; ///< when its call came, by the actor clock
  std::int64_t until_ms = 0; ///< its deadline, by the actor clock
};

/// Caller -> gate: the request is over, or not wanted any more.
struct leave_gate {
  enum class came : std::uint8_t {
    nothing,  ///< it says nothing about the provider: cancelled, never sent, its own fault
    answered, ///< the provider works
    failed,   ///< its call was given up: counts for the breaker
    retried,  ///< its call is tried again
    paced,    ///< the server asked for a wait: nobody with this key sends before
    shut,     ///< the server asked for a longer wait than is waited for: the breaker is open until then
  };
  std::uint64_t id = 0;
  came what = came::nothing;
  std::int64_t wait_ms = 0;  ///< paced, shut
  std::int64_t tokens = -1;  ///< it took; -1 = not said
  std::int64_t since_ms = 0; ///< as in enter_gate
  std::string failure;       ///< one sentence, to be named while the breaker is open
};

/// Connection -> gate: what the head of a reply says.
struct gate_head {
  std::string model;
  std::vector<wire::rate_state> limits;
  std::int64_t wait_ms = -1; ///< of a 429: what it asks to wait
};

/// Owner -> gate: another caller has these limits; the strictest of all count.
struct gate_limits {
  rate_limits limits;
};

using provider_gate_actor = caf::typed_actor<caf::reacts_to<enter_gate>, caf::reacts_to<leave_gate>, caf::reacts_to<gate_head>,
                                             caf::reacts_to<gate_limits>>;

/// The error of a request that the gate did not let pass: it may be asked again in so many milliseconds; -1 = nobody waits that
/// long.
caf::error not_yet(ec code, std::string text, std::int64_t again_ms);

/// Returns what `not_yet` was given, -1 of any other error.
std::int64_t again_after(const caf::error& e);

/// `name`: of the provider's host, for people; `world`: whose clock they read, without it they are told how long a wait is. The
/// owner ends it; it is shared by all who have a handle.
provider_gate_actor spawn_provider_gate(caf::actor_system& sys, std::string name, breaker_policy policy = {},
                                        rate_limits limits = {}, std::shared_ptr<outside> world = nullptr);

/// A model connection behind the gate of its provider's key, which has the same policy. `random`: by how much a wait is shorter
/// than planned. `hidden`: see actors/circuit_breaker.hpp.
backend_actor spawn_guarded_backend(caf::actor_system& sys, backend_actor guarded, random_stream random, provider_gate_actor gate,
                                    breaker_policy policy = {}, std::shared_ptr<const secrets_of_tasks> hidden = {});

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::gate_answer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::enter_gate)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::leave_gate)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::gate_head)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::gate_limits)
