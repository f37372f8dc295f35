// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_finder.hpp"

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

/// A folder for one test, locked as long as it is used: what a process that was killed left is nobody's, and the next one removes
/// it.
class canary {
public:
  explicit canary(const std::string& below) {
    ::mkdir(below.c_str(), 0700); // if it cannot be made, the test says so
    sweep(below);
    path_ = below + "/canary";                                      // where it could not be made
    for (int tries = 0; tries < most_tries && lock_ < 0; ++tries) { // one that is not locked yet another's sweep may take
      auto made = below + "/canary-XXXXXX";
      if (::mkdtemp(made.data()) == nullptr)
        return;
      path_ = made;
      lock_ = lock(made);
      if (lock_ >= 0 && !is_at(lock_, made))
        ::close(std::exchange(lock_, -1));
    }
  }
  ~canary() { remove(); }
  canary(const canary&) = delete;
  canary& operator=(const canary&) = delete;

  const std::string& path() const { return path_; }

  void remove() {
    std::error_code ignored;
    if (lock_ < 0)
      return;
    fs::remove_all(path_, ignored);
    ::close(std::exchange(lock_, -1));
  }

private:
  static constexpr int most_tries = 8;

  static bool is_at(int fd, const std::string& path) {
    struct stat opened {
    }, there{};
    return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &there) == 0 && opened.st_dev == there.st_dev
           && opened.st_ino == there.st_ino;
  }

  static int lock(const std::string& path) {
    auto fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0)
      return fd;
    if (fd >= 0)
      ::close(fd);
    return -1;
  }

  static void sweep(const std::string& below) {
    std::error_code e;
    for (fs::directory_iterator at{below, e}, end; !e && at != end; at.increment(e)) {
      auto path = at->path().string();
      auto name = at->path().filename().string();
      auto is_test = name.starts_with("canary") || name.starts_with("new-canary-"); // the latter of an earlier version
      if (auto fd = is_test ? lock(path) : -1; fd >= 0) {
        std::error_code ignored;
        fs::remove_all(path, ignored);
        ::close(fd);
      }
    }
  }

  std::string path_;
  int lock_ = -1;
};

} // namespace

sandbox_choice sandbox_finder::find(sandbox_mode mode) {
  std::unique_lock lock{book_->mutex};
  auto [place, fresh] = book_->found.try_emplace(mode);
  if (fresh) {
    lock.unlock();
    auto folder = std::make_shared<canary>(folder_);
    choose_sandbox(world_, launcher_, mode, folder->path() + "/test", [folder, book = book_, mode](sandbox_choice c) {
      folder->remove();
      std::lock_guard guard{book->mutex};
      book->found[mode] = std::move(c);
      book->changed.notify_all();
    });
    lock.lock();
  }
  book_->changed.wait(lock, [&] { return book_->found[mode].has_value(); });
  return *book_->found[mode];
}

std::optional<sandbox_choice> sandbox_finder::known(sandbox_mode mode) const {
  std::lock_guard guard{book_->mutex};
  auto i = book_->found.find(mode);
  return i == book_->found.end() ? std::nullopt : i->second;
}

sandbox_mode sandbox_mode_of(const std::string& word) {
  return word == "off" ? sandbox_mode::off : word == "auto" ? sandbox_mode::automatic : sandbox_mode::required;
}

} // namespace conclave
