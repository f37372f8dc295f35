// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Whom a command started, found by who is whose parent. Needed where no pid namespace holds them together.

#include "transports/sandbox_launcher/descendants.hpp"

#include "transports/sandbox_launcher/launcher.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <sys/wait.h>
#include <time.h>

namespace conclave::launcher {

namespace {

std::string read_proc(const std::string& path) {
  std::string text(4096, '\0');
  auto fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto n = fd < 0 ? 0 : ::read(fd, text.data(), text.size());
  if (fd >= 0)
    ::close(fd);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

} // namespace

std::vector<int> descendants_of(int root) {
  std::multimap<int, int> children;
  auto* dir = ::opendir("/proc");
  for (auto* e = dir ? ::readdir(dir) : nullptr; e; e = ::readdir(dir)) {
    auto pid = static_cast<int>(std::strtol(static_cast<const char*>(e->d_name), nullptr, 10));
    if (pid <= 0)
      continue;
    auto stat = read_proc("/proc/" + std::to_string(pid) + "/stat");
    auto name_end = stat.rfind(')');
    int parent = 0;
    char state = 0;
    if (name_end != std::string::npos && std::sscanf(stat.c_str() + name_end + 1, " %c %d", &state, &parent) == 2 && state != 'Z')
      children.emplace(parent, pid);
  }
  if (dir)
    ::closedir(dir);
  std::vector<int> out{root};
  for (std::size_t i = 0; i < out.size(); ++i)
    for (auto [at, end] = children.equal_range(out[i]); at != end; ++at)
      out.push_back(at->second);
  out.erase(out.begin());
  return out;
}

usage_of_tree measure(int root) {
  usage_of_tree u;
  std::int64_t most_shared = 0;
  static const auto page = static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
  auto all = descendants_of(root);
  for (auto pid : all) {
    long long size = 0, resident = 0, shared = 0;
    auto text = read_proc("/proc/" + std::to_string(pid) + "/statm");
    if (std::sscanf(text.c_str(), "%lld %lld %lld", &size, &resident, &shared) != 3)
      continue;
    ++u.processes;
    u.memory += std::max<std::int64_t>(0, resident - shared) * page;
    most_shared = std::max<std::int64_t>(most_shared, shared * page); // pages of files count once, as most of them share them
  }
  u.memory += most_shared;
  return u;
}

void end_descendants(const std::vector<int>& but) {
  for (int round = 0; round < 2000; ++round) {
    std::vector<int> spared = but;
    for (auto pid : but) {
      auto more = descendants_of(pid);
      spared.insert(spared.end(), more.begin(), more.end());
    }
    auto all = descendants_of(::getpid());
    std::erase_if(all, [&](int pid) { return std::find(spared.begin(), spared.end(), pid) != spared.end(); });
    for (auto pid : all)
      ::kill(pid, SIGSTOP); // so that none of them forks while the others are ended
    for (auto pid : all)
      ::kill(pid, SIGKILL);
    while (::waitpid(-1, nullptr, WNOHANG) > 0)
      ;
    if (all.empty())
      return;
    timespec moment{0, 2'000'000};
    ::nanosleep(&moment, nullptr);
  }
}

} // namespace conclave::launcher
