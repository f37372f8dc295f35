// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/paced_output.hpp"

#include "transports/outside.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <fcntl.h>
#include <limits.h>
#include <mutex>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

using moment = std::chrono::nanoseconds;

constexpr int slice_ms = 50; ///< how late a wait notices that it is to end

std::string gap_for_eyes(std::size_t bytes) {
  return "[" + std::to_string(bytes) + " bytes left out here: they were not read in time]\n";
}

moment now() {
  return outside::of_machine()->now_steady();
}

} // namespace

unblocked_fd::unblocked_fd(int fd) : fd_(fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0)
    return;
  is_socket_ = S_ISSOCK(st.st_mode);
  if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
    return; // a file never keeps anybody waiting
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
    return; // opened anew it could be written to, which it cannot
  twin_ = ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  must_ask_ = twin_ < 0; // no /proc, or a terminal of another user
}

unblocked_fd::~unblocked_fd() {
  if (twin_ >= 0)
    ::close(twin_);
}

ssize_t unblocked_fd::write_some(std::string_view bytes) {
  if (must_ask_) { // a pipe that can be written has room for so much; a terminal mostly
    pollfd p{fd_, POLLOUT, 0};
    if (::poll(&p, 1, 0) == 0)
      return 0;
    bytes = bytes.substr(0, PIPE_BUF);
  }
  for (;;) {
    auto n = is_socket_ ? ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                        : ::write(twin_ >= 0 ? twin_ : fd_, bytes.data(), bytes.size());
    if (n >= 0)
      return n;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      return 0;
    if (errno != EINTR)
      return -errno;
  }
}

void unblocked_fd::wait(int limit_ms) const {
  pollfd p{twin_ >= 0 ? twin_ : fd_, POLLOUT, 0};
  ::poll(&p, 1, limit_ms);
}

int write_unless_leaving(int fd, std::string_view bytes, const std::atomic<bool>& leaving) {
  unblocked_fd out(fd);
  auto moved = now();
  while (!bytes.empty()) {
    auto n = out.write_some(bytes);
    if (n < 0)
      return static_cast<int>(-n);
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      moved = now();
    } else if (leaving && now() - moved >= reader_patience) {
      return ECANCELED;
    } else {
      out.wait(slice_ms);
    }
  }
  return 0;
}

struct paced_output::impl {
  impl(int fd, std::size_t limit_bytes, gap_mark m) : out(fd), limit(limit_bytes), mark(m == nullptr ? gap_for_eyes : m) {}

  /// The thread.
  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stopping || !queue.empty(); });
      if (queue.empty())
        return;
      writing = take();
      lock.unlock();
      auto ok = put(writing);
      lock.lock();
      writing.clear();
      if (!ok) {
        gone = true;
        queue.clear();
        bytes = 0;
      }
      changed.notify_all();
    }
  }

  /// Returns the next text, after a word on what is missing before it. Call with the lock held.
  std::string take() {
    auto text = std::move(queue.front());
    queue.pop_front();
    bytes -= text.size();
    if (auto n = std::exchange(dropped, 0); n > 0)
      text = (at_line_begin ? "" : "\n") + mark(n) + text;
    at_line_begin = text.ends_with('\n');
    return text;
  }

  /// Returns false if nobody will ever read it.
  bool put(std::string_view text) {
    while (!text.empty()) {
      auto n = out.write_some(text);
      if (n < 0)
        return false;
      if (n == 0 && stopping)
        return false;
      if (n == 0)
        out.wait(slice_ms);
      text.remove_prefix(static_cast<std::size_t>(n));
      if (n > 0)
        moved = now();
    }
    return true;
  }

  unblocked_fd out; ///< the thread's
  const std::size_t limit;
  const gap_mark mark;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> queue;
  std::size_t bytes = 0, dropped = 0;
  std::string writing; ///< what the thread has in hand
  bool at_line_begin = true, started = false, gone = false;
  std::atomic<bool> stopping = false;
  std::atomic<moment> moved; ///< when the reader took something, or had taken all before more came
};

paced_output::paced_output(int fd, std::size_t limit_bytes, gap_mark mark) : impl_(std::make_shared<impl>(fd, limit_bytes, mark)) {}

paced_output::~paced_output() {
  std::lock_guard lock(impl_->mutex);
  impl_->stopping = true;
  impl_->changed.notify_all();
}

void paced_output::write(std::string_view text) {
  auto& i = *impl_;
  std::unique_lock lock(i.mutex);
  if (i.gone || text.empty())
    return;
  if (i.queue.empty() && i.writing.empty())
    i.moved = now();
  if (!i.started) {
    i.started = outside::of_machine()->start_thread("output", [shared = impl_] { shared->work(); }) != nullptr;
    if (!i.started) { // no thread to be had: what finds room at once is written
      if (i.out.write_some(text) < 0)
        i.gone = true;
      return;
    }
  }
  i.queue.emplace_back(text);
  i.bytes += text.size();
  while (i.bytes > i.limit && i.queue.size() > 1) {
    i.bytes -= i.queue.front().size();
    i.dropped += i.queue.front().size();
    i.queue.pop_front();
  }
  i.changed.notify_all();
}

void paced_output::flush(bool forever, const std::atomic<bool>& leaving) {
  auto& i = *impl_;
  std::unique_lock lock(i.mutex);
  auto done = [&i] { return i.gone || (i.queue.empty() && i.writing.empty()); };
  const auto began = now(); // a reader that took nothing for long may have come just now
  auto patient = [&] {
    auto at = now();
    return (forever && !leaving) || (at - began < 5 * reader_patience && at - std::max(began, i.moved.load()) < eyes_patience);
  };
  while (!done() && patient())
    i.changed.wait_for(lock, std::chrono::milliseconds(slice_ms), done);
}

bool same_reader(int a, int b) {
  struct stat x {
  }, y{};
  return ::fstat(a, &x) == 0 && ::fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

} // namespace conclave
