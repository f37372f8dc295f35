// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// conclave-sandbox: what confines the commands of one agent run. A program of its own, static, with one thread; it speaks
/// transports/sandbox_lines.hpp over its standard input and output and ends with the engine, and all it started with it.
///
///   launcher        (host's namespaces, no untrusted code)
///     holder        tier 2: first process of the run's namespaces, keeps their network and file view while commands come and go
///       warden      one per command; tier 2: first process of a pid namespace. Ends when the command's shell does, and then
///         shell     nothing that the command started is left
///     warden        tiers 1 and 0: a child of the launcher and a subreaper, which takes down what is left by hand
///     looker        sees how much memory and disk commands hold, which can take long
///     sweeper       removes the cgroups once everything has ended, also when the launcher was killed

#include "transports/sandbox_lines.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave::launcher {

struct profile {
  int tier = 2;
  bool network = false;
  std::string home, tmp; ///< seen as /tmp at tier 2; empty = a small tmpfs
  std::vector<std::string> readable, writable, shared, protected_paths, hidden, env;
  std::string filter; ///< struct sock_filter[]
  std::int64_t processes = 256, memory = std::int64_t{4} << 30, file_size = std::int64_t{2} << 30, open_files = 1024;
  std::int64_t output = 1 << 20; ///< bytes kept of each stream
};

/// Returns why the line describes none; empty if it does.
std::string read_profile(const sandbox_line& line, profile& out);

/// One command, as its warden gets it.
struct order {
  std::string cwd, command;
  std::vector<std::string> env; ///< over the profile's
  std::int64_t cpu_s = 0;
  int out = -1, err = -1, status = -1, life = -1; ///< life: one byte = begin, its end = end everything
  int in = -1;                                    ///< -1 = /dev/null
  std::vector<int> groups; ///< where a warden enters the control groups of the run, two at most: see cgroup::entries
};

/// What a warden writes to its status pipe, once.
struct last_word {
  char what = 0;  ///< 's' = the shell ended, 'e' = it could not be started
  int status = 0; ///< exit code, or 128 + signal
  char text[240]{};
};

[[noreturn]] void run_warden(const profile& p, const order& o);

/// Begins to make the run's namespaces. Returns the socket of the holder, or -1 with the reason in `why`.
int start_holder(const profile& p, std::string& why);

/// Waits until they are made. Returns why they cannot be, or empty.
std::string await_holder(int holder);

/// Asks for a warden, which is started once the namespaces are made. False if the holder does not listen.
bool send_order(int holder, const order& o);

/// The answer: the pidfd of the warden, -1 if there is none.
int receive_warden(int holder);

// -- steps of the two above; each returns an empty text, or what failed and what the system said --

std::string build_view(const profile& p);
std::string mount_proc(const profile& p); ///< for a new pid namespace
void drop_bounds();                       ///< no capability for what runs a program from now on
/// Those there are, and no_new_privs. `but_look`: that to look at what runs below stays, also where a system allows it to nobody
/// else.
std::string drop_rights(bool but_look = false);
std::string set_limits(const profile& p, const order& o);
std::string set_filter(const std::string& filter, int& listener); ///< with a descriptor for its notifications
std::string set_landlock(const profile& p);                       ///< tier 1

/// No signal and no abstract socket beyond this process and its descendants, as far as the kernel can; `scoped`: whether it can.
std::string scope_signals(bool& scoped);

/// Tier 2: the same, and what is hidden where nothing may be written cannot be read, whatever becomes of the mount that covers it;
/// there a file that is new is read by the commands behind it. And no FIFO is written to there, which no mount forbids.
std::string scope_and_hide(const profile& p);
constexpr const char* cover = "/.empty"; ///< what a hidden file is at tier 2

int landlock_abi();

class connections;

/// Performs, if it is within a writable folder, what the filter handed to us (chmod, times), or a connect(). One notification.
void answer_notification(int listener, const profile& p, connections& c);

/// Ends every descendant of this process, which is a subreaper. `but` are spared, with what descends from them.
void end_descendants(const std::vector<int>& but = {});

} // namespace conclave::launcher
