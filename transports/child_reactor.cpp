// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_reactor.hpp"

#include "transports/process_room.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cerrno>
#include <exception>
#include <unistd.h>

namespace conclave {

namespace asio = boost::asio;

unique_fd::~unique_fd() {
  if (fd_ >= 0)
    ::close(fd_);
}

int checked(long result) {
  if (result < 0)
    throw boost::system::system_error{errno, boost::system::system_category()};
  return static_cast<int>(result);
}

child_reactor::child_reactor() : io_(std::make_shared<asio::io_context>(1)), owner_(::getpid()) {
  asio::steady_timer probe{*io_}; // opens the descriptors of the context now
  start_without_signals([io = io_, work = asio::make_work_guard(*io_)] { io->run(); }).detach();
}

child_reactor* child_reactor::get() {
  try {
    static auto* one = new child_reactor; // leaked on purpose: its thread may outlive every static destructor
    return one->owner_ == ::getpid() ? one : nullptr;
  } catch (const std::exception&) { // neither descriptor nor thread to be had
    return nullptr;
  }
}

void child_reactor::post(std::function<void()> run) {
  asio::post(*io_, std::move(run));
}

void child_reactor::after(std::chrono::milliseconds delay, std::function<void()> run) {
  auto timer = std::make_shared<asio::steady_timer>(*io_, delay);
  timer->async_wait([timer, run = std::move(run)](const boost::system::error_code&) { run(); });
}

} // namespace conclave
