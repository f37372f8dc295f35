// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_canary.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

namespace fs = std::filesystem;

int lock(const std::string& path) {
  auto fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st {};
  if (fd >= 0 && ::fstat(fd, &st) == 0 && st.st_uid == ::geteuid() && ::flock(fd, LOCK_EX | LOCK_NB) == 0)
    return fd;
  if (fd >= 0)
    ::close(fd);
  return -1;
}

constexpr int most_tries = 8;

bool is_at(int fd, const std::string& path) {
  struct stat opened {
  }, there{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &there) == 0 && opened.st_dev == there.st_dev
         && opened.st_ino == there.st_ino;
}

void sweep(const std::string& below, const std::string& of) {
  std::error_code e;
  for (fs::directory_iterator at{below, e}, end; !e && at != end; at.increment(e)) {
    auto path = at->path().string();
    auto name = at->path().filename().string();
    auto is_test = name.starts_with(of + "-") || name.starts_with("new-" + of + "-"); // the latter of an earlier version
    if (auto fd = is_test ? lock(path) : -1; fd >= 0) {
      std::error_code ignored;
      fs::remove_all(path, ignored);
      ::close(fd);
    }
  }
}

} // namespace

canary::canary(const std::string& below, const std::string& name) {
  ::mkdir(below.c_str(), 0700); // if it cannot be made, the test says so
  sweep(below, name);
  path_ = below + "/" + name;                                     // where it could not be made
  for (int tries = 0; tries < most_tries && lock_ < 0; ++tries) { // one that is not locked yet another's sweep may take
    auto made = below + "/" + name + "-XXXXXX";
    if (::mkdtemp(made.data()) == nullptr)
      return;
    path_ = made;
    lock_ = lock(made);
    if (lock_ >= 0 && !is_at(lock_, made))
      ::close(std::exchange(lock_, -1));
  }
}

void canary::remove() {
  std::error_code ignored;
  if (lock_ < 0)
    return;
  fs::remove_all(path_, ignored);
  ::close(std::exchange(lock_, -1));
}

} // namespace conclave
