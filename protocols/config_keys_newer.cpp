// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys that MassGen releases after 0.1.0 take in a backend and keep to themselves. Source: the keys their base class of parameter
// handlers excludes from every request (massgen/api_params_handler/_api_params_handler_base.py, get_base_excluded_params()); each
// of these stands in a stored copy of it, read 2026-11-26. None is a provider's, so none is ever sent.

#include "protocols/config_keys.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace conclave {

namespace unbound_keys {

namespace {

using type = key_type;
using status = key_status;

/// Without it the run does something else than the file says.
key_info later(const char* name, const char* help) {
  return {key_scope::backend, name, type::any, status::later, 0, 0, "", "false", "", help};
}

/// The run is the same without it, because what it tunes or leaves out is not there.
key_info idle(const char* name, const char* help) {
  return {key_scope::backend, name, type::any, status::cosmetic, 0, 0, "", "false", "", help};
}

// Tables: rows of one kind look alike, and each says something else.

void tools_and_files(std::vector<key_info>& out) {
  out.insert(out.end(), {
                            {key_scope::backend, "exclude_file_operation_mcps", type::flag, status::live, 0, 0, "", "false", "",
                             "leaves out the built-in tools for files (`filesystem`, `workspace_tools`): commands are to do it"},
                            idle("use_mcpwrapped_for_tool_filtering", "`exclude_tools` is enough"),
                            idle("use_no_roots_wrapper", "the built-in file servers have fixed folders"),
                            idle("agent_temporary_workspace_parent", "see `orchestrator`"),
                            later("use_two_tier_workspace", "two folders per agent"),
                            later("enable_code_based_tools", "tools as code in the workspace"),
                            later("custom_tools_path", "tools in Python"),
                            later("auto_discover_custom_tools", "tools in Python"),
                            idle("exclude_custom_tools", "tools in Python"),
                            idle("direct_mcp_servers", "all tools are offered directly"),
                            later("shared_tools_directory", "folder of tools"),
                            later("enable_multimodal_tools", "tools for images, audio and video"),
                            idle("multimodal_config", "tools for images, audio and video"),
                            later("enable_file_generation", "tools that make files"),
                            idle("image_generation_backend", "image tools"),
                            idle("image_generation_model", "image tools"),
                            idle("audio_generation_backend", "audio tools"),
                            idle("audio_generation_model", "audio tools"),
                            idle("video_generation_backend", "video tools"),
                            idle("video_generation_model", "video tools"),
                            idle("command_line_docker_enable_sudo", "see `enable_mcp_command_line`"),
                            idle("command_line_docker_credentials", "see `enable_mcp_command_line`"),
                            idle("command_line_docker_packages", "see `enable_mcp_command_line`"),
                        });
}

void coordination(std::vector<key_info>& out) {
  out.insert(out.end(), {
                            later("vote_only", "an agent that only votes"),
                            later("voting_threshold", "strictness of the checklist"),
                            later("subtask", "this agent's part of a divided task"),
                            later("coordination_mode", "see `orchestrator`"),
                            later("presenter_agent", "see `orchestrator`"),
                            later("final_answer_strategy", "of one agent; see `orchestrator`"),
                            later("main_agent", "the agent that leads"),
                            later("fairness_enabled", "see `orchestrator`"),
                            idle("fairness_lead_cap_answers", "see `orchestrator`"),
                            idle("max_midstream_injections_per_round", "see `orchestrator`"),
                            later("defer_peer_updates_until_restart", "see `orchestrator`"),
                            idle("allow_midstream_peer_updates_before_checklist_submit", "see `orchestrator`"),
                            idle("max_checklist_calls_per_round", "checklists"),
                            later("checklist_first_answer", "checklists"),
                            later("checklist_require_gap_report", "checklists"),
                            idle("gap_report_mode", "checklists"),
                            later("improvements", "checklists"),
                            later("novelty_injection", "pressure for new ideas"),
                            later("enable_quality_rethink_on_iteration", "tasks added between rounds"),
                            later("enable_novelty_on_iteration", "tasks added between rounds"),
                            later("enable_execution_trace_analyzer", "tasks added between rounds"),
                            later("learning_capture_mode", "memory"),
                            idle("disable_final_only_round_capture_fallback", "memory"),
                            later("subagent_types", "runs within runs"),
                            later("checkpoint_enabled", "checkpoints"),
                            idle("checkpoint_mode", "checkpoints"),
                            idle("checkpoint_guidance", "checkpoints"),
                            idle("checkpoint_gated_patterns", "checkpoints"),
                            idle("plan_depth", "planning"),
                            idle("plan_thoroughness", "planning"),
                            idle("plan_target_steps", "planning"),
                            idle("plan_target_chunks", "planning"),
                        });
}

} // namespace

std::vector<key_info> newer() {
  std::vector<key_info> out;
  tools_and_files(out);
  coordination(out);
  out.insert(out.end(), {
                            idle("session_storage_base", "sessions"),
                            idle("filesystem_session_id", "sessions"),
                            idle("instance_id", "made by the engine"),
                            idle("enable_rate_limit", "a server's limits are waited for"),
                            later("enable_nlip", "routing of messages in natural language"),
                            idle("nlip", "see `enable_nlip`"),
                            idle("nlip_config", "see `enable_nlip`"),
                            later("websocket_mode", "the Responses API over WebSocket"),
                            idle("debug_delay_seconds", "for tests of MassGen"),
                            idle("debug_delay_after_n_tools", "for tests of MassGen"),
                        });
  return out;
}

} // namespace unbound_keys

bool is_clients_own(const std::string& name) {
  static constexpr std::array<std::string_view, 6> families = {
      "command_line_", "standalone_checkpoint_", "round_evaluator_", "orchestrator_", "massgen_", "_"};
  return std::any_of(families.begin(), families.end(), [&](std::string_view f) { return name.starts_with(f); });
}

} // namespace conclave
