// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_reaper.hpp"

#include "transports/child_launch.hpp"

#include <sys/wait.h>

namespace conclave {

namespace {

// Goes to the background, so that it is no child of ours: a host may wait for all of its children. The last line it reads counts.
// `kill -s 0` asks whether a group has members, in words that all shells know.
constexpr const char* script = R"(exec 3<&0 >/dev/null 2>&1
{
trap '' HUP INT QUIT TERM
while read -r line; do groups=$line; done
for s in 0 0 0 0 TERM 0 0 0 KILL; do
  left=
  for n in $groups; do kill -s $s -- "-$n" && left=1; done
  [ $left ] || exit 0
  sleep 0.5 || sleep 1
done
} <&3 3<&- &)";

} // namespace

void tell_reaper(const std::string& groups) {
  auto& reactor = *child_reactor::get();
  static auto& pipe = *new launched_child::stream{reactor.io()}; // never closed by us: its end is the word to begin
  // A full pipe means a stopped reaper: it is given up like a dead one.
  auto told = [line = groups + '\n'] {
    boost::system::error_code failed;
    return pipe.write_some(boost::asio::buffer(line), failed) == line.size();
  };
  if (told())
    return;
  child_command o;
  o.argv = {"/bin/sh", "-c", script};
  o.env = {{"PATH", "/usr/bin:/bin"}};
  o.cwd = "/";
  launched_child fresh{reactor};
  if (launch_child(o, child_bond::keeper, fresh).empty())
    ::waitpid(fresh.pid, nullptr, 0); // it has only gone to the background
  pipe = std::move(fresh.in);
  told();
}

} // namespace conclave
