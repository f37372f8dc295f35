// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The orchestrator's data and named steps. Decisions are made on the newest in-memory state; a decision's effects (rulings, run
/// starts, cancels) and its events to the sinks are released in order, once the recorder says they are durable. Handlers never
/// wait.

#include "actors/orchestrator.hpp"
#include "protocols/type_ids.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace conclave {

struct orchestrator_state;
using orchestrator_ptr = orchestrator_actor::stateful_pointer<orchestrator_state>;

/// Who had to do without the tools of a source, and why.
struct missing_tools {
  std::string why;
  std::map<std::string, int> agents; ///< and how often each was told
};

struct orchestrator_state {
  static inline const char* name = "orchestrator";

  /// What waits for durability together.
  struct batch {
    std::vector<event> events;
    std::vector<body> bodies; ///< what they name
    std::vector<std::function<void()>> effects;
  };

  /// What became of a report. An agent may have several on their way: each tool that comes back is one.
  struct kept_report {
    bool settled = false;
    ruling by;
    std::vector<caf::typed_response_promise<ruling>> waiting;
  };

  /// Bodies that come in parts, before the report that names them.
  struct parcel {
    std::map<std::string, std::string> whole;
    std::size_t total = 0;
  };

  orchestrator_ptr self = nullptr;
  orchestrator_parts parts;
  ledger::state log;
  std::vector<turn_text> history;
  std::uint64_t seq = 0;
  std::uint64_t stored_bytes = 0; ///< of events and bodies, those of earlier owners too
  bool full = false;              ///< the log is at its bound: the task is being ended
  std::deque<batch> inflight;
  std::set<std::string> ready;                     ///< agents whose node said so
  std::map<std::uint64_t, std::string> dispatched; ///< runs sent out and not ended
  std::map<std::uint64_t, std::string> runs;       ///< every run this orchestrator began or goes on with -> agent
  std::map<std::uint64_t, std::map<std::uint64_t, kept_report>> reported; ///< by run and number: all unsettled ones, and some
  std::map<std::string, std::uint32_t> in_use;                            ///< by agent: which of its backends answers (backend_at)
  std::map<std::string, parcel> arriving;                                 ///< by agent
  std::deque<run_report> parked;    ///< a model call waits until those under way need less of a budget; without ends of calls
  std::set<std::uint64_t> stopping; ///< dispatched runs that were sent a cancel
  std::set<std::pair<const void*, std::string>> told; ///< (node, label) whose text was sent
  std::vector<ledger::timer_key> armed;
  std::set<caf::actor_addr> unclosed;                            ///< nodes asked to end the task that have not said they did
  outcome ending;                                                ///< what is left to say then
  std::map<std::pair<std::string, bool>, missing_tools> missing; ///< by source and whether it never listed them
  caf::typed_response_promise<outcome> done;
  bool asked = false, replied = false, failed = false, closing = false;
  std::optional<std::string> cancelled_early; ///< the reason of a cancel that overtook the question
  random_stream random;
  std::int64_t wall_start = 0; ///< Unix time in ms at `mono_start`
  caf::actor_clock::time_point mono_start;

  void init(orchestrator_ptr self, orchestrator_parts p);

  /// Unix time in ms, driven by the actor clock so that tests own it.
  std::int64_t now_ms() const;

  /// Decides, begins what is wanted, cancels what is not; `effect` runs once durable. The decision it gets has no events any more.
  void apply(ledger::command c, std::function<void(const ledger::decision&)> effect);

  /// Records a notice of an agent.
  void note(const std::string& agent, std::string reason);

  /// Records that an agent lost a tool source: a notice now, a warning at the end. `at_start`: its tools were never there.
  void miss_tools(const std::string& agent, const tool_trouble& t, bool at_start);

  void lose(const std::string& agent, ec code, std::string reason); ///< it is out
  caf::result<ruling> on_report(run_report& r);
  body_ack on_part(body_part& p);
  void resume();       ///< takes over what `parts.revived` holds
  void hire();         ///< asks each node to make its agent ready
  void forget_nodes(); ///< before the end
  void node_down(const caf::actor_addr& source);
  void fire(const ledger::timer_key& key);          ///< a timer's time has come
  void give_up(ec code, const std::string& reason); ///< the store or the host failed: end without a durable terminal event

private:
  ledger::decision decide(batch& b, const ledger::command& c);
  void reconcile(batch& b, std::int64_t now);
  void begin(batch& b, const ledger::wanted_run& w, std::int64_t now);
  void go_on(batch& b, const ledger::wanted_run& w, std::int64_t now);
  void dispatch(batch& b, const ledger::wanted_run& w, std::int64_t now, std::vector<stored_run> stored);
  bool take_bodies(run_report& r, bool foreign);
  void keep_bodies(batch& b, run_report& r, bool over);
  ruling record(batch& b, run_report& r, bool& waits);
  void park(run_report& r, bool stored, const std::string& why);
  void retry_parked(batch& b);
  void settle(batch& b, const run_report& r, ruling by);
  void move(batch& b, run_report& r); ///< records that the agent goes on with another of its backends
  std::string agent_of(std::uint64_t run) const;
  void arm(const std::vector<ledger::timer_key>& timers, std::int64_t now);
  void commit(batch b);
  void end_if_full();
  void release(batch b);
  void close(); ///< once the terminal event is out: ends the task on all nodes, then answers who asked
  void closed(const caf::actor_addr& node, const task_closed* with);       ///< `node` has ended the task, or is lost
  start_run task_for(const ledger::wanted_run& w, std::int64_t now) const; ///< answers without texts
  const placed_agent* place(const std::string& agent) const;
  void add_missing(std::vector<std::string>& warnings) const;
  void publish(batch& b, const std::string& label, const std::string& text); ///< to every node that has agents at work
  void publish_missing(batch& b, const placed_agent& to, const start_run& t);
  void publish_files(batch& b, const placed_agent& to, const start_run& t);
  void tell(event e); ///< every sink
};

} // namespace conclave
