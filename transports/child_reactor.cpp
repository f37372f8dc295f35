// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_reactor.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace conclave {

void unique_fd::reset(int fd) {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = fd;
}

child_reactor* child_reactor::get() {
  static std::mutex guard;
  static child_reactor* instance = nullptr; // leaked on purpose: its thread may outlive every static destructor
  std::lock_guard lock{guard};
  if (!instance) {
    auto fresh = std::unique_ptr<child_reactor>(new child_reactor);
    if (fresh->start())
      instance = fresh.release();
  }
  return instance;
}

bool child_reactor::start() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !wake_)
    return false;
  epoll_event ev{};
  ev.events = EPOLLIN;
  ev.data.u64 = 0;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &ev) != 0)
    return false;
  // The mask is inherited, so the thread never runs a moment with the signals of the host open.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  bool ok = true;
  try {
    std::thread([this] { run(); }).detach();
  } catch (const std::exception&) {
    ok = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return ok;
}

void child_reactor::post(task run) {
  bool first;
  {
    std::lock_guard lock{mutex_};
    first = posted_.empty();
    posted_.push_back(std::move(run));
  }
  if (first)
    ::eventfd_write(wake_.get(), 1);
}

void child_reactor::after(std::chrono::milliseconds delay, task run) {
  {
    std::lock_guard lock{mutex_};
    timers_.emplace(clock::now() + delay, std::move(run));
  }
  ::eventfd_write(wake_.get(), 1); // the wait may be longer than this delay
}

std::uint64_t child_reactor::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready) {
  auto id = ++last_watch_;
  epoll_event ev{};
  ev.events = events;
  ev.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &ev) != 0)
    return 0;
  watches_.emplace(id, watched{fd, std::make_shared<std::function<void(std::uint32_t)>>(std::move(ready))});
  return id;
}

void child_reactor::unwatch(std::uint64_t id) {
  auto it = watches_.find(id);
  if (it == watches_.end())
    return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, it->second.fd, nullptr);
  watches_.erase(it);
}

void child_reactor::change(std::uint64_t id, std::uint32_t events) {
  auto it = watches_.find(id);
  if (it == watches_.end())
    return;
  epoll_event ev{};
  ev.events = events;
  ev.data.u64 = id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, it->second.fd, &ev);
}

void child_reactor::run_posted() {
  std::vector<task> tasks;
  {
    std::lock_guard lock{mutex_};
    tasks.swap(posted_);
  }
  for (auto& t : tasks)
    t();
}

// Runs what is due. Returns how long the reactor may wait, in milliseconds for epoll_wait.
int child_reactor::run_timers() {
  std::unique_lock lock{mutex_};
  while (!timers_.empty()) {
    auto first = timers_.begin();
    auto wait = first->first - clock::now();
    if (wait > clock::duration::zero()) {
      auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
      return posted_.empty() ? static_cast<int>(std::min<std::int64_t>(ms, 60'000)) : 0;
    }
    auto run = std::move(first->second);
    timers_.erase(first);
    lock.unlock();
    run();
    run = nullptr; // what it holds may call back into us when it dies
    lock.lock();
  }
  return posted_.empty() ? -1 : 0;
}

void child_reactor::run() {
  std::array<epoll_event, 64> events;
  for (;;) {
    auto timeout = run_timers();
    auto n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < n; ++i) {
      auto& ev = events[static_cast<std::size_t>(i)];
      if (ev.data.u64 == 0) {
        eventfd_t ignored;
        ::eventfd_read(wake_.get(), &ignored);
        continue;
      }
      auto it = watches_.find(ev.data.u64);
      if (it == watches_.end())
        continue; // ended by an earlier handler of this round
      auto ready = it->second.ready;
      (*ready)(ev.events);
    }
    run_posted();
  }
}

} // namespace conclave
