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

#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>

namespace conclave {

/// What is to happen later, or comes from another thread. Never crosses nodes.
struct agent_input {
  run::input in;
};

/// The model call that its provider's gate did not let pass is asked again.
struct agent_asks_again {
  std::uint64_t call = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::agent_input)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::agent_asks_again)

namespace conclave {

struct agent_state;
using agent_impl = agent_actor::extend<caf::reacts_to<agent_input>, caf::reacts_to<agent_asks_again>>;
using agent_ptr = agent_impl::stateful_pointer<agent_state>;

/// What a run knows, made when it is first asked for: an agent that waits for its first run does without. Not null.
class lazy_run {
public:
  run::state& operator*() const { return made(); }
  run::state* operator->() const { return &made(); }
  bool none() const { return !made_; }
  void drop() { made_.reset(); }

private:
  run::state& made() const {
    if (!made_)
      made_ = std::make_unique<run::state>();
    return *made_;
  }
  mutable std::unique_ptr<run::state> made_;
};

struct agent_state {
  static inline const char* name = "agent";

  /// A report on its way, and the bodies it names that the orchestrator may not have.
  struct outgoing {
    run_report report;
    std::set<std::string> names;
  };

  agent_ptr self = nullptr;
  agent_links parts;
  run::setting with;
  lazy_run run;
  run_end end;                       ///< of the run, for the node's log
  std::vector<std::uint64_t> listed; ///< version of each source's list as it was asked for last
  std::size_t listing = 0;           ///< sources that are being listed again
  std::function<void()> resumed; ///< goes on with a run of before a crash, once its workspace is there; empty = none waits for that
  run_ref resumed_as;            ///< which run it is now
  std::uint64_t kept_back = 0;   ///< the model call that waits for the gate of its provider's key; 0 = none
  std::string kept_back_for;     ///< what was told of it
  std::set<std::string> known;   ///< bodies the orchestrator has got from here
  std::list<std::shared_ptr<outgoing>>
      outbox; ///< in order; not empty while bodies go ahead of a report. A deque takes 0.5 KiB empty

  void input(run::input in);
  void start(start_run t);
  void go_on(start_run t, stored_run stored);
  void cancel(const cancel_run& c);
  void shut_down();

  const model_link& model() const; ///< the connection that is asked

  // agent_actions.cpp: carries out one action each
  void carry_out(const run::prepare& a);
  void ask_backend(std::uint64_t of, std::string place);
  void ask_model(model_request req);
  bool keep_back(std::uint64_t call, const caf::error& e);
  void ask_again(std::uint64_t call);
  void carry_out(run::send_model& a);
  void carry_out(run::send_tool& a);
  void carry_out(run::refuse_tool& a);
  void carry_out(const run::cancel_model& a);
  void carry_out(const run::cancel_all_tools& a);
  void carry_out(run::tell& a);
  void carry_out(run::remember& a);
  void carry_out(const run::over& a);
  void carry_out(const run::ask_policy& a);
  void carry_out(const run::take_snapshot& a);

  // agent_tools.cpp: what the sources offer
  caf::result<agent_ready> get_tools();
  void offer_built_in();
  bool is_stale() const;
  void carry_out(const run::list_again& a);
  void list_source(std::size_t i);
  std::vector<std::string> take_tools(std::size_t i, tool_list& list);
  void replace_tools(std::size_t i, tool_list& list);

  // agent_reports.cpp
  void carry_out(run::report& a);
  void read_along(const run::report& a);
  void send_next();
  void send_part(const run_ref& of, std::shared_ptr<body> whole, std::size_t offset);
  void ask_for_ruling(std::shared_ptr<outgoing> x, int tries);
};

} // namespace conclave
