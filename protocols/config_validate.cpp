// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// validate(): what can be judged from the data alone. The loader and embedding hosts get the same checks.

#include "protocols/config_validate.hpp"

#include "protocols/config.hpp"
#include "protocols/config_tables.hpp"
#include "protocols/config_url.hpp"
#include "protocols/invisible.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/hosted_tools.hpp"
#include "protocols/workspace_paths.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <tuple>

namespace conclave {

void validate_backend(const backend_config& b, const std::string& path, bool remote, std::vector<problem>& out);

namespace {

void add(std::vector<problem>& out, std::string path, std::string text, severity s = severity::error) {
  out.push_back({s, "", 0, std::move(path), std::move(text)});
}

/// Also those beyond ASCII: C1, and the bidirectional ones, by which two ids could look alike.
bool has_control(const std::string& text) {
  return text.find_first_of("\n\t") != std::string::npos || for_terminal(text) != text;
}

/// Ids name files and directories and stand in terminals.
std::string vet_id(const std::string& id) {
  if (id.find_first_not_of(" \t") == std::string::npos)
    return "an agent's id may not be empty";
  if (id.size() > 64)
    return "an agent's id has at most 64 bytes";
  if (auto c = hidden_character(id); c != 0) {
    char name[16];
    std::snprintf(name, sizeof name, "U+%04X", static_cast<unsigned>(c));
    return "an agent's id may not hold characters that nobody sees (" + std::string(name) + "): two ids could look alike";
  }
  if (has_control(id))
    return "an agent's id may not hold control characters";
  if (id.find_first_of("/\\") != std::string::npos || id == "." || id == "..")
    return "'" + shown_text(id) + "' cannot be an agent's id: ids name files; leave out '/', '\\' and dots alone";
  if (id.front() == ' ' || id.back() == ' ')
    return "'" + shown_text(id) + "' begins or ends with a blank";
  return "";
}

std::string vet_node_name(const std::string& name) {
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), good))
    return "'" + shown_text(name) + "' cannot be a node's name: 1 to 64 letters, digits, '_', '-', '.'";
  return "";
}

void check_budget(const budget& b, const std::string& path, std::vector<problem>& out) {
  config_rows::check(b, path, out);
  if (!b.limits() && !(b == budget{}))
    out.push_back({severity::warning, "", 0, path, "limits nothing: it says neither `tokens` nor `usd`"});
}

void check_failover(const agent_config& a, const std::string& path, std::vector<problem>& out) {
  constexpr std::size_t most = 8;
  if (a.failover.size() > most)
    add(out, path + ".failover", std::to_string(a.failover.size()) + " backends; at most " + std::to_string(most));
  for (std::size_t i = 0; i < a.failover.size(); ++i) {
    const auto& b = a.failover[i];
    auto at = path + ".failover[" + std::to_string(i) + "]";
    validate_backend(b, at, !a.node.empty(), out);
    if (b.type == "scripted")
      add(out, at + ".type", "a script cannot take over from a backend: its steps are those of a whole task");
    if (!b.upload_files.empty())
      add(out, at + ".upload_files", "the files of an agent stand in its `backend`, whichever model looks at them");
    if (!b.mcp_servers.empty())
      add(out, at + ".mcp_servers", "the tools of an agent stand in its `backend`, whichever model calls them");
  }
}

void check_agents(const run_config& c, bool amends, std::vector<problem>& out) {
  if (c.agents.empty() && !amends)
    add(out, "agents", "no agents: add at least one");
  if (c.agents.size() > 64)
    add(out, "agents", std::to_string(c.agents.size()) + " agents; at most 64");
  std::map<std::string, std::size_t> seen;
  for (std::size_t i = 0; i < c.agents.size(); ++i) {
    const auto& a = c.agents[i];
    auto path = "agents[" + std::to_string(i) + "]";
    if (auto text = vet_id(a.id); !text.empty())
      add(out, path + ".id", text);
    if (auto [it, fresh] = seen.emplace(a.id, i); !fresh)
      add(out, path + ".id",
          "'" + shown_text(a.id) + "' is the id of agents[" + std::to_string(it->second) + "] too; ids must be unique");
    if (!a.node.empty() && !amends) {
      std::vector<std::string> names;
      for (const auto& node : c.cluster.nodes)
        names.push_back(node.first);
      if (std::find(names.begin(), names.end(), a.node) == names.end()) {
        auto near = nearest(a.node, names);
        add(out, path + ".node",
            "'" + shown_text(a.node) + "' is not in cluster.nodes" + (near.empty() ? "" : "; did you mean '" + near + "'?"));
      }
    }
    check_budget(a.budget, path + ".budget", out);
    if (amends)
      continue;
    validate_backend(a.backend, path + ".backend", !a.node.empty(), out);
    check_failover(a, path, out);
    if (a.budget.nano_usd > 0 || c.rules.budget.nano_usd > 0)
      each_backend(a, [&](const backend_config& b, const std::string& which) {
        for (const auto& x : wire::hosted_uses(b).unbounded)
          add(out, path + "." + which + "." + x.key, x.text, severity::warning);
      });
  }
}

void check_cluster(const cluster_config& c, std::vector<problem>& out) {
  if (c.nodes.size() > 256)
    add(out, "cluster.nodes", "more than 256 nodes");
  std::set<std::string> names;
  for (const auto& [name, address] : c.nodes) {
    auto path = "cluster.nodes." + name;
    if (auto text = vet_node_name(name); !text.empty())
      add(out, "cluster.nodes", text);
    if (!names.insert(name).second)
      add(out, path, "two nodes have this name");
    if (!is_host_port(address))
      add(out, path, "'" + shown_text(address) + "' is no address: write host:port, [address]:port for IPv6");
  }
  const auto& t = c.tls;
  if (t.cert.empty() != t.key.empty())
    add(out, "cluster.tls", "cert and key belong together");
  if (t.insecure_loopback && !(t.cert.empty() && t.ca.empty()))
    add(out, "cluster.tls.insecure_loopback", "cannot be combined with certificates");
}

/// Of two copies of the same files each would be proposed, and neither could be written once the other is.
void check_overlaps(const workspace_config& w, const std::string& path, std::vector<problem>& out) {
  for (std::size_t i = 0; i < w.context.size(); ++i) {
    const auto& inner = w.context[i];
    const context_path* around = nullptr; // the nearest: what lies in a folder to be read is not changed through one further up
    for (const auto& x : w.context)
      if (inner.path.starts_with(x.path + "/") && (around == nullptr || x.path.size() > around->path.size()))
        around = &x;
    if (inner.write && around != nullptr && around->write)
      add(out, path + "[" + std::to_string(i) + "]",
          "'" + shown_text(inner.path) + "' lies in '" + shown_text(around->path)
              + "', and both have permission: write; leave out one of them, or let agents only read it");
  }
}

/// Of a team with both, once.
void check_presenter(const run_config& c, std::vector<problem>& out) {
  if (c.rules.strategy != ledger::strategy::winner_reuse || c.rules.skip_coordination)
    return;
  for (std::size_t i = 0; i < c.agents.size(); ++i)
    if (workspace_paths::written_in_place(c.agents[i].backend.workspace))
      return add(
          out, "agents[" + std::to_string(i) + "].backend.write_mode",
          "'legacy' lets who presents write, and with `final_answer_strategy: winner_reuse` nobody presents: agents can only "
          "read the folders; without write_mode they change copies",
          severity::warning);
}

} // namespace

std::vector<problem> validate(const run_config& c, bool amends) {
  std::vector<problem> out;
  check_agents(c, amends, out);
  for (std::size_t i = 0; i < c.agents.size(); ++i)
    check_overlaps(c.agents[i].backend.workspace, "agents[" + std::to_string(i) + "].backend.context_paths", out);
  check_presenter(c, out);
  check_cluster(c.cluster, out);
  config_rows::check(c, "", out);
  config_rows::check(c.rules, "orchestrator", out);
  check_budget(c.rules.budget, "budget", out);
  for (auto& p : out) {
    auto at = place_of(c.places, p.path);
    p.file = at.path == p.path && at.line == 0 ? c.source : at.file;
    p.path = at.path;
    p.line = at.line;
    p.column = at.column;
  }
  // What stands in one place for all agents is wrong once.
  std::set<std::tuple<std::string, int, std::string, std::string>> told;
  std::erase_if(out, [&](const problem& p) { return !told.emplace(p.file, p.line, p.path, p.text).second; });
  return out;
}

place place_of(const place_map& places, const std::string& path) {
  auto at = path;
  auto it = places.find(at);
  while (it == places.end() && !at.empty()) {
    auto cut = at.find_last_of(".[");
    at = cut == std::string::npos ? "" : at.substr(0, cut);
    it = places.find(at);
  }
  if (it == places.end())
    return {"", path, 0, 0};
  auto found = it->second;
  if (found.line > 0) // of an option the name says all
    found.path += path.substr(at.size());
  return found;
}

std::string to_string(const problem& p) {
  std::string result;
  if (!p.file.empty())
    result += shown_text(p.file, 1000) + (p.line > 0 ? ":" + std::to_string(p.line) : "") + ": ";
  if (!p.path.empty())
    result += shown_text(p.path, 200) + ": ";
  return result + p.text;
}

} // namespace conclave
