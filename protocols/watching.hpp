// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Following tasks from outside: what a reader gets, how much may wait for it, and what is known of the tasks under way.

#include "protocols/chat.hpp"
#include "protocols/coordination.hpp"
#include "protocols/outcome.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace conclave {

/// Callbacks of one reader; all optional. They run on a thread of the reader's own, one at a time, and may block: nobody waits.
struct listener {
  std::function<void(const event&)> on_event;       ///< durable events, of each task in order and once; `event.task` says which
  std::function<void(const chunk_batch&)> on_chunk; ///< for eyes only: a slow reader gets less, with a word on what is missing

  /// Of whoever starts a task, or goes on with it: asked when it is answered and its answer changes folders of the user's
  /// (`end.changes`), after its last event and before `done`. `text` has a line for each path (A, M, D; names escaped). All is
  /// written if it returns true within `approve_within`, else nothing; not so where a file was changed meanwhile. That it was late,
  /// threw, or that it said yes and not all could be written, is a warning of the outcome that begins with "changes: ". What was
  /// written is in the log of the task (`changes_applied`), which `on_event` is told before `done`. On a thread of its own; one
  /// that is late, or whose task is cancelled meanwhile, is left alone, so what it uses must live until it returns.
  std::function<bool(const outcome& end, const std::string& text)> approve = {};
  std::chrono::milliseconds approve_within{60'000};
};

/// Which tasks, and from where on.
struct watch_filter {
  std::string task;        ///< empty = every task of this engine
  std::uint64_t after = 0; ///< of a named task: events with a higher seq only
};

/// How much waits for one reader. Events beyond it are read from the store again once the reader has caught up, so none is lost.
struct watch_bounds {
  std::size_t events = 256;
  std::size_t event_bytes = std::size_t{384} << 10; ///< one event more may be larger
  std::size_t run_bytes = std::size_t{64} << 10;    ///< text of one run; the oldest is dropped
  std::size_t chunk_bytes = std::size_t{256} << 10; ///< text of all runs
  /// Text that flows waits so long: what comes meanwhile costs no wake-up. 0 = each piece at once. The shortest pace of all readers
  /// holds for the reading of streams, too: text that is read just after its reader was woken for other text waits twice. As it
  /// stands: a frame of a usual screen.
  std::chrono::milliseconds pace{15};
};

/// A task under way.
struct running_task {
  std::string task;
  std::string question;
  std::uint64_t seq = 0; ///< of its last durable event
};

} // namespace conclave
