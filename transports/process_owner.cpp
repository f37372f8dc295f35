// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/process_owner.hpp"

#include <climits>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace conclave {

namespace {

std::int64_t milliseconds(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

/// Field 22 of /proc/self/stat: ticks from the start of the system. The name of the program, in parentheses, may hold anything.
std::int64_t began_ms() {
  std::ifstream in("/proc/self/stat");
  std::string all{std::istreambuf_iterator<char>(in), {}};
  auto end = all.rfind(')');
  if (end == std::string::npos)
    return 0;
  std::istringstream fields(all.substr(end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field)
    fields >> skipped;
  std::int64_t ticks = -1;
  fields >> ticks;
  auto per_second = ::sysconf(_SC_CLK_TCK);
  if (!fields || ticks < 0 || per_second <= 0)
    return 0;
  return milliseconds(CLOCK_REALTIME) - milliseconds(CLOCK_BOOTTIME) + ticks * 1000 / per_second;
}

} // namespace

task_owner this_process() {
  static const auto began = began_ms(); // the clock may be set
  char host[HOST_NAME_MAX + 1] = {};
  if (::gethostname(host, sizeof host - 1) != 0)
    host[0] = '\0';
  return {host, ::getpid(), began};
}

bool is_gone(const task_owner& owner) {
  return owner.pid > 0 && owner.host == this_process().host && ::kill(static_cast<pid_t>(owner.pid), 0) != 0 && errno == ESRCH;
}

} // namespace conclave
