// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The one way to everything that an engine cannot work out for itself: the time, chance, the network, other programs, the disk,
/// and code that is not ours and may block.
///
/// Why one: whoever stands here sees every question the engine asks and every answer it gets, and nothing reaches the engine any
/// other way. So a test can play the world and let a seed decide it, a crash can be simulated by cutting it, and a run can be
/// recorded and played again with the same result. Therefore clocks, random devices and threads are named nowhere else
/// (.ci/check_tree.py lists the files that make the real outside and may), and protocols/ gets values: a time is a parameter there.
///
/// What comes in comes as a value or through a callback: of a transfer, a child, a store, a local model, or `done` of a job. An
/// implementation that wants a say in the order of arrival wraps those callbacks. Timers are no part of it: an actor's timers and
/// its monotonic clock are those of its actor system, `self->clock()`, and whoever brings another outside brings a system whose
/// clock agrees with it.
///
/// Carried as a shared_ptr by the parts of whoever needs it. Thread rule: any thread may call; where callbacks run is said there.

#include "transports/child_process.hpp"
#include "transports/event_store.hpp"
#include "transports/http_transfers.hpp"
#include "transports/local_model.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace conclave {

struct ca_choice;

/// The random numbers of one owner. One thread at a time.
using random_stream = std::minstd_rand;

/// What a job of a lane came to.
struct job_result {
  std::string text;    ///< what it returned, or what its exception says, if it says anything
  bool failed = false; ///< it threw
};

/// A thread of its own for code that is not ours and may block: a native tool, a host's callback. Jobs run one after another, in
/// order. The thread is started by the first; a job that never returns holds up nobody but those behind it.
class lane {
public:
  using job = std::function<std::string()>;
  using done = std::function<void(job_result)>;

  /// Drops what waits. A job under way is left alone; its `done` is not called any more. Waits for a `done` that is being called,
  /// so never from within one.
  virtual ~lane() = default;

  /// Queues a job. With `then`, which is called with its result (on the lane's thread) and must not block, the job is a question to
  /// the outside: a recorded run is played with the recorded result and without the job. Without it the outside is only told
  /// something. Returns false if the system gives no thread; nothing is called then.
  virtual bool run(job what, done then = {}) = 0;
};

/// Lanes that share a bounded number of threads.
class lane_group {
public:
  virtual ~lane_group() = default; ///< as `close`, but it waits for nothing

  /// A lane of it. Costs no thread; one is started for a job that finds none free, up to the bound. It may outlive the group.
  virtual std::unique_ptr<lane> open_lane(const std::string& owner) = 0;

  /// Takes no job any more, drops what waits, and waits for what is under way, so long at most. Returns the owners of the jobs that
  /// it did not wait for: they are left alone, as those of a lane. Not from within a job.
  virtual std::vector<std::string> close(std::chrono::milliseconds limit) = 0;
};

/// A thread beside the engine, whose doings no recorded run depends on: display, log files, signals, joining a node.
class host_thread {
public:
  virtual ~host_thread() = default; ///< leaves the thread to itself, unless it was joined
  virtual void join() = 0;          ///< waits for its end; once, not from within
};

class outside {
public:
  virtual ~outside() = default;
  outside() = default;
  outside(const outside&) = delete;
  outside& operator=(const outside&) = delete;

  /// This machine. The same object each time; it is never destroyed.
  static const std::shared_ptr<outside>& of_machine();

  // -- time --

  /// Unix time in ms; may jump.
  virtual std::int64_t now_unix_ms() = 0;

  /// Time since some moment; never goes back. For code that is no actor.
  virtual std::chrono::nanoseconds now_steady() = 0;

  /// What local time is ahead of UTC, in s, at this Unix time.
  virtual std::int32_t utc_offset_s(std::int64_t unix_ms) = 0;

  // -- chance --

  /// The seed of an owner's random numbers. An owner is named by what it is and whose ("orchestrator 20261126-050432-1f2e3d"),
  /// never by an address or by when it came; one that asks again gets its next seed. So what one draws depends on no other.
  virtual std::uint32_t seed(const std::string& owner) = 0;

  random_stream random(const std::string& owner) { return random_stream{seed(owner)}; }

  /// Returns a new task id: sortable by time, unique across processes.
  std::string new_task_id();

  // -- the network --

  /// HTTP with connections and a thread of its own. Null and `error` never: what is missing shows in on_done.
  /// `readers` of streams, or null: every byte is handed on as it comes.
  virtual std::shared_ptr<http_transfers> open_http(std::shared_ptr<text_readers> readers) = 0;

  // -- other programs --

  /// As child_process::start. MCP channels take their servers from here (transports/mcp_channel.hpp).
  virtual std::shared_ptr<child_process> start_child(child_options options, child_process::callbacks cb) = 0;

  /// As local_model::acquire. One question, though files, a child and timers are behind it: what it comes to is an address.
  /// `http` is what open_http of this outside gave.
  virtual std::shared_ptr<local_model> acquire_local_model(local_model_options options, std::shared_ptr<http_transfers> http,
                                                           local_model::callbacks cb) = 0;

  // -- the disk --

  /// As event_store::open.
  virtual std::unique_ptr<event_store> open_store(const std::string& path, std::string& error, store_use use) = 0;

  /// As conclave::load_trust (transports/http_client_trust.hpp), which is what this does unless it is another's.
  virtual std::shared_ptr<const tls_trust> load_trust(const ca_choice& choice, std::string& error);

  // -- code that is not ours --

  /// A lane for `owner` ("tool look"). Costs no thread before its first job.
  virtual std::unique_ptr<lane> open_lane(const std::string& owner) = 0;

  /// Lanes of `owner` ("disk") on so many threads at most, together; an outside without threads gives them as `open_lane`
  /// does. Not longer than this outside.
  virtual std::shared_ptr<lane_group> open_lanes(const std::string& owner, std::size_t threads);

  /// Runs `body` on a thread with this name. Null if the system gives none. Signals come to it as to its starter.
  virtual std::unique_ptr<host_thread> start_thread(const std::string& name, std::function<void()> body) = 0;
};

} // namespace conclave
