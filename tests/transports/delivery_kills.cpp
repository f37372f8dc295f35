// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.delivery_kills

#include "caf/test/unit_test.hpp"
#include "support/delivery_fixture.hpp"
#include "transports/delivery.hpp"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <vector>

using namespace conclave;
using namespace conclave::delivery;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

/// Lets the tracer stop this process at each call that changes something on a disk.
bool stop_at_changes() {
  static constexpr long changing[] = {SYS_openat,    SYS_renameat2, SYS_renameat,       SYS_unlinkat, SYS_mkdirat,
                                      SYS_symlinkat, SYS_write,     SYS_fchmod,         SYS_fsync,    SYS_syncfs,
                                      SYS_linkat,    SYS_ftruncate, SYS_copy_file_range};
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (auto call : changing) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0
         && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// Runs `what` in a child that is killed before its `last`-th change of the disk. Returns how many it came to, -1 if that cannot be
/// done here.
template <class F>
long changes_until_end(F what, long last = -1) {
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
  for (long count = 0;; ++count) {
    if (count == last)
      ::kill(child, SIGKILL);
    ::ptrace(PTRACE_CONT, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) || WIFSIGNALED(status))
      return count;
  }
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(delivery_kills, delivery_fixture)

CAF_TEST(a killed apply is the old tree or the new) {
  for (int i = 0; i < 1000; ++i)
    write("d" + std::to_string(i % 13) + "/f" + std::to_string(i), "base " + std::to_string(i));
  start();
  auto old = id_of(user);
  for (int i = 0; i < 1000; ++i) {
    auto path = "d" + std::to_string(i % 13) + "/f" + std::to_string(i);
    if (i % 5 == 4)
      fs::remove(work + "/" + path);
    else
      write(i % 5 == 3 ? path + ".new" : path, "changed " + std::to_string(i));
  }
  fs::remove_all(work + "/d3");
  write("d3", "a file now");
  auto j = plan();
  auto next = id_of(work);
  int kills = std::getenv("CONCLAVE_LONG") != nullptr ? 100 : 20, completed = 0, taken_back = 0, ended_alone = 0;
  std::mt19937 chance{7};
  auto applies = [&] { apply(j); };
  auto whole = changes_until_end(applies);
  if (whole < 0) {
    std::puts("skipped: the kernel lets nobody trace a child here");
    CAF_CHECK(true);
    return;
  }
  for (auto& p : history(journal))
    good(undo(journal, p.id));
  for (int i = 0; i < kills; ++i) {
    std::string id;
    auto undoing = i % 4 == 3;
    if (undoing)
      id = good(apply(j)).id;
    auto moment = static_cast<long>(chance() % static_cast<unsigned>(whole));
    auto count = undoing ? changes_until_end([&] { undo(journal, id); }, moment) : changes_until_end(applies, moment);
    ended_alone += count < moment;
    auto ended = good(recover(journal));
    for (auto& e : ended)
      ++(e.completed ? completed : taken_back);
    CAF_CHECK(no_rests());
    auto now = id_of(user);
    CAF_CHECK(now == old || now == next);
    if (now == next)
      for (auto& p : history(journal))
        if (!p.undone())
          good(undo(journal, p.id));
    CAF_CHECK_EQUAL(id_of(user), old);
    CAF_CHECK_EQUAL(good(recover(journal)).size(), 0u);
    CAF_CHECK_EQUAL(remove_tree(journal), "");
  }
  std::printf("killed %d times within %ld changes: completed %d, taken back %d, had ended %d\n", kills, whole, completed,
              taken_back, ended_alone);
  CAF_CHECK_GREATER(completed, 0);
  CAF_CHECK_GREATER(taken_back, 0);
}

CAF_TEST(a full disk leaves the old tree) {
  auto disk = place("disk");
  fs::create_directory(disk);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=2m,nr_inodes=600") != 0) {
    std::puts("skipped: a small disk needs root");
    CAF_CHECK(true);
    return;
  }
  for (int i = 0; i < 20; ++i)
    write("f" + std::to_string(i), std::string(5000, 'a'));
  user = disk + "/user";
  journal = disk + "/journal";
  base = take().id;
  good(kept.restore(base, user, nullptr, 0));
  auto old = id_of(user);
  for (int i = 0; i < 20; ++i)
    write("f" + std::to_string(i), std::string(9000, 'b'));
  write("new/x", "new");
  auto next = id_of(work);
  auto j = plan();
  int full = 0;
  for (int left = 0; left < 140; left += 4) {
    struct statvfs st {};
    ::statvfs(disk.c_str(), &st);
    auto pages = std::max(static_cast<long long>(st.f_bavail) - left, 0LL);
    std::ofstream{disk + "/fill", std::ios::binary} << std::string(static_cast<std::size_t>(pages) * st.f_frsize, 'x');
    auto got = apply(j);
    auto* bad = std::get_if<failure>(&got);
    if (bad != nullptr) {
      CAF_CHECK_EQUAL(bad->kind, fault::disk_full);
      ++full;
    }
    auto now = id_of(user);
    CAF_CHECK_EQUAL(now, bad != nullptr ? old : next);
    CAF_CHECK(no_rests());
    fs::remove(disk + "/fill");
    if (bad == nullptr)
      good(undo(journal, std::get<applied>(got).id));
    CAF_CHECK_EQUAL(id_of(user), old);
    CAF_CHECK_EQUAL(good(recover(journal)).size(), 0u);
    CAF_CHECK_EQUAL(remove_tree(journal), "");
  }
  CAF_CHECK_GREATER(full, 5);
  ::umount2(disk.c_str(), MNT_DETACH);
}

CAF_TEST_FIXTURE_SCOPE_END()
