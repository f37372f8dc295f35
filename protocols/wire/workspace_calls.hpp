// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The calls of protocols/workspace_tools.hpp from JSON, and their results as JSON. Strict: an argument that is unknown, given
/// twice or of another type is a denial with a text for the model, nothing is guessed. Pure.
///
///   auto d = wire::decode_workspace_call("write_file", R"({"path":"a.txt","content":"x"})");
///   if (auto* fault = std::get_if<workspace_tools::tool_fault>(&d)) ...

#include "protocols/workspace_tools.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace conclave::wire {

/// Reads the arguments of the tool `name` (its own name, without "mcp__...__"; blank arguments are `{}`). Faults: tool (no such
/// name), size (more than the bounds of workspace_tools.hpp), args (anything else).
std::variant<workspace_tools::call, workspace_tools::tool_fault> decode_workspace_call(std::string_view name,
                                                                                       std::string_view arguments);

// One JSON object each, invalid UTF-8 replaced: {"success":true,"operation":...,"details":...,"summary":...}.
std::string to_json(const workspace_tools::copy_file& c, const workspace_tools::copy_result& r);
std::string to_json(const workspace_tools::delete_file& c, const workspace_tools::delete_result& r);
std::string to_json(const workspace_tools::copy_files_batch& c, const workspace_tools::batch_result& r);
std::string to_json(const workspace_tools::delete_files_batch& c, const workspace_tools::batch_result& r);
std::string to_json(const workspace_tools::deliver_files& c, const workspace_tools::batch_result& r);
std::string to_json(const workspace_tools::compare_directories& c, const workspace_tools::compare_directories_result& r);
std::string to_json(const workspace_tools::compare_files& c, const workspace_tools::compare_files_result& r);
std::string to_json(const workspace_tools::command_result& r);
std::string to_json(const workspace_tools::job_started& r);
std::string to_json(const workspace_tools::job_output& r);
std::string to_json(const workspace_tools::job_killed& r);

/// The result of directory_tree: a list of what is in the folder; `note` = where a bound was reached, is then its last entry.
std::string to_json(const std::vector<workspace_tools::tree_node>& top, const std::string& note);

/// A failure of a tool of `workspace_tools`: {"success":false,"operation":...,"error":...,"code":"E_..."}.
std::string failure_json(std::string_view operation, const workspace_tools::tool_fault& fault);

/// Returns the paths that a result of copy_file, delete_file, copy_files_batch, delete_files_batch or deliver_files says it
/// changed, as the tool named them; none of a text that is no such result.
std::vector<std::string> paths_changed(const std::string& result);

/// A command that was not run: exit_code -1, nothing on stdout, the reason on stderr, no time.
std::string refused_command_json(const std::string& command, const std::string& work_dir, const workspace_tools::tool_fault& fault);

} // namespace conclave::wire
