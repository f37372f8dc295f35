// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A tree of folders for the tests of confined_dir and file_tools, worked on as the user that runs the test and, where that is
/// root, as nobody; by openat2 and component by component.

#include "support/read_whole.hpp"
#include "transports/confined_dir.hpp"

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace conclave::test {

inline void put(const std::string& path, const std::string& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string got(const std::string& path) {
  return read_whole(path);
}

inline bool there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() != std::filesystem::file_type::not_found;
}

/// How often races are played.
inline int swaps() {
  auto* text = std::getenv("CONCLAVE_LONG");
  return text != nullptr && *text != '\0' && std::string(text) != "0" ? 10'000 : 2'000;
}

/// Nobody, for its lifetime, in all threads; does nothing where we are not root.
class as_nobody {
public:
  as_nobody() {
    if (::geteuid() == 0 && ::setegid(65534) == 0)
      active_ = ::seteuid(65534) == 0;
  }
  ~as_nobody() {
    if (active_ && (::seteuid(0) != 0 || ::setegid(0) != 0))
      std::abort();
  }
  as_nobody(const as_nobody&) = delete;
  as_nobody& operator=(const as_nobody&) = delete;
  bool active() const { return active_; }

private:
  bool active_ = false;
};

struct workspace_tree {
  std::string path; ///< canonical

  workspace_tree() {
    auto name = (std::filesystem::temp_directory_path() / "conclave-tree-XXXXXX").string();
    path = std::filesystem::canonical(::mkdtemp(name.data())).string();
    if (::chmod(path.c_str(), 0755) != 0)
      std::abort();
  }
  ~workspace_tree() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  workspace_tree(const workspace_tree&) = delete;
  workspace_tree& operator=(const workspace_tree&) = delete;
  std::string operator/(const std::string& below) const { return path + "/" + below; }
};

/// Plays `body` once for each way and user.
inline void each_way(const std::function<void(confined_dir::way, const workspace_tree&)>& body) {
  for (auto way : {confined_dir::way::best, confined_dir::way::components}) {
    {
      workspace_tree tree;
      body(way, tree);
    }
    if (::geteuid() != 0) {
      std::cout << "skipped: the same as nobody (not root)" << std::endl;
      continue;
    }
    as_nobody user;
    workspace_tree tree;
    body(way, tree);
  }
}

/// Exchanges two names again and again on a thread of its own while `work` is called, until there were enough exchanges.
inline void while_swapping(const std::string& a, const std::string& b, const std::function<void()>& work,
                           const std::function<bool()>& enough = {}) {
  std::atomic<bool> done{false};
  std::atomic<int> count{0};
  std::thread swapper([&] {
    while (!done) {
      if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0)
        ++count;
      else
        std::this_thread::yield(); // one of the two is being replaced
    }
  });
  int calls = 0;
  for (; count < swaps() || calls < 500 || (enough && !enough() && calls < 200'000); ++calls)
    work();
  done = true;
  swapper.join();
}

} // namespace conclave::test
