// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A child in its own process group, with line callbacks and a bounded teardown. All children are forked from one transport thread
/// that outlives them (PR_SET_PDEATHSIG fires when the forking *thread* ends), and check getppid() after the fork.
///
/// Thread rule: any thread may call; callbacks run on the reactor thread and must only post a message. on_exit exactly once, also
/// when the program could not be started (then `started` is false); never waits for end of file (a grandchild may hold the pipe).
/// What is left of its group is taken through the teardown ladder: when the child has ended by itself, after on_exit; after
/// close(), on_exit comes when the group is empty. Destroying or closing the handle does not suppress callbacks. A kill -9 of this
/// process ends the children at once; what else is in their groups is taken through the teardown ladder.

#include "transports/child_command.hpp"
#include "transports/child_log_lane.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

struct child_options : child_command {
  std::string stderr_path;          ///< appended, size-capped (1 MiB); empty = kept nowhere but in last_words()
  child_log::cleaner clean_log{};   ///< takes secrets out of what is written there; called on the thread that writes logs
  std::size_t max_line = 16u << 20; ///< a longer line ends the child with an error
  std::size_t max_waiting = 0;      ///< weight (child_flow::weight) of lines that were handed on and not given back by
                                    ///< consumed(), beyond which its stdout is read no further; 0 = no bound
};

struct child_exit {
  bool started = false;
  int status = 0;    ///< exit code, or 128 + signal
  std::string error; ///< why it did not start or was ended; empty = ended by itself
};

class child_process {
public:
  struct callbacks {
    std::function<void(std::vector<std::string>)> on_lines; ///< of stdout, without LF, one call per read; a last one needs no LF
    std::function<void(child_exit)> on_exit;
    std::function<void()> on_silence = nullptr; ///< it closed its stdout and goes on; at most once, before on_exit
    std::function<void()> on_deaf = nullptr;    ///< it closed its stdin, with something unread, and goes on; as on_silence
  };

  /// Starts the child; returns at once. Null if there is no thread for it; on_exit has been called then.
  static std::shared_ptr<child_process> start(child_options options, callbacks cb);

  virtual ~child_process() = default; ///< same as close()

  /// Queues bytes for stdin. Returns false if the child's stdin is closed or more than 32 MiB are queued.
  virtual bool write(std::string bytes) = 0;

  /// Teardown ladder: close stdin, 2 s, SIGTERM to the group, 2 s, SIGKILL to the group. Returns at once.
  virtual void close() = 0;

  /// SIGKILL to the group, now.
  virtual void kill() = 0;

  virtual int pid() const = 0; ///< 0 = not running

  static constexpr std::size_t max_last_words = 4096;

  /// Returns the end of what it wrote to stderr so far: at most `max_last_words` bytes as they came. Complete once on_exit was
  /// called.
  virtual std::string last_words() const = 0;

  /// Adds a line of ours to the file its stderr goes to, within its cap; lost if there is none, or once the child has ended.
  virtual void log(std::string line) = 0;

  /// Gives back the weight of lines that have been dealt with.
  virtual void consumed(std::size_t weight) = 0;

  /// For the end of the process: closes all children, starts no more, waits until they have ended (5 s at most) and kills who is
  /// left. The first start() registers it with atexit; call it before an _exit. Any thread but the reactor's.
  static void end_all();
};

} // namespace conclave
