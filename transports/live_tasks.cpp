// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/live_tasks.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr std::int64_t numbers = std::int64_t{1} << 62; ///< the bytes of tasks with a number begin above those of names

std::int64_t byte_of_name(const std::string& task) {
  std::uint64_t h = 14695981039346656037ull; // FNV-1a
  for (unsigned char c : task)
    h = (h ^ c) * 1099511628211ull;
  return static_cast<std::int64_t>(h >> 2);
}

struct flock lock_on(std::int64_t byte, short type) {
  struct flock f {};
  f.l_type = type;
  f.l_whence = SEEK_SET;
  f.l_start = byte;
  f.l_len = 1;
  return f;
}

} // namespace

live_tasks::live_tasks(const std::string& path) : path_(path) {
  if (!open_for_writing())
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC); // enough to ask
}

live_tasks::~live_tasks() {
  if (fd_ >= 0)
    ::close(fd_);
}

bool live_tasks::open_for_writing() {
  auto fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return false;
  if (fd_ >= 0)
    ::close(fd_);
  fd_ = fd;
  return writable_ = true;
}

live_tasks::taking live_tasks::hold(const std::string& task, std::int64_t nr, std::string& error) {
  std::lock_guard guard{mutex_};
  if (held_.count(task) > 0)
    return taking::taken; // a lock of our own does not stand in our own way
  auto f = lock_on(numbers + nr, F_WRLCK);
  if ((writable_ || open_for_writing()) && ::fcntl(fd_, F_OFD_SETLK, &f) == 0) {
    held_[task] = f.l_start;
    return taking::done;
  }
  auto reason = errno;
  if (writable_ && (reason == EAGAIN || reason == EACCES)) // POSIX allows both for "somebody has it"
    return taking::taken;
  error = "task " + task + " cannot be locked against other engines: " + path_ + ": " + std::strerror(reason)
          + (writable_ ? "; keep the store on a file system that has locks" : "; check its permissions");
  return taking::failed;
}

void live_tasks::let_go(const std::string& task) {
  std::lock_guard guard{mutex_};
  auto i = held_.find(task);
  if (i == held_.end())
    return;
  auto f = lock_on(i->second, F_UNLCK);
  ::fcntl(fd_, F_OFD_SETLK, &f);
  held_.erase(i);
}

bool live_tasks::holds(const std::string& task) {
  std::lock_guard guard{mutex_};
  return held_.count(task) > 0;
}

bool live_tasks::holds_any() {
  std::lock_guard guard{mutex_};
  return !held_.empty();
}

bool live_tasks::is_any_live() {
  std::lock_guard guard{mutex_};
  if (!held_.empty())
    return true;
  auto f = lock_on(0, F_WRLCK);
  f.l_len = 0; // to the end of all numbers
  return fd_ >= 0 && ::fcntl(fd_, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

bool live_tasks::is_live(const std::string& task, std::int64_t nr) {
  std::lock_guard guard{mutex_};
  return held_.count(task) > 0 || (nr > 0 && is_locked(numbers + nr)) || is_locked(byte_of_name(task));
}

bool live_tasks::is_live_by_name(const std::string& task) {
  std::lock_guard guard{mutex_};
  return is_locked(byte_of_name(task));
}

bool live_tasks::is_locked(std::int64_t byte) {
  auto f = lock_on(byte, F_WRLCK);
  return fd_ >= 0 && ::fcntl(fd_, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

} // namespace conclave
