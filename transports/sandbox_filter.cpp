// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_filter.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <map>
#include <memory>
#include <mutex>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace conclave {

namespace {

constexpr std::uint32_t tioclinux = 0x541C, tiocsti = 0x5412;
constexpr unsigned first_unknown = 470;

class builder {
public:
  builder() : context_(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release) {
    // Programs of other instruction sets (32 bit) have other numbers for everything: they get nothing.
    if (context_)
      ::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    // A tree by number, no list: the kernel asks a new filter once for each call there is, which takes as long as a fork otherwise.
    if (context_)
      ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  }

  /// A call that this machine's instruction set does not have is nothing to forbid.
  void add(std::uint32_t action, const char* call, std::vector<scmp_arg_cmp> when = {}) {
    auto number = ::seccomp_syscall_resolve_name(call);
    if (number == __NR_SCMP_ERROR || !context_)
      return;
    auto e = ::seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(when.size()), when.data());
    if (e != 0 && e != -EDOM && e != -EACCES && fault_.empty())
      fault_ = std::string("no rule can be made for ") + call;
  }

  void forbid(std::initializer_list<const char*> calls, int error = EPERM) {
    for (const auto* call : calls)
      add(SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error)), call);
  }

  /// A call by its number, for those younger than the library.
  void forbid_number(int number, int error) {
    if (context_)
      ::seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error)), number, 0, nullptr);
  }

  std::string bytes(std::string& error) {
    error = fault_;
    if (!context_)
      error = "libseccomp does not start";
    if (!error.empty())
      return {};
    auto fd = ::memfd_create("filter", MFD_CLOEXEC);
    std::string out;
    if (fd < 0 || ::seccomp_export_bpf(context_.get(), fd) != 0) {
      error = "the system call filter cannot be compiled";
    } else {
      out.resize(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)));
      if (::pread(fd, out.data(), out.size(), 0) != static_cast<ssize_t>(out.size()))
        out.clear(), error = "the system call filter cannot be read";
    }
    if (fd >= 0)
      ::close(fd);
    return out;
  }

private:
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  std::string fault_;
};

scmp_arg_cmp arg(unsigned n, scmp_compare how, std::uint64_t a, std::uint64_t b = 0) {
  return {n, how, a, b};
}

void forbid_namespaces(builder& b) {
  constexpr auto deny = SCMP_ACT_ERRNO(EPERM);
  for (std::uint64_t flag :
       {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME}) {
    b.add(deny, "unshare", {arg(0, SCMP_CMP_MASKED_EQ, flag, flag)});
    if (flag != CLONE_NEWTIME) // its bit belongs to the exit signal there
      b.add(deny, "clone", {arg(0, SCMP_CMP_MASKED_EQ, flag, flag)});
  }
  b.forbid({"clone3"}, ENOSYS); // its flags are in memory; programs fall back on clone
  b.forbid({"setns",         "mount",      "umount",  "umount2",           "pivot_root",        "chroot",
            "move_mount",    "open_tree",  "fsopen",  "fsconfig",          "fsmount",           "fspick",
            "mount_setattr", "swapon",     "swapoff", "open_by_handle_at", "name_to_handle_at", "fanotify_init",
            "quotactl",      "quotactl_fd"});
  b.forbid_number(467, ENOSYS); // open_tree_attr
}

void forbid_kernel(builder& b) {
  b.forbid({"ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "process_madvise",
            "kcmp",
            "pidfd_getfd",
            "bpf",
            "perf_event_open",
            "keyctl",
            "add_key",
            "request_key",
            "userfaultfd",
            "kexec_load",
            "kexec_file_load",
            "reboot",
            "init_module",
            "finit_module",
            "delete_module",
            "create_module",
            "iopl",
            "ioperm",
            "acct",
            "syslog",
            "settimeofday",
            "clock_settime",
            "clock_settime64",
            "clock_adjtime",
            "clock_adjtime64",
            "adjtimex",
            "stime",
            "sethostname",
            "setdomainname",
            "vhangup",
            "lookup_dcookie",
            "personality",
            "modify_ldt",
            "vm86",
            "vm86old",
            "nfsservctl",
            "move_pages",
            "migrate_pages",
            "set_mempolicy_home_node"});
  b.forbid({"io_uring_setup", "io_uring_enter", "io_uring_register"}, ENOSYS); // their calls pass by any filter
  constexpr auto deny = SCMP_ACT_ERRNO(EPERM);
  for (auto request : {tiocsti, tioclinux})
    b.add(deny, "ioctl", {arg(1, SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, request)});
  // A lease keeps the owner of a file from it, which needs no right to write either; the other tells of what happens in a folder.
  for (std::uint64_t request : {F_SETLEASE, F_NOTIFY})
    b.add(deny, "fcntl", {arg(1, SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, request)});
  // Another filter may hand calls to a process of the command's own: in tier 1 the youngest filter would win over ours.
  b.add(deny, "seccomp", {arg(0, SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, 1), arg(1, SCMP_CMP_MASKED_EQ, 8, 8)});
}

/// Sockets of other families than these, and of routes.
void forbid_families(builder& b, const char* call, bool with_unix) {
  constexpr auto deny = SCMP_ACT_ERRNO(EAFNOSUPPORT);
  for (std::uint64_t family = 0; family < AF_NETLINK; ++family)
    if ((family != AF_UNIX || !with_unix) && family != AF_INET && family != AF_INET6)
      b.add(deny, call, {arg(0, SCMP_CMP_EQ, family)});
  b.add(deny, call, {arg(0, SCMP_CMP_GT, AF_NETLINK)});
  b.add(deny, call, {arg(0, SCMP_CMP_EQ, AF_NETLINK), arg(2, SCMP_CMP_NE, 0)}); // other than routes
}

void forbid_sockets(builder& b, bool all, bool internet) {
  constexpr auto deny = SCMP_ACT_ERRNO(EAFNOSUPPORT), refuse = SCMP_ACT_ERRNO(EPERM);
  if (all) {
    // One that is addressed by a path reaches any service of this machine: Landlock does not see that.
    if (internet)
      forbid_families(b, "socket", false);
    else
      b.add(refuse, "socket");
    b.add(deny, "socketpair", {arg(0, SCMP_CMP_NE, AF_UNIX)});
    b.add(refuse, "socketpair", {arg(1, SCMP_CMP_MASKED_EQ, 0xF, SOCK_DGRAM)}); // which can be sent to an address, too
    b.add(refuse, "socketpair", {arg(1, SCMP_CMP_MASKED_EQ, 0xF, SOCK_RAW)});
    if (!internet)
      b.forbid({"connect", "bind"});
    b.forbid({"shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
              "mq_open", "mq_unlink"}); // the machine's: there is no namespace
    return;
  }
  for (const auto* call : {"socket", "socketpair"}) {
    forbid_families(b, call, true);
    for (std::uint64_t kind : {SOCK_DGRAM, SOCK_RAW}) // those can be sent to an address, which connect() alone is asked for
      b.add(SCMP_ACT_ERRNO(EACCES), call, {arg(0, SCMP_CMP_EQ, AF_UNIX), arg(1, SCMP_CMP_MASKED_EQ, 0xF, kind)});
  }
  b.add(SCMP_ACT_NOTIFY, "connect");
}

/// A program that gets the rights of its file's owner would have them outside of the sandbox, too, where a folder is the user's
/// own.
void forbid_setuid(builder& b, bool modes) {
  constexpr auto deny = SCMP_ACT_ERRNO(EPERM);
  constexpr std::uint64_t nameless = O_TMPFILE & ~O_DIRECTORY;
  for (std::uint64_t bit : {S_ISUID, S_ISGID}) {
    auto has = [bit](unsigned n) { return arg(n, SCMP_CMP_MASKED_EQ, bit, bit); };
    for (std::uint64_t makes : {std::uint64_t{O_CREAT}, nameless}) { // otherwise the mode means nothing
      b.add(deny, "open", {arg(1, SCMP_CMP_MASKED_EQ, makes, makes), has(2)});
      b.add(deny, "openat", {arg(2, SCMP_CMP_MASKED_EQ, makes, makes), has(3)});
    }
    b.add(deny, "creat", {has(1)});
    b.add(deny, "mknod", {has(1)});
    b.add(deny, "mknodat", {has(2)});
    if (!modes)
      continue;
    b.add(SCMP_ACT_NOTIFY, "chmod", {has(1)});
    b.add(SCMP_ACT_NOTIFY, "fchmod", {has(1)});
    b.add(SCMP_ACT_NOTIFY, "fchmodat", {has(2)});
  }
  b.forbid({"openat2"}, ENOSYS); // its mode is in memory; programs fall back on openat
  b.forbid_number(452, ENOSYS);  // fchmodat2, and on fchmodat
}

/// Limits, priorities and processors of others. Without a namespace these are all that the user runs; whom a number means is found
/// out by the launcher.
void watch_processes(builder& b) {
  auto other = [](unsigned n, std::uint64_t than) { return arg(n, SCMP_CMP_NE, than); };
  b.add(SCMP_ACT_NOTIFY, "prlimit64", {other(0, 0), other(2, 0)});
  for (const auto* call : {"sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"})
    b.add(SCMP_ACT_NOTIFY, call, {other(0, 0)});
  for (auto [call, process] : {std::pair{"setpriority", std::uint64_t{PRIO_PROCESS}}, {"ioprio_set", 1}}) {
    b.add(SCMP_ACT_NOTIFY, call, {other(0, process)});
    b.add(SCMP_ACT_NOTIFY, call, {other(1, 0)});
  }
}

void watch_files(builder& b, int landlock) {
  for (const auto* call :
       {"chmod", "fchmod", "fchmodat", "utimes", "futimesat", "utimensat", "chown", "fchown", "lchown", "fchownat"})
    b.add(SCMP_ACT_NOTIFY, call);
  b.forbid({"utime"}, ENOSYS);
  // Programs take this for a file system without attributes.
  b.forbid({"setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"}, EOPNOTSUPP);
  b.forbid({"getxattr", "lgetxattr", "listxattr", "llistxattr"}, EOPNOTSUPP); // by a path they tell of files that cannot be opened
  b.forbid({"inotify_add_watch"}, ENOSPC);                                    // so does this; programs look from time to time then
  // setxattrat, getxattrat, listxattrat, removexattrat, file_getattr, file_setattr
  for (auto number : {463, 464, 465, 466, 468, 469})
    b.forbid_number(number, ENOSYS);
  // Flags, versions, verity of a file: they need no right to write.
  for (std::uint64_t request : {0x40086602, 0x40046602, 0x401C5820, 0x40087602, 0x40047602, 0x40086604, 0x40806685})
    b.add(SCMP_ACT_ERRNO(EPERM), "ioctl", {arg(1, SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, request)});
  if (landlock < 3) {
    constexpr auto deny = SCMP_ACT_ERRNO(EPERM);
    b.forbid({"truncate", "truncate64"}, ENOSYS);
    constexpr std::uint64_t mask = O_TRUNC | O_ACCMODE;
    b.add(deny, "open", {arg(1, SCMP_CMP_MASKED_EQ, mask, O_TRUNC | O_RDONLY)});
    b.add(deny, "openat", {arg(2, SCMP_CMP_MASKED_EQ, mask, O_TRUNC | O_RDONLY)});
  }
}

/// What a newer kernel has, nobody here has looked at: it is not there. In front of all else, whatever the instruction set.
std::string without_unknown(const std::string& filter) {
  const sock_filter first[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                               BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first_unknown, 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS)};
  return std::string(reinterpret_cast<const char*>(first), sizeof first) + filter;
}

} // namespace

std::string sandbox_filter::compile(std::string& error) const {
  static std::mutex mutex;
  static std::map<std::tuple<bool, int, bool>, std::string> known; // there are few, and each start of a sandbox wants one
  std::lock_guard lock{mutex};
  const std::tuple which{namespaces, landlock, internet};
  if (auto at = known.find(which); at != known.end())
    return at->second;
  builder b;
  forbid_namespaces(b);
  forbid_kernel(b);
  forbid_sockets(b, !namespaces, internet);
  forbid_setuid(b, namespaces);
  if (!namespaces) {
    watch_files(b, landlock);
    watch_processes(b);
  }
  b.add(SCMP_ACT_NOTIFY, "setsid"); // so many at most: each has as much of the processors as all of another
  auto bytes = b.bytes(error);
  if (!bytes.empty())
    known.emplace(which, bytes = without_unknown(bytes));
  return bytes;
}

int landlock_version() {
  auto abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

} // namespace conclave
