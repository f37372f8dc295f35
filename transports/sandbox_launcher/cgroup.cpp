// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/cgroup.hpp"

#include "transports/sandbox_launcher/system.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

namespace conclave::launcher {

namespace {

bool write_to(const std::string& path, const std::string& text) {
  auto fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  auto done = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0)
    ::close(fd);
  return done;
}

std::string read_from(const std::string& path) {
  std::string text(4096, '\0');
  auto fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto n = fd < 0 ? 0 : ::read(fd, text.data(), text.size());
  if (fd >= 0)
    ::close(fd);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

/// The group of this process below the mount of a controller of version 1, or of version 2 ("").
std::string own_group(const std::string& controller) {
  auto text = read_from("/proc/self/cgroup");
  auto at = text.find(":" + controller + ":");
  if (at == std::string::npos)
    return {};
  at += controller.size() + 2;
  auto path = text.substr(at, text.find('\n', at) - at);
  return path == "/" ? "" : path;
}

/// Of this name one may be left whose sweeper was killed.
bool make_group(const std::string& folder) {
  return ::mkdir(folder.c_str(), 0755) == 0
         || (errno == EEXIST && ::rmdir(folder.c_str()) == 0 && ::mkdir(folder.c_str(), 0755) == 0);
}

bool may_make(const std::string& folder) {
  return ::access(folder.substr(0, folder.rfind('/')).c_str(), W_OK) == 0;
}

} // namespace

void cgroup::make(std::int64_t processes, std::int64_t memory) {
  auto name = "/conclave-" + std::to_string(::getpid());
  // Version 1: one folder for each controller, below our own group so that its limits hold, too.
  auto pids = "/sys/fs/cgroup/pids" + own_group("pids") + name, room = "/sys/fs/cgroup/memory" + own_group("memory") + name;
  // Version 2: beside our own group, which may not have both processes and controllers below it; a root's right.
  auto own = own_group("");
  auto beside = "/sys/fs/cgroup" + own.substr(0, own.rfind('/') == std::string::npos ? 0 : own.rfind('/')) + name;
  if (::access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0)
    beside.clear();
  // Who removes them is there first: this process may be killed at any moment.
  std::vector<std::string> wanted{pids, room, beside};
  std::erase_if(wanted, [](const std::string& f) { return f.empty() || !may_make(f); });
  if (wanted.empty() || !start_sweeper(std::move(wanted)))
    return;
  if (make_group(pids)) {
    folders_.push_back(pids);
    open_entry(pids);
    processes_ = write_to(pids + "/pids.max", std::to_string(processes + 8)); // the wardens are among them
  }
  if (make_group(room)) {
    folders_.push_back(memory_folder_ = room);
    open_entry(room);
    memory_ = write_to(room + "/memory.limit_in_bytes", std::to_string(memory));
    write_to(room + "/memory.swappiness", "0");
  }
  if (folders_.empty() && !beside.empty() && make_group(beside)) {
    folders_.push_back(memory_folder_ = beside);
    without_entry_.push_back(beside); // a thread cannot go there alone
    processes_ = write_to(beside + "/pids.max", std::to_string(processes + 8));
    memory_ = write_to(beside + "/memory.max", std::to_string(memory));
    write_to(beside + "/memory.swap.max", "0");
    write_to(beside + "/memory.oom.group", "0");
  }
}

void cgroup::open_entry(const std::string& folder) {
  auto fd = ::open((folder + "/tasks").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    without_entry_.push_back(folder);
  else
    entries_.push_back(fd);
}

std::string cgroup::take_in(int pid) const {
  for (const auto& folder : without_entry_)
    if (!write_to(folder + "/cgroup.procs", std::to_string(pid)))
      return fault("cannot put a command into " + folder);
  return {};
}

bool cgroup::ran_out_of_memory() {
  if (memory_folder_.empty())
    return false;
  auto text = read_from(memory_folder_ + "/memory.oom_control");
  if (text.empty())
    text = read_from(memory_folder_ + "/memory.events");
  auto at = text.find("oom_kill ");
  auto now = at == std::string::npos ? 0 : std::strtol(text.c_str() + at + 9, nullptr, 10);
  auto more = now > killed_;
  killed_ = now;
  return more;
}

/// Waits for the end of a pipe that the launcher alone holds.
bool cgroup::start_sweeper(std::vector<std::string> folders) {
  int life[2], ready[2];
  if (::pipe2(static_cast<int*>(life), O_CLOEXEC) != 0)
    return false;
  if (::pipe2(static_cast<int*>(ready), O_CLOEXEC) != 0) {
    ::close(life[0]);
    ::close(life[1]);
    return false;
  }
  sweeper_ = ::fork();
  if (sweeper_ != 0) { // the other end of `life` stays open as long as this process lives
    ::close(life[0]);
    ::close(ready[1]);
    char word = 0;
    ssize_t n = -1;
    while ((n = ::read(ready[0], &word, 1)) < 0 && errno == EINTR)
      ;
    ::close(ready[0]);
    if (n == 1)
      return true;
    ::close(life[1]);
    sweeper_ = 0;
    return false;
  }
  ::setsid(); // a kill of the launcher's group is not for it
  auto told = ::write(ready[1], "r", 1) == 1;
  ::dup2(life[0], 0);
  ::syscall(SYS_close_range, 1, ~0U, 0); // the engine waits for the end of 1 and 2, others for that of `life`
  char none = 0;
  while (told && ::read(0, &none, 1) < 0 && errno == EINTR)
    ;
  for (int round = 0; round < 2000 && !folders.empty(); ++round) {
    std::erase_if(folders, [](const std::string& f) { return ::rmdir(f.c_str()) == 0 || errno != EBUSY; });
    timespec moment{0, 5'000'000};
    ::nanosleep(&moment, nullptr);
  }
  ::_exit(0);
}

} // namespace conclave::launcher
