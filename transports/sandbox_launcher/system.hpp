// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// System calls that the C library of Debian 12 has no name for, and constants of kernels newer than its headers.

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

namespace conclave::launcher {

/// As the kernel of Landlock's 6th version knows it. An older one takes a shorter size.
struct landlock_rules {
  std::uint64_t handled_files = 0, handled_net = 0, scoped = 0;
};
constexpr std::uint64_t scope_abstract_sockets = 1, scope_signal = 2;

inline std::string fault(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

/// Mounts a proc of the caller's pid namespace at `root`/`name`, not writable. `processes` > 0 limits how many the namespace has.
std::string mount_at(int root, const char* name, std::int64_t processes = 0);

} // namespace conclave::launcher
