// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/placement.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <future>
#include <map>
#include <utility>

namespace conclave {

std::vector<placed_agent> place(const run_config& config, const node_actor& local, const node_finder& find) {
  // Side by side: a host that does not answer takes its 3 s, and must not delay the others. Nodes without an agent are left alone.
  using found = std::pair<node_actor, std::string>;
  std::map<std::string, std::future<found>> joining;
  for (auto& [name, address] : config.cluster.nodes) {
    auto used = std::any_of(config.agents.begin(), config.agents.end(), [&, n = name](const auto& a) { return a.node == n; });
    if (used)
      joining.emplace(name, std::async(std::launch::async, [&find, at = address] {
                        found f;
                        if (find)
                          f.first = find(at, f.second);
                        if (!f.first && f.second.empty())
                          f.second = "this engine has no cluster link";
                        return f;
                      }));
  }
  std::map<std::string, found> nodes;
  for (auto& [name, result] : joining)
    nodes[name] = result.get();
  std::vector<placed_agent> out;
  for (auto& a : config.agents) {
    placed_agent p{a, local, "local", ""};
    if (!a.node.empty()) {
      auto& [node, error] = nodes[a.node];
      p.node = node;
      p.node_name = a.node;
      p.reason = error;
    }
    out.push_back(std::move(p));
  }
  return out;
}

} // namespace conclave
