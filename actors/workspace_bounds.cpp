// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What the folders of an agent may hold, while its commands and tool servers fill them.

#include "actors/leaving.hpp"
#include "actors/workspace_state.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

constexpr std::chrono::milliseconds look_every{2'000}; ///< while commands run, or servers
constexpr int looks_share = 20;                        ///< of the time, one part at most goes into looks for servers alone

} // namespace

/// Folders that are too full need not be for ever: what only removes may run in them. So a command begins there if they hold no
/// more than when that was found, and goes on as long as that stays so.
void workspace_state::with_room(std::function<void()> go, std::function<void(std::string)> refuse, std::function<void()> abandon) {
  auto now = std::make_shared<snapshots::amount>();
  auto begun = on_disk(
      true, [files = files, now, flag = cancel] { *now = files->disk.measure(flag.get()); },
      [this, now, go = std::move(go), refuse] {
        if (now->over.empty())
          over.reset();
        else if (over && !over_grows && now->grown_from(*over))
          return refuse(now->over + no_command_advice);
        else
          over = *now;
        over_grows = false;
        go();
      },
      std::move(abandon));
  if (!begun)
    refuse("the system gives no thread for the files of the agent");
}

void workspace_state::watch(std::uint64_t command) {
  watched[command];
  if (!std::exchange(looking, true))
    look_later();
}

/// A server may write whenever it runs: nobody knows when it is done with what a call began.
void workspace_state::watch_servers() {
  if (!servers.empty() && !std::exchange(looking, true))
    look_later();
}

std::string workspace_state::unwatch(std::uint64_t command) {
  auto i = watched.find(command);
  if (i == watched.end())
    return {};
  auto why = std::move(i->second);
  watched.erase(i);
  return why;
}

void workspace_state::look_later() {
  auto after = watched.empty() ? std::max(look_every, look_took * looks_share) : look_every;
  call_after(self, after, [this, flag = cancel] {
    if (flag == cancel) // else the run it was for is over
      look();
  });
}

void workspace_state::look() {
  looking = !watched.empty() || !servers.empty();
  if (!looking)
    return;
  look_later(); // the next count is due whether this one takes its time or not
  if (std::exchange(counting, true))
    return; // a slow disk has no more than one of them to do
  auto now = std::make_shared<snapshots::amount>();
  counting = on_disk(
      true, [files = files, now, flag = cancel] { *now = files->disk.measure(flag.get()); },
      [this, now, begun = self->clock().now()] {
        counting = false;
        look_took = std::chrono::duration_cast<std::chrono::milliseconds>(self->clock().now() - begun);
        if (now->over.empty())
          return over.reset();
        auto before = std::exchange(over, *now);
        if (before && !now->grown_from(*before))
          return;
        if (before) // it was told once, and filled them further: less is asked for before anything runs again
          over = before;
        over_grows = !before;
        auto said = "E_SIZE: ended because " + now->over + room_advice;
        for (auto& [command, why] : watched)
          if (why.empty() && commands) {
            why = said;
            commands->kill(command);
          }
        end_servers(said);
      },
      [] {});
}

} // namespace conclave
