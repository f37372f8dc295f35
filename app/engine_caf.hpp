// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The engine for hosts that bring their own actor_system.
///
///   struct config : caf::actor_system_config { config() { conclave::init(*this); } };
///   caf::actor_system sys{cfg};
///   conclave::hosted_engine eng{sys, run_config};
///   auto out = eng.ask({"...", {}});
///
/// The engine's actors live in `sys`; destroy the engine before the system.

#include "app/engine.hpp"

#include <caf/fwd.hpp>

#include <memory>

namespace conclave {

class engine_core;

/// Registers the message types of Conclave with a host's configuration. Call it once, before the system is made.
void init(caf::actor_system_config& config);

class hosted_engine {
public:
  hosted_engine(caf::actor_system& sys, run_config config, engine_options options = {});
  ~hosted_engine();
  hosted_engine(const hosted_engine&) = delete;
  hosted_engine& operator=(const hosted_engine&) = delete;

  const std::string& error() const;
  outcome ask(const question& q, const listener& l = {}); ///< blocks; not from an actor of `sys` that is not detached
  std::string start(const question& q, listener l, std::function<void(outcome)> done);
  void cancel(const std::string& task, const std::string& reason);

private:
  run_config config_;
  std::string error_;
  std::unique_ptr<engine_core> core_;
};

} // namespace conclave
