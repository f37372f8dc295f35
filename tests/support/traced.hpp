// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Processes that are stopped, or killed, at a change of the disk.

#include <csignal>
#include <cstddef>
#include <functional>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace conclave::test {

/// Lets the tracer stop this process at each call that changes something on a disk.
inline bool stop_at_changes() {
  static constexpr long changing[] = {SYS_openat,    SYS_renameat2, SYS_renameat,       SYS_unlinkat, SYS_mkdirat,
                                      SYS_symlinkat, SYS_write,     SYS_fchmod,         SYS_fsync,    SYS_syncfs,
                                      SYS_linkat,    SYS_ftruncate, SYS_copy_file_range};
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (auto call : changing) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | static_cast<unsigned>(call)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0
         && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// Runs `what` in a child that is stopped before its `last`-th change of the disk (of those that are that system call, if `call` is
/// given): `then` is called, and it goes on, or is killed if there is no `then`. Returns how many it came to, -1 if that cannot be
/// done here.
template <class F>
long changes_until_end(F what, long last = -1, long call = -1, const std::function<void()>& then = {}) {
  auto child = ::fork();
  if (child == 0) {
    if (!stop_at_changes())
      ::_exit(1);
    ::raise(SIGSTOP);
    what();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSTOPPED(status))
    return -1;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
  for (long count = 0;;) {
    if (count == last && then)
      then();
    else if (count == last)
      ::kill(child, SIGKILL);
    last = count == last && then ? -1 : last;
    ::ptrace(PTRACE_CONT, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) || WIFSIGNALED(status))
      return count;
    unsigned long which = 0;
    count += call < 0 || (::ptrace(PTRACE_GETEVENTMSG, child, nullptr, &which) == 0 && static_cast<long>(which) == call);
  }
}

} // namespace conclave::test
