// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an engine does inside a given actor_system: its node, its transports, its running tasks. Used by `engine` (own systems) and
/// `hosted_engine` (the host's system).
///
/// Thread rule: all members from any thread.

#include "actors/host_sink.hpp"
#include "actors/node.hpp"
#include "actors/orchestrator.hpp"
#include "app/engine.hpp"
#include "protocols/opening.hpp"

#include <caf/actor_system.hpp>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace conclave {

class environment;

/// Finds the node behind HOST:PORT, or a null handle and why.
using node_finder = std::function<node_actor(const std::string& address, std::string& error)>;

class engine_core {
public:
  engine_core(caf::actor_system& sys, std::shared_ptr<event_store> store, engine_options options, node_finder find);
  ~engine_core();
  engine_core(const engine_core&) = delete;
  engine_core& operator=(const engine_core&) = delete;

  std::string start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done);
  std::string resume(const resume_request& request, const opening& o, listener l, std::function<void(outcome)> done);
  outcome ask(const run_config& config, const question& q, const listener& l);
  void cancel(const std::string& task, const std::string& reason);
  void stop();

private:
  struct running {
    orchestrator_actor boss;
    recorder_actor recorder;
  };

  /// What the end of a task needs. Shared with its sink, whose last callback may outlive the engine.
  struct register_of_tasks {
    std::mutex mutex;
    std::condition_variable idle;
    std::map<std::string, running> tasks;
    void finished(const std::string& task);
  };

  /// The sinks of a task: the first gets the outcome, all get the events, `host` the chunks.
  struct task_sinks {
    host_sink_actor first;
    event_sink_actor host;
    std::vector<event_sink_actor> all;
  };

  bool enter(const std::function<void(outcome)>& done);
  void leave();
  std::string launch(const run_config& config, const question& q, listener l, std::function<void(outcome)> done, opening with);
  /// `before`: events of a task that goes on, for its files.
  task_sinks spawn_sinks(const std::string& task, listener l, std::function<void(outcome)> done, const std::vector<event>& before);
  void begin(orchestrator_parts parts, const question& q, task_sinks sinks);
  std::vector<placed_agent> place(const run_config& config);

  caf::actor_system& sys_;
  std::shared_ptr<event_store> store_;
  engine_options options_;
  std::shared_ptr<outside> outside_;
  node_finder find_;
  std::shared_ptr<environment> env_;
  node_actor node_;
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

/// Reads what a stored task is played by, with the literal keys of `request.team` put in. Returns an outcome whose `error` says why
/// it cannot be gone on with; empty if it can.
outcome read_opening(event_store& store, const resume_request& request, opening& out);

/// Returns what is wrong with the first of these tools that cannot be offered, or empty.
std::string fault_of(const std::vector<native_tool>& tools);

/// Returns the outside of an engine with these options.
std::shared_ptr<outside> outside_of(const engine_options& o);

/// Registers the types of our messages; nothing else of the configuration is touched.
void add_messages(caf::actor_system_config& config);

} // namespace conclave
