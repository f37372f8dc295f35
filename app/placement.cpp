// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/placement.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

namespace conclave {

std::vector<placed_agent> place_agents(const run_config& config, const node_actor& local, const node_finder& find, outside& from) {
  // Side by side: a host that does not answer takes its 3 s, and must not delay the others. Nodes without an agent are left alone.
  struct found {
    node_actor node;
    std::string error;
    std::unique_ptr<host_thread> thread;
  };
  std::map<std::string, found> nodes;
  for (auto& [name, address] : config.cluster.nodes) {
    auto used = std::any_of(config.agents.begin(), config.agents.end(), [&, n = name](const auto& a) { return a.node == n; });
    if (!used)
      continue;
    auto& to = nodes[name];
    auto join = [&find, &to, at = address] {
      if (find)
        to.node = find(at, to.error);
      if (!to.node && to.error.empty())
        to.error = "this engine has no cluster link";
    };
    to.thread = from.start_thread("join node", join);
    if (!to.thread)
      join(); // one after another, then
  }
  for (auto& [name, to] : nodes)
    if (to.thread)
      to.thread->join();
  std::vector<placed_agent> out;
  for (auto& a : config.agents) {
    placed_agent p{a, local, "local", ""};
    if (!a.node.empty()) {
      auto& to = nodes[a.node];
      p.node = to.node;
      p.node_name = a.node;
      p.reason = to.error;
    }
    out.push_back(std::move(p));
  }
  return out;
}

} // namespace conclave
