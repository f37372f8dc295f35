// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/live_tasks.hpp"

#include <cstdint>
#include <fcntl.h>
#include <unistd.h>

namespace conclave {

namespace {

/// Two tasks on one byte would only keep each other from being deleted.
long long byte_of(const std::string& task) {
  std::uint64_t h = 14695981039346656037ull; // FNV-1a
  for (unsigned char c : task)
    h = (h ^ c) * 1099511628211ull;
  return static_cast<long long>(h >> 2);
}

struct flock lock_on(long long byte, short type) {
  struct flock f {};
  f.l_type = type;
  f.l_whence = SEEK_SET;
  f.l_start = byte;
  f.l_len = 1;
  return f;
}

} // namespace

live_tasks::live_tasks(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  if (fd_ < 0)
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC); // enough to ask
}

live_tasks::~live_tasks() {
  if (fd_ >= 0)
    ::close(fd_);
}

void live_tasks::hold(const std::string& task) {
  std::lock_guard guard{mutex_};
  auto f = lock_on(byte_of(task), F_WRLCK);
  if (fd_ >= 0 && ::fcntl(fd_, F_OFD_SETLK, &f) == 0)
    held_[task] = f.l_start;
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

bool live_tasks::is_any_live() {
  std::lock_guard guard{mutex_};
  if (!held_.empty())
    return true;
  auto f = lock_on(0, F_WRLCK);
  f.l_len = 0; // to the end of all numbers
  return fd_ >= 0 && ::fcntl(fd_, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

bool live_tasks::is_live(const std::string& task) {
  std::lock_guard guard{mutex_};
  if (held_.count(task) > 0)
    return true; // a lock of our own does not stand in our own way
  auto f = lock_on(byte_of(task), F_WRLCK);
  return fd_ >= 0 && ::fcntl(fd_, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

} // namespace conclave
