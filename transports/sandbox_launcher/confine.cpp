// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What a process gives up for good before it runs anything.

#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace conclave::launcher {

namespace {

/// Lowers a limit, never raises one.
bool limit(int what, rlim_t soft, rlim_t hard) {
  rlimit now{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(what), &now) != 0)
    return false;
  rlimit next{std::min(soft, now.rlim_max), std::min(hard, now.rlim_max)};
  return ::setrlimit(static_cast<__rlimit_resource_t>(what), &next) == 0;
}

/// How many threads there are. No less than the user of this process has, whom one may not always see, nor by the same number: in
/// a user namespace, or who lets nobody look.
rlim_t all_threads() {
  char text[128] = "";
  auto fd = ::open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  auto n = ::read(fd, static_cast<char*>(text), sizeof text - 1);
  ::close(fd);
  const auto* total = n > 0 ? std::strchr(static_cast<const char*>(text), '/') : nullptr;
  return total ? std::strtoul(total + 1, nullptr, 10) : 1000;
}

long install(const std::string& filter, unsigned flags) {
  sock_fprog program{static_cast<unsigned short>(filter.size() / sizeof(sock_filter)),
                     reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()))};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

} // namespace

void drop_bounds() {
  for (int cap = 0, there = 0; (there = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; ++cap) // until behind the last
    if (there == 1)
      ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); // fails for who has none
}

std::string drop_rights(bool but_look) {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct kept[2]{};
  if (but_look)
    kept[0].effective = kept[0].permitted = 1U << CAP_SYS_PTRACE; // of this user namespace
  if (::syscall(SYS_capset, &header, kept) != 0)
    return fault("cannot drop the capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fault("no_new_privs");
  return {};
}

std::string set_limits(const profile& p, const order& o) {
  auto cpu = static_cast<rlim_t>(o.cpu_s);
  bool ok = limit(RLIMIT_CORE, 0, 0) && limit(RLIMIT_FSIZE, static_cast<rlim_t>(p.file_size), static_cast<rlim_t>(p.file_size))
            && limit(RLIMIT_NOFILE, static_cast<rlim_t>(p.open_files), static_cast<rlim_t>(p.open_files))
            && (cpu == 0 || limit(RLIMIT_CPU, cpu, cpu + 1));
  // Where a look every 100 ms is all that counts processes, a fork bomb would be thousands by then. It does not bind root, but who
  // is root in a user namespace alone.
  if (p.tier == 1) {
    auto most = all_threads() + static_cast<rlim_t>(p.processes) + 64; // others of the user may start some, too
    ok = ok && limit(RLIMIT_NPROC, most, most);
  }
  ::setpriority(PRIO_PROCESS, 0, 5);
  return ok ? std::string{} : fault("cannot set the limits");
}

std::string set_filter(const std::string& filter, int& listener) {
  listener = static_cast<int>(install(filter, SECCOMP_FILTER_FLAG_NEW_LISTENER));
  return listener < 0 ? fault("cannot install the system call filter") : std::string{};
}

int landlock_abi() {
  auto abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

} // namespace conclave::launcher
