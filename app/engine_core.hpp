// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an engine does inside a given actor_system: its node, its transports, its running tasks. Used by `engine` (own systems) and
/// `hosted_engine` (the host's system).
///
/// Thread rule: all members from any thread.

#include "actors/event_hub.hpp"
#include "actors/message_types.hpp"
#include "actors/node.hpp"
#include "actors/orchestrator.hpp"
#include "actors/turns.hpp"
#include "app/engine.hpp"
#include "app/engine_files.hpp"
#include "app/placement.hpp"
#include "app/task_opening.hpp"
#include "protocols/opening.hpp"

#include <caf/actor_system.hpp>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace conclave {

class environment;
struct resumed_task;

/// The one thread of an engine whose run is recorded, or played again, and its tape; an engine without them runs as ever.
struct taped {
  std::shared_ptr<conclave::turns> turns;
  std::shared_ptr<run_tape> tape;
};

class engine_core {
public:
  /// With a tape on the thread of the turns.
  engine_core(caf::actor_system& sys, std::shared_ptr<event_store> store, std::shared_ptr<event_hub> hub, engine_options options,
              node_finder find, taped on = {});
  ~engine_core();
  engine_core(const engine_core&) = delete;
  engine_core& operator=(const engine_core&) = delete;

  std::string start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done);
  std::string resume(resume_request request, const opening& o, listener l, std::function<void(outcome)> done);
  outcome ask(const run_config& config, const question& q, const listener& l);
  void cancel(const std::string& task, const std::string& reason);
  std::string stop(); ///< as engine::stop

private:
  /// What is to be taken down behind a task.
  struct running {
    orchestrator_actor boss;
    recorder_actor recorder;
    event_sink_actor events, chunks;
    std::shared_ptr<event_lane> host;
    std::shared_ptr<conclave::consent> consent; ///< none = nobody is asked about its changes
  };

  /// What the end of a task needs. Shared with its lanes, whose last callback may outlive the engine.
  struct register_of_tasks {
    std::mutex mutex;
    std::condition_variable idle;
    std::map<std::string, running> tasks;
    std::shared_ptr<event_hub> hub;
    std::shared_ptr<conclave::turns> turns; ///< none = actors take messages of any thread
    /// Tasks on their way here, until they are claimed and read, with the reason of a cancel that came meanwhile.
    std::multimap<std::string, std::optional<std::string>> arriving;
    void finished(const std::string& task);
    /// Runs `what`, which sends to actors, where that may be done.
    void send(std::function<void()> what) const;
    /// Ends the waiting of one of them: a cancel that came meanwhile reaches the task now, if it runs.
    void arrived(std::multimap<std::string, std::optional<std::string>>::iterator which);
    /// Why one of them does not go on; interrupted if a cancel came meanwhile.
    outcome refusal(std::multimap<std::string, std::optional<std::string>>::iterator which, ec code, std::string why);
    /// Call with the lock held.
    void cancel(const std::string& task, const std::string& reason);
  };

  /// Who hears of a task.
  struct readers {
    std::shared_ptr<event_lane> host;
    std::function<void(outcome)> end; ///< takes the outcome
    std::shared_ptr<conclave::consent> consent = {};
  };

  /// A task on its way here, and whoever wants it.
  struct arrival {
    run_config config;
    orchestrator_parts parts;
    conclave::listener listener;
    std::function<void(outcome)> done;
    std::function<void(std::string)> tell;
    std::multimap<std::string, std::optional<std::string>>::iterator arriving;
  };

  static void end_all(const running& r);
  /// Finds out how the commands of these agents are confined. Returns why they cannot be, or empty. Waits; no actor's thread.
  std::string find_sandbox(const std::vector<agent_config>& agents);

  /// Adds a warning to the outcome if commands run without a sandbox, though nobody said `off`.
  std::function<void(outcome)> warning_unconfined(const std::vector<agent_config>& agents, std::function<void(outcome)> done) const;
  /// Makes a configuration what a task may be launched with. Returns why it cannot be, or empty. Waits, as above.
  std::string settle(run_config& config);
  bool enter(const std::function<void(outcome)>& done);
  void leave();
  /// `config` is settled. `tell` (may be empty): what a person is to know before it begins.
  std::string launch(const run_config& config, const question& q, listener l, std::function<void(outcome)> done, opening with,
                     const std::function<void(std::string)>& tell = {});
  /// `before`: events of a task that goes on, for its files. Without a thread to be had `host` is null, and `done` was told.
  readers open_lanes(const std::string& task, const std::string& question, listener l, std::function<void(outcome)> done,
                     std::vector<event> before);
  void open_log_lane(const std::string& task, std::uint64_t seq, std::vector<event> before, readers& out);
  void begin(orchestrator_parts parts, const question& q, readers to);
  // Of a task that goes on; on a thread that may wait (app/engine_resume.cpp).
  void go_on(arrival& a, resumed_task& t);
  void await_nodes(const ledger::state& s, arrival& a);
  // With a tape, on the thread of the turns (app/engine_tape.cpp).
  void attach_tape(node_resources& r);
  void start_tape();
  std::string begin_tape(const std::string& task, const opening& whole, const question& q);
  static std::string end_tape(event_store& store, run_tape& tape, const std::string& task);

  caf::actor_system& sys_;
  std::shared_ptr<event_store> store_;
  std::shared_ptr<event_hub> hub_;
  engine_options options_;
  std::shared_ptr<outside> outside_;
  node_finder find_;
  std::shared_ptr<environment> env_;
  node_actor node_;
  std::string home_;
  std::shared_ptr<sandbox_finder> sandbox_;
  std::shared_ptr<lane_group> disk_;
  const taped on_;
  std::shared_ptr<register_of_tasks> register_ = std::make_shared<register_of_tasks>();
  bool stopped_ = false;     ///< with the register's lock held, as the next
  std::size_t starting_ = 0; ///< threads inside `start`
};

/// Hands requests to end a task on to an engine, for as long as it is there: the store may outlive it. Any thread.
class cancel_ear {
public:
  using hearer = std::function<void(const std::string& task, const std::string& reason)>;

  /// Listens to `store`.
  static std::shared_ptr<cancel_ear> at(event_store& store, hearer tell);

  /// Nothing is handed on afterwards; waits for what is being handed on.
  void close();

private:
  std::mutex mutex_;
  hearer tell_;
};

/// Returns what is wrong with the first of these tools that cannot be offered, or empty.
std::string fault_of(const std::vector<native_tool>& tools);

/// Returns the outside of an engine with these options.
std::shared_ptr<outside> outside_of(const engine_options& o);

} // namespace conclave
