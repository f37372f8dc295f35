// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/process_room.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace conclave {

std::size_t scheduler_threads(std::size_t wanted) {
  return wanted > 0 ? wanted : std::max<std::size_t>(std::thread::hardware_concurrency(), 2);
}

std::string lack_of_threads(std::size_t n) {
  std::promise<void> enough;
  auto wait = enough.get_future().share();
  std::vector<std::thread> all;
  all.reserve(n);
  std::string error;
  try {
    while (all.size() < n)
      all.emplace_back([wait] { wait.wait(); });
  } catch (const std::system_error& e) {
    error = "the system gives no more threads (" + e.code().message() + "): " + std::to_string(n) + " are needed, "
            + std::to_string(all.size()) + " are to be had; raise the limit of processes (ulimit -u, or pids.max of a container)";
  }
  enough.set_value();
  for (auto& t : all)
    t.join();
  return error;
}

std::thread start_without_signals(std::function<void()> body) {
  struct closed_mask {
    sigset_t before;
    closed_mask() {
      sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~closed_mask() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  } inherited;
  return std::thread{std::move(body)};
}

std::string lack_of_descriptors(std::size_t n) {
  std::vector<int> all;
  all.reserve(n);
  std::string error;
  while (error.empty() && all.size() < n) {
    if (auto fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); fd >= 0)
      all.push_back(fd);
    else
      error = "no more files may be open (" + std::string(std::strerror(errno)) + "): " + std::to_string(n)
              + " are needed beside those that are, " + std::to_string(all.size())
              + " are to be had; raise the limit of open files (ulimit -n, or LimitNOFILE= of a service)";
  }
  for (auto fd : all)
    ::close(fd);
  return error;
}

std::string lack_of_room(std::size_t scheduler) {
  auto error = lack_of_threads(scheduler_threads(scheduler) + threads_beside_scheduler);
  return error.empty() ? lack_of_descriptors(descriptors_needed) : error;
}

} // namespace conclave
