// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an engine that plays on one thread, turn by turn, and whoever records it or plays it again know of each other. A turn is
/// one input, then everything that follows from it, at one time. So the inputs, in order and with their times, are the run.

#include "protocols/opening.hpp"
#include "protocols/secrets.hpp"
#include "transports/outside.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace conclave {

class turn_thread {
public:
  virtual ~turn_thread() = default;

  /// Queues an input: it is run on the thread, as a turn. Dropped once the thread has ended. Any thread.
  virtual void post(std::function<void()> input) = 0;

  virtual bool here() const = 0; ///< whether this is the thread. Any thread.

  /// Time since the start of the run; the same throughout a turn. On the thread.
  virtual std::chrono::nanoseconds elapsed() const = 0;
};

/// Where the inputs of a run that is played again come from. All members on the turn thread.
class turn_source {
public:
  virtual ~turn_source() = default;
  virtual std::optional<std::chrono::nanoseconds> due() = 0; ///< when the next one came; nothing = the run is over, or given up
  virtual void take() = 0;                                   ///< lets it in
};

/// What a tape may use of the engine it belongs to.
struct tape_links {
  std::shared_ptr<turn_thread> turns;
  std::function<const std::string*(const std::string& name)> env; ///< the engine's variables
  std::function<void(const std::string& reason)> end_task;        ///< on the turn thread
};

/// What an engine tells, and asks, whoever records its run or plays it again. All members on the turn thread. Outside of `begin` to
/// `finish` nothing is recorded, and nothing comes from the tape.
class run_tape {
public:
  virtual ~run_tape() = default;

  virtual void attach(tape_links to) = 0; ///< before anything else

  virtual const std::string* variable(const std::string& name) = 0;
  virtual std::string source(const std::string& name, std::string real) = 0; ///< where a variable comes from
  virtual secrets known(secrets real) = 0;                                   ///< what results of tools must not show
  virtual std::string log_folder(std::string real) = 0;
  virtual std::string build(std::string real) = 0;
  virtual std::string folder(std::string real) = 0; ///< in which the task was started

  virtual void start() = 0; ///< time begins

  /// The task begins. Returns why it cannot, or empty.
  virtual std::string begin(const std::string& task, const opening& o, const std::string& question) = 0;

  /// The host wants to end it; `act` does.
  virtual void cancel(const std::string& reason, const std::function<void()>& act) = 0;

  /// The task has ended, with this log. Returns what is to be told to the host, or empty.
  virtual std::string finish(const std::vector<std::string>& log) = 0;
};

/// Returns the `nth` seed of an owner in a run with this seed, from 1 on.
std::uint32_t derived_seed(std::uint64_t of_run, const std::string& owner, std::uint64_t nth);

} // namespace conclave
