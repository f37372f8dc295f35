// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The process around the command line: standard descriptors, signals, limits. Used by the executable only; an embedding host keeps
/// its own.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace conclave {

/// Opens /dev/null on standard descriptors that are closed (else a socket or the store would get number 1 and be written to),
/// ignores SIGPIPE and SIGXFSZ, raises the soft limit of open files, and turns core dumps off.
void prepare_process();

bool is_terminal(int fd);

/// Returns the columns of the terminal behind `fd`: COLUMNS if it is set and a number, else what the terminal says, else 80;
/// `otherwise` if it is no terminal.
std::size_t terminal_width(int fd, std::size_t otherwise);

/// Returns whether colour is wanted on `fd`: a terminal, TERM is not "dumb", and NO_COLOR is unset or empty (no-color.org).
bool wants_colour(int fd);

/// Writes everything, also to a pipe in non-blocking mode. Returns 0 or errno.
int write_all(int fd, std::string_view bytes);

/// Reads a descriptor to its end. Returns false with one sentence in `error`, about `name`, if there is more than `limit` bytes or
/// reading fails. `on_wait` is called once, when nothing has come for two seconds.
bool read_all(int fd, std::size_t limit, std::string& out, std::string& error, const char* name = "standard input",
              const std::function<void()>& on_wait = {});

/// Waits until a descriptor has bytes, is at its end or has failed, so that a read does not wait. Returns 1 then, 0 if `ms` went
/// by.
int wait_readable(int fd, int ms);

/// Blocks SIGINT, SIGTERM and SIGHUP (this one only if it is not ignored already: nohup) in the calling thread. Call before threads
/// start.
void block_signals();

enum class asked { answered, at_end, interrupted };

/// Reads a line of standard input without its LF, while the signals are blocked and nobody else takes them: one of them, also one
/// that came before, is `interrupted`. What was read of a line is lost then.
asked read_line(std::string& line);

/// Takes the blocked signals on a thread of its own. The first goes to `on_signal`, the second ends the process with code 4 at
/// once.
class signal_watch {
public:
  /// `on_signal` runs on the watching thread with the signal's name. While it is unset (see `arm`), the first signal ends the
  /// process with code 4 and a line on standard error.
  signal_watch();
  ~signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

  /// Sets what the first signal does; nullptr: it ends the process again. What `on_signal` uses must outlive this object.
  void arm(std::function<void(const char* name)> on_signal);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace conclave
