// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/thread_room.hpp"

#include <algorithm>
#include <csignal>
#include <future>
#include <system_error>
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

} // namespace conclave
