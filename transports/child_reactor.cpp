// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_reactor.hpp"

#include "transports/process_room.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <exception>
#include <mutex>
#include <unistd.h>

namespace conclave {

namespace asio = boost::asio;

namespace {

/// Leaked on purpose: its thread may outlive every static destructor.
std::atomic<child_reactor*> instance{nullptr};

} // namespace

void unique_fd::reset(int fd) {
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = fd;
}

child_reactor::child_reactor() : io_(std::make_shared<asio::io_context>(1)), owner_(::getpid()) {
  asio::steady_timer probe{*io_}; // opens the descriptors of the context now
  start_without_signals([io = io_, work = asio::make_work_guard(*io_)] { io->run(); }).detach();
}

child_reactor* child_reactor::running() {
  auto* r = instance.load();
  return r != nullptr && r->owner_ == ::getpid() ? r : nullptr;
}

child_reactor* child_reactor::get() {
  static std::mutex guard;
  std::lock_guard lock{guard};
  try {
    if (instance == nullptr)
      instance = new child_reactor;
  } catch (const std::exception&) { // neither descriptor nor thread to be had
  }
  return instance;
}

void child_reactor::post(task run) {
  asio::post(*io_, std::move(run));
}

void child_reactor::after(std::chrono::milliseconds delay, task run) {
  auto timer = std::make_shared<asio::steady_timer>(*io_, delay);
  timer->async_wait([timer, run = std::move(run)](const boost::system::error_code&) { run(); });
}

} // namespace conclave
