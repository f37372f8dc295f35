// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_in_place.hpp"

#include "app/plain_text.hpp"
#include "app/task_tools.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/path_text.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/event_store.hpp"

#include <algorithm>
#include <set>
#include <utility>
#include <variant>

namespace conclave {

namespace {

using path_policy::access;

/// Which run presents first; what its agent calls from then on belongs to the presentation, also once it was gone on with.
std::uint64_t first_run(const std::vector<event>& log) {
  auto i = std::find_if(log.begin(), log.end(), [](auto& e) { return e.type == event_type::presentation_started; });
  return i == log.end() ? 0 : i->run;
}

/// Whether a call that ended so may have changed something.
bool may_have_written(const std::string& status, bool is_batch) {
  return !status.starts_with("denied:") && (is_batch || status != "error");
}

/// The paths of one call of a file tool of ours that it changed, as the model or the tool wrote them.
std::vector<std::string> changed_by(const tool_use& x, const workspace_tools::tool_row& row) {
  auto named = wire::paths_changed(x.result.text);
  if (!may_have_written(x.status, !named.empty()))
    return {};
  if (row.server == "workspace_tools" && x.status == "finished")
    return named;
  std::vector<std::string> out;
  auto call = wire::decode_workspace_call(row.name, x.arguments);
  if (auto* c = std::get_if<workspace_tools::call>(&call))
    for (auto& use : workspace_tools::uses(*c))
      if (use.what == access::create || use.what == access::modify || use.what == access::remove)
        out.push_back(use.path);
  return out;
}

const workspace_tools::tool_row* row_of(const std::string& public_name) {
  for (auto& row : workspace_tools::table())
    if (workspace_tools::public_name(row) == public_name)
      return &row;
  return nullptr;
}

} // namespace

in_place_writes in_place_of(const opening& o, const std::vector<event>& log) {
  in_place_writes out;
  auto i = std::find_if(log.begin(), log.end(), [](auto& e) { return e.type == event_type::presentation_started; });
  if (i == log.end())
    return out;
  for (auto& a : o.agents)
    if (a.id == i->agent)
      for (auto& c : a.backend.workspace.context)
        if (workspace_paths::written_in_place(a.backend.workspace, c))
          out.folders.push_back(c.path);
  if (!out.folders.empty())
    out.agent = i->agent;
  return out;
}

in_place_writes in_place_of(event_store& store, const std::string& task, const std::string& home) {
  std::string error, why;
  std::vector<event> log;
  opening o;
  for (auto& stored : store.read(task, 0, error))
    if (event e; wire::from_json(stored.json, e)) {
      if (e.type == event_type::task_opened && !from_json(e.detail, o, why))
        return {};
      log.push_back(std::move(e));
    }
  auto out = in_place_of(o, log);
  if (out.agent.empty())
    return out;
  std::uint32_t number = 0;
  bool replaced[3] = {};
  constexpr const char* servers[] = {"filesystem", "workspace_tools", "command_line"};
  for (std::size_t i = 0; i < o.agents.size(); ++i)
    if (o.agents[i].id == out.agent) {
      number = static_cast<std::uint32_t>(i + 1);
      for (auto& s : o.agents[i].backend.mcp_servers)
        for (std::size_t n = 0; n < 3; ++n)
          replaced[n] = replaced[n] || s.name == servers[n];
    }
  auto ours = [&](const workspace_tools::tool_row& row) {
    for (std::size_t n = 0; n < 3; ++n)
      if (row.server == servers[n])
        return !replaced[n];
    return false;
  };
  auto work = workspace_paths::work(home + "/work/" + task + "/" + workspace_paths::place_name(task, o.seed, number));
  std::set<std::string> paths;
  auto since = first_run(log);
  for (auto& x : tools_of(store, task).calls) {
    if (x.agent != out.agent || x.run < since || x.effect == call_effect::none || x.status.starts_with("denied:"))
      continue;
    auto* row = row_of(x.tool);
    if (row == nullptr || !ours(*row)) {
      ++out.others;
      continue;
    }
    if (row->server == "command_line") {
      out.commands += row->executes ? 1 : 0;
      continue;
    }
    for (auto& given : changed_by(x, *row)) {
      std::string path;
      auto in_one = [&path](const std::string& folder) { return path_policy::is_within(path, folder); };
      if (path_policy::absolute(work, given, path).ok() && std::any_of(out.folders.begin(), out.folders.end(), in_one))
        paths.insert(path);
    }
  }
  out.paths.assign(paths.begin(), paths.end());
  return out;
}

std::string in_place_text(const in_place_writes& w, std::size_t named) {
  if (w.agent.empty())
    return {};
  std::string folders, paths;
  for (auto& f : w.folders)
    folders += (folders.empty() ? "" : ", ") + path_policy::shown(f, 4'096);
  auto one = w.folders.size() == 1;
  for (std::size_t i = 0; i < w.paths.size() && i < named; ++i)
    paths += (i == 0 ? "" : ", ")
             + path_policy::shown(one && w.paths[i].size() > w.folders[0].size() ? w.paths[i].substr(w.folders[0].size() + 1)
                                                                                 : w.paths[i]);
  if (w.paths.size() > named)
    paths += named == 0 ? count_of(w.paths.size(), "path") : " and " + std::to_string(w.paths.size() - named) + " more";
  auto who = "agent '" + shown_text(w.agent, 80) + "', who presented, ";
  if (w.paths.empty() && w.commands + w.others == 0)
    return who + "could write in " + folders + " itself (write_mode: legacy), and called no tool that does";
  auto out = who + (w.paths.empty() ? "could write in " : "wrote in ") + folders + " itself (write_mode: legacy)";
  if (!w.paths.empty())
    out += ": " + paths;
  auto more = [&](std::size_t n, const char* noun, const char* of) {
    if (n > 0)
      out += "; " + count_of(n, noun) + of + " may have written there" + (w.paths.empty() ? "" : ", too");
  };
  more(w.commands, "command", " of it");
  more(w.others, "call", " of other tools");
  return out + "; nothing takes that back";
}

} // namespace conclave
