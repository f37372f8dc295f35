// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The pure policy (closed, open, half-open, retry waits) and its two guards: actors with the same handle type as what they guard,
/// so no one can tell. Retry lives here and nowhere else: at most 3 tries per call, only before the first semantic event (asking
/// again while a server loads its model is no try). What counts against a provider is a call that was given up, and calls that ran
/// side by side count once: one short outage must not close its gate for a whole team. Rules: docs/protocol.md 8.2, 8.3.

#include "actors/known_secrets.hpp"
#include "actors/parts.hpp"

#include <cstdint>

namespace conclave {

struct breaker_policy {
  std::uint32_t max_failures = 5;
  std::int64_t reset_ms = 60'000;
  double multiplier = 2; ///< of the wait, with each probe that fails
  std::int64_t max_reset_ms = 300'000;
  std::uint32_t tries = 3;
  std::int64_t retry_ms = 500; ///< first wait; doubles, jittered by -25 %
  std::int64_t retry_cap_ms = 8'000;
  std::int64_t retry_after_cap_ms = 120'000; ///< longer = failure now
  bool enabled = true;                       ///< false: failures close nothing
  bool operator==(const breaker_policy&) const = default;
};

/// The state of one breaker; times from the caller.
class breaker {
public:
  explicit breaker(breaker_policy p) : policy_(p) {}
  bool would_allow(std::int64_t now_ms) const;
  bool allow(std::int64_t now_ms); ///< also takes the half-open probe
  void success();
  void failure(std::int64_t now_ms);
  void undecided();                       ///< the probe ended without saying anything about the peer: the next call probes
  void pace_until(std::int64_t until_ms); ///< the peer asked for this wait: nothing that succeeds meanwhile ends it
  bool is_paced(std::int64_t now_ms) const { return now_ms < paced_until_ms_; }
  bool probing() const { return probing_; } ///< right after allow(): that call is the probe
  std::int64_t remaining_ms(std::int64_t now_ms) const;
  const breaker_policy& policy() const { return policy_; }

private:
  breaker_policy policy_;
  std::uint32_t failures_ = 0;
  std::int64_t until_ms_ = 0;
  std::int64_t paced_until_ms_ = 0;
  bool probing_ = false;
};

/// A wait for people, rounded up: "45 s", "12 min", "5 h".
std::string wait_text(std::int64_t ms);

/// With a gate of its own (actors/provider_gate.hpp), for what no other connection leads to. `random`: by how much a wait is
/// shorter than planned. `hidden` is taken out of what is said of a failure: a server may name keys of other agents, too.
backend_actor spawn_guarded_backend(caf::actor_system& sys, backend_actor guarded, random_stream random, breaker_policy policy = {},
                                    std::shared_ptr<const secrets_of_tasks> hidden = {});

/// For tool sources: 3 failures, 30 s. Fed by lost connections and timeouts only, never by a tool's own error result; never
/// retries. `start_limit`: how long the source may need until it can list its tools, see protocols/tool_waits.hpp. The one place
/// where what tools say enters: lists, results and errors come without `hidden`, results bounded (protocols/tool_result.hpp).
tool_source_actor spawn_guarded_tools(caf::actor_system& sys, tool_source_actor guarded, std::string name,
                                      std::chrono::milliseconds start_limit = std::chrono::seconds(30),
                                      std::shared_ptr<const known_secrets> hidden = {},
                                      breaker_policy policy = {
                                          .max_failures = 3, .reset_ms = 30'000, .max_reset_ms = 240'000, .tries = 1});

} // namespace conclave
