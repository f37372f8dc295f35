// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_group.hpp"

#include "transports/child_reactor.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace conclave {

namespace {

/// Whether this process lives and is of this group. "12 (a name) S 1 12 ...": state, parent, group; a name may hold anything.
bool lives_in(int pid, int group) {
  // Most are of others, which this tells for a fraction of what it costs to make and read the text; it knows nothing of the dead.
  if (auto its = ::getpgid(pid); its != group && (its >= 0 || errno == ESRCH))
    return false;
  std::array<char, 256> text;
  unique_fd file{::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file)
    return errno == EMFILE || errno == ENFILE; // not to be seen now: nobody is given up for that
  auto n = ::read(file.get(), text.data(), text.size() - 1);
  if (n <= 0)
    return false;
  text[static_cast<std::size_t>(n)] = '\0';
  auto* name_end = std::strrchr(text.data(), ')');
  char state = 0;
  int number = 0;
  return name_end != nullptr && std::sscanf(name_end + 1, " %c %*d %d", &state, &number) == 2 && number == group && state != 'Z'
         && state != 'X';
}

} // namespace

bool child_group::wait(int& status) const {
  siginfo_t end{};
  if (number_ <= 0 || ::waitid(P_PID, static_cast<id_t>(number_), &end, WEXITED | WNOWAIT) != 0)
    return false;
  status = end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status;
  return true;
}

bool child_group::has_members() {
  if (number_ <= 0)
    return false;
  if (member_ > 0 && lives_in(member_, number_))
    return true;
  member_ = 0;
  auto* all = ::opendir("/proc");
  if (all == nullptr) { // without it only the reaped do not count
    ::waitpid(number_, nullptr, WNOHANG);
    return ::kill(-number_, 0) == 0;
  }
  while (auto* entry = member_ == 0 ? ::readdir(all) : nullptr)
    if (auto pid = std::atoi(entry->d_name); pid > 0 && lives_in(pid, number_))
      member_ = pid;
  ::closedir(all);
  return member_ > 0;
}

void child_group::signal(int sig) const {
  if (number_ > 0)
    ::kill(-number_, sig);
}

void child_group::release() {
  if (number_ > 0)
    ::waitpid(number_, nullptr, WNOHANG);
  number_ = member_ = 0;
}

} // namespace conclave
