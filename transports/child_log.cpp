// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_log.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

constexpr off_t max_bytes = 1 << 20;
constexpr std::size_t max_line = std::size_t{64} << 10;
constexpr std::size_t max_secret = 4096; ///< the part of a cut line in which half a secret may stand

/// Returns the size of the file, max_bytes if it is none that could be written.
off_t size_of(int fd) {
  struct stat st {};
  return fd < 0 || ::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ? max_bytes : st.st_size;
}

} // namespace

child_log::~child_log() {
  close();
}

void child_log::open(const std::string& path, cleaner clean) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  clean_ = std::move(clean);
}

void child_log::add(std::string_view bytes) {
  // What exceeds the cap is dropped, unread. The size is asked each time: a file may have several writers.
  if (size_of(fd_) >= max_bytes)
    return;
  if (!clean_)
    return put(std::string(bytes));
  if (skipping_) {
    auto lf = bytes.find('\n');
    if (lf == std::string_view::npos)
      return;
    bytes.remove_prefix(lf + 1);
    skipping_ = false;
  }
  auto end = bytes.rfind('\n');
  auto whole = end == std::string_view::npos ? std::string_view{} : bytes.substr(0, end + 1);
  if (!whole.empty())
    put(std::exchange(line_, {}).append(whole));
  line_.append(bytes.substr(whole.size()));
  if (line_.size() > max_line) {
    auto text = std::exchange(line_, {});
    clean_(text);
    text.resize(text.size() - std::min(text.size(), max_secret));
    put(text + " ... (the rest of this line is left out)\n");
    skipping_ = true;
  }
}

void child_log::skip(std::size_t bytes) {
  auto text = "\n[conclave] " + std::to_string(bytes) + " bytes are left out here: they came faster than they could be written\n";
  if (clean_) {
    line_.clear();
    skipping_ = true;
  }
  put(std::move(text));
}

bool child_log::is_full() const {
  return size_of(fd_) >= max_bytes;
}

void child_log::put(std::string text) {
  if (clean_)
    clean_(text);
  auto room = static_cast<std::size_t>(std::max<off_t>(max_bytes - size_of(fd_), 0));
  [[maybe_unused]] auto n = ::write(fd_, text.data(), std::min(text.size(), room)); // a full disk costs log lines, nothing else
}

void child_log::close() {
  if (fd_ < 0)
    return;
  if (!line_.empty())
    put(std::exchange(line_, {}));
  ::close(std::exchange(fd_, -1));
}

} // namespace conclave
