// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The engine for hosts that bring their own actor_system.
///
///   struct config : caf::actor_system_config { config() { conclave::init(*this); } };
///   caf::actor_system sys{cfg};
///   conclave::hosted_engine eng{sys};
///   auto out = eng.ask(config, {"...", {}});
///
/// The engine's actors live in `sys`; destroy the engine before the system. It runs tasks of this machine only: an agent with a
/// node is out at once.

#include "app/engine.hpp"

#include <caf/fwd.hpp>

#include <memory>

namespace conclave {

class cancel_ear;
class engine_core;
class event_hub;
class outside;

/// Registers the message types of Conclave with a host's configuration. Call it once, before the system is made.
void init(caf::actor_system_config& config);

/// The members of `engine`, with the same rules, but for `ask`: not from an actor of the system that is not detached.
/// `engine_options::threads` has no effect here.
class hosted_engine {
public:
  explicit hosted_engine(caf::actor_system& sys, engine_options options = {});
  ~hosted_engine(); ///< same as stop()
  hosted_engine(const hosted_engine&) = delete;
  hosted_engine& operator=(const hosted_engine&) = delete;

  const std::string& error() const;
  outcome ask(const run_config& config, const question& q, const listener& l = {});
  std::string start(const run_config& config, const question& q, listener l, std::function<void(outcome)> done);
  subscription watch(const watch_filter& filter, listener l, const watch_bounds& bounds = {});
  std::vector<running_task> running() const;
  std::string resume(resume_request request, listener l, std::function<void(outcome)> done);
  void cancel(const std::string& task, const std::string& reason);
  std::string stop();
  proposed_changes changes(const std::string& task, std::string& error);
  std::string apply(const std::string& task, const apply_request& how = {});
  std::string undo(const std::string& task);
  std::string read_file(const std::string& task, const std::string& label, const std::string& path, std::string& error);
  event_store& store(); ///< only if `error()` is empty

private:
  std::string error_;
  std::shared_ptr<outside> outside_;
  std::shared_ptr<event_store> store_;
  std::shared_ptr<event_hub> hub_;
  std::unique_ptr<engine_core> core_;
  std::shared_ptr<cancel_ear> ear_;
};

} // namespace conclave
