// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_nursery.hpp"

#include "transports/child_fork_server.hpp"
#include "transports/child_reactor.hpp"
#include "transports/child_reaper.hpp"

#include <string>
#include <utility>

namespace conclave {

namespace {

using namespace std::chrono_literals;

constexpr auto ladder_limit = 4'500ms; ///< the teardown ladder and what the machine needs for it
constexpr auto kill_limit = 500ms;

} // namespace

child_nursery& child_nursery::get() {
  static auto* all = new child_nursery;
  return *all;
}

void child_nursery::enter(const std::shared_ptr<child_process>& who, int group) {
  living_.emplace(who, group);
  tell_groups();
}

void child_nursery::group_ended(const std::shared_ptr<child_process>& who) {
  living_[who] = 0;
  tell_groups();
}

void child_nursery::leave(const std::shared_ptr<child_process>& who) {
  auto it = living_.find(who);
  if (it == living_.end() || it->second > 0)
    return;
  living_.erase(it);
  if (living_.empty() && !open_)
    emptied_.set_value();
}

void child_nursery::close() {
  if (!std::exchange(open_, false))
    return;
  child_fork_server::get().close();
  if (living_.empty())
    return emptied_.set_value();
  for (auto& [who, group] : living_)
    who->close();
  child_reactor::get()->after(ladder_limit, [this] {
    for (auto& [who, group] : living_)
      who->kill();
  });
}

void child_nursery::end_all() {
  auto* reactor = child_reactor::get();
  if (reactor == nullptr)
    return;
  reactor->post([this] { close(); });
  empty_.wait_for(ladder_limit + kill_limit);
}

void child_nursery::tell_groups() const {
  std::string groups;
  for (auto& [who, group] : living_)
    if (group > 0)
      groups += std::to_string(group) + ' ';
  tell_reaper(groups);
}

} // namespace conclave
