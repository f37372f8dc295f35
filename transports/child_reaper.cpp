// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_reaper.hpp"

#include "transports/child_launch.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace conclave {

namespace {

// Goes to the background, so that it is no child of ours: a host may wait for all of its children. Then reads "+ GROUP" and "-
// GROUP". `kill -s 0` asks whether a group has members, in words that all shells know.
constexpr const char* script = R"(exec 3<&0
{
trap '' HUP INT QUIT TERM
g=' '
while read -r op n; do
  case $op in
    +) g="$g$n " ;;
    -) case $g in *" $n "*) g="${g%% $n *} ${g#* $n }" ;; esac ;;
  esac
done
send() {
  for n in $g; do kill -s "$1" -- "-$n" 2>/dev/null && r=0; done
  return "$r"
}
for s in 0 0 0 0 TERM 0 0 0 KILL; do
  r=1
  send $s || exit 0
  sleep 0.5 || sleep 1
done
} <&3 3<&- &)";

} // namespace

void child_reaper::add(int group) {
  groups_.insert(group);
  if (tell('+', group))
    return;
  child_options o;
  o.argv = {"/bin/sh", "-c", script};
  o.env = {{"PATH", "/usr/bin:/bin"}};
  o.cwd = "/";
  auto fresh = launch_child(o, child_bond::keeper);
  if (fresh.pid > 0)
    ::waitpid(fresh.pid, nullptr, 0); // it has only gone to the background
  pipe_ = std::move(fresh.in);
  ::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
  for (auto g : groups_)
    tell('+', g);
}

void child_reaper::remove(int group) {
  groups_.erase(group);
  tell('-', group);
}

// A full pipe means a stopped reaper: it is given up like a dead one.
bool child_reaper::tell(char sign, int group) {
  auto line = std::string{sign} + ' ' + std::to_string(group) + '\n';
  if (pipe_ && ::write(pipe_.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size()))
    return true;
  pipe_.reset();
  return false;
}

} // namespace conclave
