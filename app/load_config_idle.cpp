// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys of workspaces that do nothing where they stand: each is told with the reason, and with what to do about it.

#include "app/load_config_parts.hpp"
#include "protocols/text.hpp"
#include "protocols/workspace_tools.hpp"

#include <algorithm>
#include <string_view>

namespace conclave::loader {

namespace {

const entry* given(const tree& map, std::string_view key) {
  auto i = std::find_if(map.items.begin(), map.items.end(), [&](auto& e) { return e.key == key; });
  return map.kind != tree::map || i == map.items.end() || i->value->kind == tree::null ? nullptr : &*i;
}

/// Whether a value asks for something else than what holds without its key.
bool asks(const tree& value, std::string_view fallback) {
  if (value.kind != tree::scalar)
    return !value.items.empty();
  bool flag = false;
  auto word = to_flag(value, flag) ? std::string{flag ? "true" : "false"} : lower(value.text);
  return !word.empty() && word != fallback;
}

struct idle_key {
  const char* name;
  std::string_view fallback;
};

using idle_keys = std::vector<idle_key>;

/// Warns of each of the keys that is there and asks for something.
void tell_given(const tree& map, const std::string& path, const idle_keys& keys, const std::string& why, report& to) {
  for (const auto& k : keys)
    if (const auto* e = given(map, k.name); e != nullptr && asks(*e->value, k.fallback))
      to.warning(e->at, path + "." + k.name, why);
}

bool has_workspace(const agent_config& a) {
  return !a.backend.workspace.cwd.empty();
}

idle_keys of_commands() {
  return {{"command_line_allowed_commands", ""},
          {"command_line_whitelist_patterns", ""},
          {"command_line_blocked_commands", ""},
          {"command_line_blacklist_patterns", ""},
          {"command_env", ""}};
}

idle_keys of_sandbox() {
  return {{"mode", "required"}, {"network", "none"}, {"readable", ""}};
}

/// Of a `sandbox` what has no effect, for want of commands or of anything that it confines.
void tell_idle_sandbox(const tree& sandbox, const std::string& path, bool commands, bool confines, report& to) {
  if (!confines)
    tell_given(sandbox, path, of_sandbox(),
               "has no effect: nothing runs in the sandbox, neither commands (`enable_mcp_command_line: true`) nor tool servers of "
               "yours; give the agent commands, or leave this out",
               to);
  else if (!commands)
    tell_given(sandbox, path, {{"network", "none"}},
               "has no effect: it is for commands, which need `enable_mcp_command_line: true`; tool servers have the network", to);
}

} // namespace

void tell_idle_keys(const tree& backend, const std::string& path, const backend_config& b, report& to) {
  const auto& w = b.workspace;
  const auto* sandbox = given(backend, "sandbox");
  if (w.cwd.empty()) {
    const std::string why = "has no effect: without `cwd` the agent has no workspace; give it one (`cwd: work`), or leave this out";
    if (const auto* cwd = given(backend, "cwd"); cwd != nullptr && cwd->value->kind == tree::scalar)
      to.warning(cwd->at, path + ".cwd", "is empty, so the agent has no workspace: name one (`cwd: work`), or leave the key out");
    tell_given(backend, path,
               {{"context_paths", "false"},
                {"context_write_access_enabled", "false"},
                {"enforce_read_before_delete", "true"},
                {"allow_secret_files", "false"},
                {"write_mode", "auto"},
                {"drift_conflict_policy", "fail"},
                {"exclude_file_operation_mcps", "false"}},
               why, to);
    tell_given(backend, path, of_commands(), why, to);
    if (sandbox != nullptr)
      tell_given(*sandbox->value, path + ".sandbox", of_sandbox(), why, to);
    return;
  }
  if (!w.commands) {
    tell_given(backend, path, of_commands(),
               "has no effect: the agent runs no commands; give it `enable_mcp_command_line: true`, or leave this out", to);
    tell_given(backend, path, {{"exclude_file_operation_mcps", "false"}},
               "leaves the agent nothing to work on files with: give it `enable_mcp_command_line: true`, or leave this out", to);
  }
  if (sandbox != nullptr)
    tell_idle_sandbox(*sandbox->value, path + ".sandbox", w.commands, needs_sandbox(b), to);
}

void tell_idle_keys(const section& top, const run_config& c) {
  auto any = [&](auto&& of) { return std::any_of(c.agents.begin(), c.agents.end(), of); };
  if (const auto* sandbox = top.map("sandbox"))
    tell_idle_sandbox(*sandbox, "sandbox", any([](auto& a) { return has_workspace(a) && a.backend.workspace.commands; }),
                      any([](auto& a) { return needs_sandbox(a.backend); }), top.to());
  const auto* orchestrator = top.map("orchestrator");
  if (orchestrator == nullptr || any(has_workspace))
    return;
  const std::string why = "has no effect: no agent has a workspace; give backends `cwd`, or leave this out";
  const idle_keys shared = {{"context_paths", "false"}, {"write_mode", "auto"}, {"drift_conflict_policy", "fail"}};
  tell_given(*orchestrator, "orchestrator", shared, why, top.to());
  if (const auto* coordination = given(*orchestrator, "coordination"))
    tell_given(*coordination->value, "orchestrator.coordination", shared, why, top.to());
}

void read_file_tools(const section& backend, backend_config& out) {
  bool excluded = false;
  if (!backend.read("exclude_file_operation_mcps", excluded) || !excluded || out.workspace.cwd.empty())
    return;
  for (const auto& row : workspace_tools::table()) {
    auto own = std::any_of(out.mcp_servers.begin(), out.mcp_servers.end(), [&](auto& s) { return s.name == row.server; });
    auto name = workspace_tools::public_name(row);
    if (row.server != "command_line" && !own
        && std::find(out.exclude_tools.begin(), out.exclude_tools.end(), name) == out.exclude_tools.end())
      out.exclude_tools.push_back(std::move(name));
  }
}

} // namespace conclave::loader
