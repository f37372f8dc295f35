// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#include "transports/http_client_sockets.hpp"

#include <climits>

#include <algorithm>
#include <unistd.h>
#include <utility>

namespace conclave::http_detail {

namespace {

using std::chrono::milliseconds;

constexpr int quick_before = 8;
constexpr int quick_again = -256;             ///< after one that flows faster than anybody writes
constexpr std::size_t much = 4096;            ///< bytes at once: waking for them is not what they cost
constexpr std::size_t most_per_ms = 512;      ///< bytes of a stream that is written as it is read
constexpr int quiet_after = 2;                ///< times the patience, without a byte
constexpr milliseconds longest_patience{100}; ///< a call that ends waits as well

int wait_ms(std::chrono::steady_clock::time_point now, std::chrono::steady_clock::time_point due) {
  if (due == std::chrono::steady_clock::time_point::max())
    return -1;
  return static_cast<int>(std::clamp<std::int64_t>(std::chrono::ceil<milliseconds>(due - now).count(), 0, INT_MAX));
}

} // namespace

socket_set::socket_set(int wake, std::shared_ptr<text_readers> readers)
    : readers_(std::move(readers)), ready_(epoll_create1(EPOLL_CLOEXEC)), paced_(epoll_create1(EPOLL_CLOEXEC)),
      usable_(paced_ >= 0 && control(ready_, EPOLL_CTL_ADD, wake, EPOLLIN)) {}

socket_set::~socket_set() {
  for (auto fd : {ready_, paced_})
    if (fd >= 0)
      close(fd);
}

bool socket_set::control(int epoll, int operation, int fd, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return epoll_ctl(epoll, operation, fd, &event) == 0;
}

void socket_set::watch(int fd, std::uint32_t events) {
  auto& w = sockets_[fd];
  w.events = events;
  if (w.in_step)
    move(fd, w, false);
  else if (!control(ready_, EPOLL_CTL_MOD, fd, events))
    control(ready_, EPOLL_CTL_ADD, fd, events);
}

void socket_set::remove(int fd) {
  auto i = sockets_.find(fd);
  if (i == sockets_.end())
    return;
  control(i->second.in_step ? paced_ : ready_, EPOLL_CTL_DEL, fd, 0);
  in_step_ -= i->second.in_step ? 1 : 0;
  sockets_.erase(i);
}

void socket_set::move(int fd, watched& w, bool in_step) {
  control(w.in_step ? paced_ : ready_, EPOLL_CTL_DEL, fd, 0);
  control(in_step ? paced_ : ready_, EPOLL_CTL_ADD, fd, w.events);
  w.in_step = in_step;
  w.quick = std::min(w.quick, 0);
  w.last = now_;
  if (!in_step) {
    --in_step_;
  } else if (in_step_++ == 0) {
    step_ = milliseconds{1};
    looked_ = now_;
    look_ = now_ + step_;
  }
}

std::span<const epoll_event> socket_set::wait(clock_type::time_point due) {
  if (readers_)
    patience_ = std::clamp(readers_->patience(), milliseconds{0}, longest_patience);
  if (in_step_ > 0)
    due = std::min(due, look_ = std::min(look_, now_ + patience_)); // patience that has become less holds from now on
  auto count = std::max(epoll_wait(ready_, events_.data(), most_, wait_ms(clock_type::now(), due)), 0);
  now_ = clock_type::now();
  if (in_step_ > 0 && now_ >= look_)
    count += look(events_.data() + count);
  return {events_.data(), static_cast<std::size_t>(count)};
}

int socket_set::look(epoll_event* to) {
  auto came = std::max(epoll_wait(paced_, to, most_, 0), 0);
  held_ = came > 0 && patience_.count() > 0;
  if (held_)
    readers_->hold();
  since_look_ = now_ - std::exchange(looked_, now_);
  for (auto i = 0; i < came; ++i)
    if (auto s = sockets_.find(to[i].data.fd); s != sockets_.end())
      s->second.last = now_;
  release(patience_.count() == 0 || (came == 0 && step_ == patience_));
  step_ = std::min(2 * step_, patience_);
  look_ = now_ + step_;
  return came;
}

void socket_set::release(bool all) {
  for (auto& [fd, w] : sockets_)
    if (w.in_step && (all || now_ - w.last > quiet_after * patience_))
      move(fd, w, false);
}

void socket_set::brought(int fd, std::size_t bytes) {
  auto i = sockets_.find(fd);
  if (i == sockets_.end())
    return;
  auto& w = i->second;
  if (w.in_step) {
    auto most = most_per_ms * static_cast<std::size_t>(std::chrono::ceil<milliseconds>(since_look_).count());
    if (bytes > 0 && bytes <= most)
      return;
    w.quick = bytes > most ? quick_again : 0;
    return move(fd, w, false);
  }
  auto quick = bytes > 0 && bytes <= much && w.events == EPOLLIN && now_ - w.last < patience_;
  w.quick = quick ? w.quick + 1 : std::min(w.quick, 0);
  w.last = now_;
  if (w.quick >= quick_before)
    move(fd, w, true);
}

void socket_set::served() {
  if (std::exchange(held_, false))
    readers_->go_on();
}

} // namespace conclave::http_detail
