// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The sockets of http_client's thread. Internal to http_client.cpp; every function runs on the client's thread.
///
/// A stream that comes in many small packets would wake the thread for each. Once eight of one socket came in a row, each within
/// the patience of the readers (text_readers) after the one before, that socket is looked at in steps instead, which grow to that
/// patience: until it brings nothing, or more than any model writes, or slows down. Every other socket is served when it is ready:
/// nothing but text that flows faster than anybody reads it waits.

#include "transports/http_transfers.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/epoll.h>
#include <unordered_map>

namespace conclave::http_detail {

class socket_set {
public:
  using clock_type = std::chrono::steady_clock;

  /// `wake` is a descriptor that is served at once, always. `readers` may be null: nothing waits.
  socket_set(int wake, std::shared_ptr<text_readers> readers);
  ~socket_set();
  socket_set(const socket_set&) = delete;
  socket_set& operator=(const socket_set&) = delete;

  bool usable() const { return usable_; } ///< false where the system gives no descriptors

  /// Watches `fd` from now on, for EPOLLIN and EPOLLOUT as `events` says.
  void watch(int fd, std::uint32_t events);

  void remove(int fd);

  /// Waits until one is ready or `due` has come. The events are valid until the next call.
  std::span<const epoll_event> wait(clock_type::time_point due);

  /// What serving `fd` has brought: bytes of bodies.
  void brought(int fd, std::size_t bytes);

  /// All events of the last wait were served.
  void served();

private:
  struct watched {
    std::uint32_t events = 0;
    int quick = 0; ///< small reads in a row, each soon after the one before
    bool in_step = false;
    clock_type::time_point last; ///< of them, or of the last that came in step
  };

  static constexpr std::size_t most_ = 256; ///< events of each kind in one turn

  bool control(int epoll, int operation, int fd, std::uint32_t events) const;
  void move(int fd, watched& w, bool in_step);
  int look(epoll_event* to);
  void release(bool all);

  const std::shared_ptr<text_readers> readers_;
  int ready_ = -1; ///< epoll: of what is served at once
  int paced_ = -1; ///< epoll: of what is looked at in steps
  bool usable_ = false;
  bool held_ = false;       ///< the readers, until all was served
  std::size_t in_step_ = 0; ///< sockets
  std::chrono::milliseconds patience_{0}, step_{0};
  clock_type::duration since_look_{};          ///< from the look before to the last
  clock_type::time_point now_, looked_, look_; ///< after the last wait; of looks: last, next
  std::unordered_map<int, watched> sockets_;
  std::array<epoll_event, 2 * most_> events_;
};

} // namespace conclave::http_detail
