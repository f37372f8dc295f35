// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Commands of one agent run, confined by the kernel. The work is done by a launcher, a program of its own
/// (transports/sandbox_launcher), which is a child like any other: it is started with the first command, and again if it died.
///
/// Thread rule: any thread may call, and nothing blocks. Callbacks come on the thread of the children, each exactly once, also
/// after close(); they must only post a message.

#include "transports/outside.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

/// How strong the walls are. The numbers are those of the lines to the launcher.
enum class sandbox_tier : int {
  off = 0,       ///< none; what a command starts is ended with it, that is all
  landlock = 1,  ///< Landlock and a system call filter: no sockets; names outside stay visible
  namespaces = 2 ///< a file view, processes and a network of its own
};

std::string to_string(sandbox_tier t);

struct sandbox_limits {
  std::int64_t processes = 256;
  std::int64_t memory = std::int64_t{4} << 30;    ///< bytes that are resident, of all commands of the run together
  std::int64_t file_size = std::int64_t{2} << 30; ///< bytes
  std::int64_t open_files = 1024;                 ///< of one process
  std::int64_t output = 1 << 20; ///< bytes kept of each stream of a command, a fourth of it for one in the background: 3/4 from
                                 ///< its beginning, 1/4 from its end
};

/// What is granted. Paths are absolute and canonical; one that is granted and is not there is an error. Of two that concern the
/// same place the deeper one holds. At tier 0 paths mean nothing.
struct sandbox_profile {
  sandbox_tier tier = sandbox_tier::namespaces;
  std::vector<std::string> readable;        ///< folders and files; to be executed, too
  std::vector<std::string> writable;        ///< folders and files
  std::vector<std::string> shared;          ///< of those what others write in, too: no socket there is connected to
  std::vector<std::string> protected_paths; ///< within those: readable alone. One that is not there cannot be protected
  std::vector<std::string> hidden;          ///< within those: neither
  std::string home;                         ///< a writable folder; empty = none. HOME in `env` is not set by it
  std::string tmp;                          ///< a writable folder, seen as /tmp at tier 2; empty = a tmpfs there, none at tier 1
  bool network = false;                     ///< that of the machine; else none at all. At tier 1 commands have none ever
  bool server = false;                      ///< of a tool server, which at tier 1 can be given sockets of the internet
  std::map<std::string, std::string> env;   ///< the whole environment of the commands
  sandbox_limits limits;
};

/// What TMPDIR says within it.
inline std::string temporary_folder(const sandbox_profile& p) {
  return p.tier == sandbox_tier::landlock && p.tmp.empty() ? p.home : "/tmp";
}

struct sandbox_command {
  std::string command;                    ///< for /bin/sh -c, at most 100 KiB
  std::string work_dir;                   ///< absolute
  std::int64_t timeout_ms = 60'000;       ///< of one in the background: 0 = until it is killed
  bool background = false;                ///< its output is asked for by read_output()
  std::map<std::string, std::string> env; ///< over the profile's
};

/// What a stream brought, as UTF-8 (what is none is replaced). Where something was left out a line in it says so.
struct stream_text {
  std::string text;
  std::int64_t left_out = 0; ///< bytes
};

struct command_end {
  enum class reason {
    exited,             ///< its shell ended; `status` is the exit code, or 128 + signal
    timed_out,          ///< and so was ended, as in all that follow but the last
    killed,             ///< by kill() or close()
    out_of_memory,      ///<
    too_many_processes, ///<
    too_much_disk,      ///< in files that have no name any more
    failed              ///< it was not started, or the sandbox broke down; `error` says why
  };
  reason why = reason::failed;
  int status = -1;
  std::int64_t ms = 0;
  stream_text out, err; ///< of one in the background: since the last read_output()
  std::string error;
};

/// What a command in the background wrote since the last time.
struct command_news {
  bool running = false; ///< else it has ended, or there is none of this id
  stream_text out, err;
};

/// A line of how commands are confined ("memory" -> "cgroup"), as the launcher told.
using sandbox_traits = std::map<std::string, std::string>;

class sandbox {
public:
  /// Starts nothing yet. `launcher` is the path of conclave-sandbox (find_sandbox_launcher).
  static std::shared_ptr<sandbox> open(std::shared_ptr<outside> world, sandbox_profile profile, std::string launcher);

  virtual ~sandbox() = default; ///< same as close()

  /// Runs a command; returns its id. `ended` comes when nothing of it is left.
  virtual std::uint64_t run(sandbox_command command, std::function<void(command_end)> ended) = 0;

  /// Ends a command and all that it started; its `ended` tells. Nothing if it has ended.
  virtual void kill(std::uint64_t id) = 0;

  virtual void read_output(std::uint64_t id, std::function<void(command_news)> news) = 0;

  /// Ends everything. Commands after that fail.
  virtual void close() = 0;

  /// What the launcher told about itself; empty before the first command.
  virtual sandbox_traits traits() const = 0;
};

/// Returns the path of conclave-sandbox: beside the program that runs, one folder above it (a build tree), or where it was
/// installed. Empty if it is in none of these.
std::string find_sandbox_launcher();

/// One sentence for where there is none: where it was looked for.
std::string no_sandbox_launcher();

/// Returns the profile as the launcher gets it; empty with one sentence in `error`. `cwd` and `command` are for servers
/// (transports/server_walls.hpp), else empty.
std::string sandbox_profile_line(const sandbox_profile& p, const std::string& cwd, const std::string& command, std::string& error);

} // namespace conclave
