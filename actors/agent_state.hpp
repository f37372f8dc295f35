// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One agent's data. What a run does is decided by protocols/run_machine.hpp; here messages become inputs and actions are carried
/// out, nothing else.

#include "actors/agent.hpp"
#include "protocols/run_machine.hpp"
#include "protocols/type_ids.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace conclave {

struct agent_state;
using agent_ptr = agent_actor::stateful_pointer<agent_state>;

struct agent_state {
  static inline const char* name = "agent";

  agent_ptr self = nullptr;
  agent_parts parts;
  bool got_ready = false;
  run::setting with;
  run::state run;

  void input(run::input in);
  void cancel(const cancel_run& c);
  void shut_down();

  // agent_actions.cpp: carries out one action each
  void carry_out(const run::prepare& a);
  void carry_out(run::send_model& a);
  void carry_out(run::send_tool& a);
  void carry_out(const run::cancel_model& a);
  void carry_out(const run::cancel_all_tools& a);
  void carry_out(run::tell& a);
  void carry_out(run::remember& a);
  void carry_out(const run::over&) {}

  // agent_reports.cpp
  void carry_out(run::report& a);
  void begin_calls(const run::report& a);
  void ask_for_ruling(std::uint64_t report, verdict v, int tries);
};

} // namespace conclave
