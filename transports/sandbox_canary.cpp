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

void sweep(const std::string& below, const std::string& beginning) {
  std::error_code e;
  for (fs::directory_iterator at{below, e}, end; !e && at != end; at.increment(e)) {
    auto path = at->path().string();
    if (auto fd = at->path().filename().string().starts_with(beginning) ? lock(path) : -1; fd >= 0) {
      std::error_code ignored;
      fs::remove_all(path, ignored);
      ::close(fd);
    }
  }
}

} // namespace

canary::canary(const std::string& below, const std::string& name) {
  ::mkdir(below.c_str(), 0700); // if it cannot be made, the test says so
  sweep(below, name + "-");
  auto made = below + "/new-" + name + "-XXXXXX";
  path_ = below + "/" + name; // where it could not be made
  if (::mkdtemp(made.data()) == nullptr)
    return;
  lock_ = lock(made);
  path_ += made.substr(made.rfind('-')); // only a locked one has a name that others look for
  if (::rename(made.c_str(), path_.c_str()) != 0)
    path_ = made;
}

void canary::remove() {
  std::error_code ignored;
  if (lock_ < 0)
    return;
  fs::remove_all(path_, ignored);
  ::close(std::exchange(lock_, -1));
}

} // namespace conclave
