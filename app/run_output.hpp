// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a run prints where: the display on standard error, the answer or the events on standard output, the answer in a file.
///
/// Thread rule: any thread, serialised inside.

#include "app/cli.hpp"
#include "app/display.hpp"
#include "app/paced_output.hpp"
#include "transports/outside.hpp"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

namespace conclave {

class run_output {
public:
  /// With `of_the_past`, the time is that of the last event: what is shown happened before.
  explicit run_output(const run_options& o, bool of_the_past = false);
  ~run_output();
  run_output(const run_output&) = delete;
  run_output& operator=(const run_output&) = delete;

  bool wants_chunks() const { return display_ != nullptr; }

  /// Says where the task of this id can be followed, if that was asked for.
  void begin(const std::string& task);

  /// Takes an event of before, of a task that is gone on with: it is known, not shown.
  void known(const event& e);

  /// Returns false, once, when standard output can take no more: the run is to be ended.
  bool on(const event& e);
  void on(const chunk_batch& b);

  /// One line of the host's own on standard error, also when quiet; nothing after `finish`.
  void note(const std::string& text);

  /// From now on nobody waits for a reader that takes nothing. Does not wait for anything itself.
  void leave() { leaving_ = true; }

  /// Prints the end: closing lines, answer, file. Returns the exit code.
  int finish(const outcome& o);

private:
  void run_clock();
  void stop_clock();
  void say(const std::string& text);
  void complain(const std::string& text);
  void report_end(const outcome& o);
  int deliver(const outcome& o);

  const run_options options_;
  std::atomic<bool> leaving_ = false;
  paced_output stderr_{2}; ///< all of standard error: its reader keeps neither answer nor log files waiting
  std::mutex mutex_;
  std::unique_ptr<display> display_;
  bool muted_ = false; ///< what the display says of known events
  std::size_t events_ = 0;
  bool finished_ = false;
  int stdout_error_ = 0; ///< errno of the first failed write
  std::int64_t first_ms_ = 0, last_ms_ = 0;
  std::condition_variable clock_changed_;
  bool clock_stops_ = false;
  std::unique_ptr<host_thread> clock_;
};

/// Returns the exit code of an outcome. `started`: at least one event was seen, so a bad_config is no matter of usage any more.
exit_code code_of_outcome(const outcome& o, bool started);

/// Of two who went on with one task at the same time, what the one who came second is told: that is no outcome of the task. Empty
/// for any other.
std::string taken_by_another(const outcome& o);

} // namespace conclave
