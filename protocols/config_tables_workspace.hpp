// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The rows of workspaces: see protocols/config_rows.hpp. Part of protocols/config_tables.hpp.

#include "protocols/config_rows.hpp"

namespace conclave::config_rows {

template <>
inline constexpr auto scope_of<context_path> = key_scope::context_path;
template <>
inline constexpr auto scope_of<workspace_config> = key_scope::backend;

template <>
inline constexpr auto table<context_path> = [] {
  using enum key_type;
  using x = context_path;
  return std::make_tuple(
      field(&x::path, "path", text, "file or folder; relative to where conclave is started"),
      field(&x::write, "permission", text,
            "`read`, or `write`: the presenter gets a copy to change, and `conclave apply` writes the changes back")
          .read_by_hand()
          .shown_as("read")
          .stored_as("write"),
      field(&x::protected_paths, "protected_paths", texts, "never changed: paths below it, or patterns as in .gitignore"),
      inner(&x::git, "git"));
}();

template <>
inline constexpr auto table<workspace_config> = [] {
  using enum key_type;
  using x = workspace_config;
  const auto s = key_scope::sandbox;
  return std::make_tuple(
      field(&x::cwd, "cwd", text,
            "gives the agent a workspace of its own, file tools and, if wanted, commands; the folder itself is made for each task"),
      field(&x::context, "context_paths", any, "files and folders of this agent, beside those of `orchestrator`").read_by_hand(),
      field(&x::write_from_start, "context_write_access_enabled", flag,
            "agents have copies of the folders with `permission: write` from their first run on; they go with answers"),
      field(&x::commands, "enable_mcp_command_line", flag, "a tool that runs commands, confined by the sandbox"),
      field(&x::command_mode, "command_line_execution_mode", choice, "local sandbox docker",
            "`local` and `sandbox` mean the same; `docker` is not available yet")
          .read_by_hand()
          .shown_as("sandbox"),
      field(&x::allowed_commands, "command_line_allowed_commands", texts,
            "patterns (RE2) of the only commands that are run; each must match a simple command as a whole, with and without what "
            "is assigned in front of it"),
      field(&x::blocked_commands, "command_line_blocked_commands", texts, "patterns (RE2) of commands that are refused"),
      field(&x::command_env, "command_env", text_map, "further variables of commands; `${NAME}` is expanded"),
      field(&x::read_before_delete, "enforce_read_before_delete", flag,
            "files are deleted or overwritten only by who has read or made them"),
      field(&x::allow_secret_files, "allow_secret_files", flag,
            "keys and the like below `context_paths` may be read (`.env`, `*.pem`)"),
      field(&x::sandbox, "mode", choice, "required auto off",
            "`required`: commands run confined by the kernel or not at all; `auto`: where the kernel cannot, unconfined, which is "
            "announced; `off`: unconfined")
          .in(s)
          .stored_as("sandbox"),
      field(&x::network, "network", choice, "none full", "what commands reach").in(s),
      field(&x::readable, "readable", texts,
            "further folders that commands and tool servers may read, a toolchain outside of /usr for instance")
          .in(s),
      field(&x::write_mode, "write_mode", choice, "auto worktree isolated legacy",
            "how folders with `permission: write` are changed: `auto` and `worktree`, in a private checkout for each agent "
            "if it is a git repository, else in a copy for the presenter; `isolated`, always in the copy; `legacy`, by the "
            "presenter in the folder itself, which nothing takes back"),
      field(&x::on_drift, "drift_conflict_policy", choice, "fail skip prefer_presenter",
            "of who presents: what `apply` does where you changed a file since the agents got their copy, if `--on-drift` does not "
            "say: `fail` writes nothing, `skip` keeps yours, `prefer_presenter` replaces it"));
}();

template <>
inline constexpr auto again<workspace_config> = [] {
  using enum key_type;
  using x = workspace_config;
  return std::make_tuple(
      field(&x::allowed_commands, "command_line_whitelist_patterns", texts, "another spelling of `command_line_allowed_commands`"),
      field(&x::blocked_commands, "command_line_blacklist_patterns", texts,
            "another spelling of `command_line_blocked_commands`; both lists count"));
}();

} // namespace conclave::config_rows
