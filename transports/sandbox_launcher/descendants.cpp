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
#include <linux/magic.h>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
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

/// Takes the status of whoever has ended. Returns whether this process has no children any more; as it is a subreaper, no
/// descendants either.
bool reap() {
  int pid = 0;
  while ((pid = ::waitpid(-1, nullptr, WNOHANG)) > 0)
    ;
  return pid < 0 && errno == ECHILD;
}

/// The parent of a process that lives, 0 = it does not.
int parent_if_alive(int pid, bool zombies) {
  auto stat = read_proc("/proc/" + std::to_string(pid) + "/stat");
  auto name_end = stat.rfind(')');
  int parent = 0;
  char state = 0;
  auto read = name_end != std::string::npos && std::sscanf(stat.c_str() + name_end + 1, " %c %d", &state, &parent) == 2;
  return read && (zombies || state != 'Z') ? parent : 0;
}

} // namespace

int parent_of(int pid) {
  return parent_if_alive(pid, true);
}

std::vector<int> descendants_of(int root) {
  std::multimap<int, int> children;
  auto* dir = ::opendir("/proc");
  for (auto* e = dir ? ::readdir(dir) : nullptr; e; e = ::readdir(dir)) {
    auto pid = static_cast<int>(std::strtol(static_cast<const char*>(e->d_name), nullptr, 10));
    if (auto parent = pid > 0 ? parent_if_alive(pid, false) : 0; parent > 0)
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

namespace {

/// Bytes that are resident; -1 = there is no such process.
std::int64_t resident_of(int pid) {
  static const auto page = static_cast<std::int64_t>(::sysconf(_SC_PAGESIZE));
  long long size = 0, resident = 0;
  auto text = read_proc("/proc/" + std::to_string(pid) + "/statm");
  return std::sscanf(text.c_str(), "%lld %lld", &size, &resident) == 2 ? resident * page : -1;
}

/// What a process has of its own, and its share of what it has with others.
std::int64_t share_of(int pid) {
  auto text = read_proc("/proc/" + std::to_string(pid) + "/smaps_rollup");
  auto at = text.find("\nPss:");
  // One that is just ending has none; one that lets nobody look counts whole.
  return at == std::string::npos ? std::max<std::int64_t>(0, resident_of(pid))
                                 : std::strtoll(text.c_str() + at + 5, nullptr, 10) * 1024;
}

} // namespace

usage_of_tree measure(int root, std::int64_t memory_limit) {
  usage_of_tree u;
  std::vector<int> all;
  for (auto pid : descendants_of(root))
    if (auto resident = resident_of(pid); resident >= 0) {
      u.memory += resident;
      all.push_back(pid);
    }
  u.processes = static_cast<int>(all.size());
  if (u.memory <= memory_limit)
    return u;
  u.memory = 0;
  for (auto pid : all)
    u.memory += share_of(pid);
  return u;
}

namespace {

/// Bytes of deleted files that a process has mapped and holds no descriptor of, each file once.
std::int64_t mapped_only(int pid, std::set<std::pair<dev_t, ino_t>>& seen) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> in{std::fopen(("/proc/" + std::to_string(pid) + "/maps").c_str(), "re"),
                                                     &std::fclose};
  std::map<std::pair<dev_t, ino_t>, std::int64_t> found;
  char line[4600];
  while (in && std::fgets(static_cast<char*>(line), sizeof line, in.get())) {
    unsigned long long from = 0, to = 0, inode = 0;
    unsigned major = 0, minor = 0;
    int path = 0;
    std::string_view text = static_cast<const char*>(line);
    if (!text.ends_with(" (deleted)\n")
        || std::sscanf(line, "%llx-%llx %*s %*s %x:%x %llu %n", &from, &to, &major, &minor, &inode, &path) != 5)
      continue;
    text.remove_prefix(static_cast<std::size_t>(path));
    if (text.starts_with("/memfd:") || text.starts_with("/dev/") || text.starts_with("/SYSV"))
      continue; // memory: it is resident, or it is no matter
    found[{makedev(major, minor), inode}] += static_cast<std::int64_t>(to - from);
  }
  std::int64_t sum = 0;
  for (auto& [which, bytes] : found)
    sum += seen.insert(which).second ? bytes : 0;
  return sum;
}

} // namespace

held_files measure_files(int root) {
  held_files held;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (auto pid : descendants_of(root)) {
    auto folder = "/proc/" + std::to_string(pid) + "/fd";
    auto* dir = ::opendir(folder.c_str());
    for (auto* e = dir ? ::readdir(dir) : nullptr; e; e = ::readdir(dir)) {
      struct stat st {};
      if (::fstatat(::dirfd(dir), static_cast<const char*>(e->d_name), &st, 0) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 0
          || !seen.emplace(st.st_dev, st.st_ino).second)
        continue;
      struct statfs fs {};
      auto path = folder + "/" + static_cast<const char*>(e->d_name);
      auto in_memory = ::statfs(path.c_str(), &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
      (in_memory ? held.memory : held.disk) += st.st_blocks * std::int64_t{512};
    }
    if (dir)
      ::closedir(dir);
    held.disk += mapped_only(pid, seen);
  }
  return held;
}

namespace {

/// The process groups of these, but for our own.
std::set<int> groups_of(const std::vector<int>& all) {
  std::set<int> out;
  for (auto pid : all)
    if (auto group = ::getpgid(pid); group > 1 && group != ::getpgrp())
      out.insert(group);
  return out;
}

} // namespace

void end_descendants(const std::vector<int>& but) {
  if (reap())
    return; // the usual case, and /proc need not be read
  for (int round = 0; round < 2000; ++round) {
    auto all = descendants_of(::getpid()); // first: what the spared start from now on is not in it
    std::vector<int> spared = but;
    for (auto pid : but) {
      auto more = descendants_of(pid);
      spared.insert(spared.end(), more.begin(), more.end());
    }
    std::erase_if(all, [&](int pid) { return std::find(spared.begin(), spared.end(), pid) != spared.end(); });
    // A whole group first: of one that breeds none escapes. Each shell began a session, so no group has others in it.
    for (auto group : groups_of(all))
      ::kill(-group, SIGKILL);
    for (auto pid : all)
      ::kill(pid, SIGSTOP); // so that none of them forks while the others are ended
    for (auto pid : all)
      ::kill(pid, SIGKILL);
    if (reap() || all.empty())
      return;
    timespec moment{0, 2'000'000};
    ::nanosleep(&moment, nullptr);
  }
}

} // namespace conclave::launcher
