// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/left_workspaces.hpp"

#include "app/task_lookup.hpp"
#include "transports/process_owner.hpp"
#include "transports/snapshot_store.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace conclave {

void remove_left_workspaces(const std::string& home, const std::function<std::vector<task_row>()>& rows) {
  std::vector<std::string> found;
  std::error_code e;
  for (std::filesystem::directory_iterator at{home + "/work", e}, end; !e && at != end; at.increment(e))
    if (auto name = at->path().filename().string(); is_task_id(name))
      found.push_back(std::move(name));
  if (found.empty())
    return;
  // The end is in the store before its process has deleted anything: as long as that lives it is at it.
  for (auto& r : rows())
    if (!r.outcome.empty() && !r.live && is_gone(r.owner) && std::find(found.begin(), found.end(), r.task) != found.end())
      snapshots::remove_tree(home + "/work/" + r.task); // what cannot be deleted is left for rm, which tells why
}

} // namespace conclave
