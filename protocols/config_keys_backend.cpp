// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Keys of a backend. `parameter` is sent to the provider, everything else is ours.

#include "protocols/config_keys.hpp"

namespace conclave::unbound_keys {

namespace {

using type = key_type;
using status = key_status;

key_info row(const char* name, type t, const char* fallback, const char* help, const char* only = "", status st = status::live) {
  return {key_scope::backend, name, t, st, 0, 0, "", fallback, only, help};
}

key_info range(const char* name, type t, double low, double high, const char* fallback, const char* help, const char* only = "") {
  return {key_scope::backend, name, t, status::live, low, high, "", fallback, only, help};
}

key_info pick(const char* name, const char* choices, const char* fallback, const char* help, const char* only = "",
              status st = status::live) {
  return {key_scope::backend, name, type::choice, st, 0, 0, choices, fallback, only, help};
}

key_info param(const char* name, type t, const char* help = "") {
  return {key_scope::backend, name, t, status::parameter, 0, 0, "", "", "", help};
}

key_info later(const char* name, type t, const char* fallback, const char* help, const char* only = "") {
  return row(name, t, fallback, help, only, status::later);
}

key_info ours(const char* name, const char* help) {
  return row(name, type::any, "", help, "", status::reserved);
}

void connection(std::vector<key_info>& out) {
  out.insert(out.end(),
             {
                 range("port", type::integer, 1, 65535, "", "port of the server on this machine", "lmstudio vllm sglang ollama"),
                 row("rate_limits", type::map, "", "of the key, shared by all agents that use it: the strictest counts"),
                 row("enable_thinking", type::flag, "", "another spelling of `chat_template_kwargs.enable_thinking`",
                     "vllm sglang lmstudio ollama"),
             });
}

void parameters(std::vector<key_info>& out) {
  out.insert(out.end(),
             {
                 param("temperature", type::number, "randomness"),
                 param("top_p", type::number, "nucleus sampling"),
                 param("top_k", type::integer, "sampling from the k likeliest"),
                 param("min_p", type::number, "sampling floor"),
                 param("seed", type::integer, "repeatable sampling, where supported"),
                 param("stop", type::any, "texts that end the reply"),
                 param("stop_sequences", type::any, "texts that end the reply"),
                 param("presence_penalty", type::number),
                 param("frequency_penalty", type::number),
                 param("repetition_penalty", type::number),
                 param("repeat_penalty", type::number),
                 param("logit_bias", type::map),
                 param("reasoning", type::map, "effort and summary"),
                 param("reasoning_effort", type::text),
                 param("verbosity", type::text),
                 param("text", type::map, "verbosity"),
                 param("thinking", type::map, "extended thinking; `max_tokens` is raised above its budget where it is not"),
                 param("chat_template_kwargs", type::map, "variables of the chat template"),
                 {key_scope::backend, "separate_reasoning", type::flag, status::parameter, 0, 0, "", "", "sglang", ""},
                 param("response_format", type::map),
                 param("tool_choice", type::any),
                 param("service_tier", type::text),
                 param("metadata", type::map),
                 param("user", type::text),
                 param("max_completion_tokens", type::integer, "for models that refuse `max_tokens`"),
                 param("search_parameters", type::map),
                 param("prompt_cache_key", type::text, "default: one per task and agent, where the provider takes it"),
                 param("cache_control", type::map, "Anthropic: `type` and `ttl` of what is kept for the next request"),
                 param("cache_prompt", type::flag),
                 param("safety_settings", type::any, "Gemini: a list, or a map of category to threshold"),
                 param("thinking_config", type::map, "Gemini: `include_thoughts`, `thinking_budget` or `thinking_level`"),
                 param("generation_config", type::map, "Gemini: parameters in its own form"),
                 param("tool_config", type::map, "Gemini"),
                 param("response_mime_type", type::text, "Gemini"),
                 param("response_schema", type::map, "Gemini"),
                 param("response_json_schema", type::map, "Gemini"),
                 param("cached_content", type::text, "Gemini: name of a kept prompt"),
                 param("max_tool_calls", type::integer, "Responses API: most uses of the provider's own tools in one reply"),
             });
  out.insert(out.end(), {
                            ours("stream", "replies are always streamed"),
                            ours("stream_options", "usage is always asked for"),
                            ours("messages", "made from the task"),
                            ours("input", "made from the task; of `cli`: how the program gets the prompt"),
                            ours("tools", "made from the task; see `mcp_servers`"),
                            ours("n", "one reply is read"),
                            ours("candidate_count", "one reply is read"),
                            ours("agent_id", "see `id` of the agent"),
                            ours("session_id", "made by the engine"),
                            ours("failover", "stands beside `backend`, not in it"),
                        });
}

void not_yet(std::vector<key_info>& out) {
  out.insert(
      out.end(),
      {
          row("sandbox", type::map, "", "how commands are confined; also at top level, for all agents"),
          row("agent_temporary_workspace", type::text, "", "see `orchestrator`", "", status::cosmetic),
          later("enable_file_search", type::flag, "false", "the provider's file search"),
          later("enable_image_generation", type::flag, "false", "image tools"),
          later("enable_audio_generation", type::flag, "false", "audio tools"),
          later("enable_video_generation", type::flag, "false", "video tools"),
          row("audio_voice", type::text, "", "default of the audio tools", "", status::cosmetic),
          row("audio_format", type::text, "", "default of the audio tools", "", status::cosmetic),
          row("speaking_instructions", type::text, "", "default of the audio tools", "", status::cosmetic),
          row("video_duration", type::number, "", "default of the video tools", "", status::cosmetic),
          row("command_line_docker_image", type::text, "", "container image", "", status::cosmetic),
          row("command_line_docker_memory_limit", type::text, "", "memory of the container", "", status::cosmetic),
          row("command_line_docker_cpu_limit", type::number, "", "processors of the container", "", status::cosmetic),
          pick("command_line_docker_network_mode", "none bridge host", "none", "network of the container", "", status::cosmetic),
          row("circuit_breaker_enabled", type::flag, "true", "breakers of tool servers are always on", "", status::cosmetic),
          row("llm_circuit_breaker_retryable_status_codes", type::any, "", "408, 409, 429 and every 5xx are tried again", "",
              status::cosmetic),
          later("custom_tools", type::any, "", "tools in Python"),
          later("hooks", type::any, "", "programs called around tool calls"),
          later("voting_sensitivity", type::text, "", "how demanding this agent is as a voter"),
          later("system_prompt", type::text, "", "replaces the preset", "claude_code"),
          later("append_system_prompt", type::text, "", "added to the preset", "claude_code"),
          later("permission_mode", type::text, "", "what needs no question", "claude_code"),
          later("disallowed_tools", type::texts, "", "tools never used", "claude_code"),
          later("max_thinking_tokens", type::integer, "", "budget of thinking", "claude_code"),
          later("command", type::any, "", "program and arguments, as text or list; run without a shell", "cli"),
          pick("output", "text json ndjson", "text", "what the program prints", "cli", status::later),
          later("json_path", type::text, "", "where the answer stands in what the program prints", "cli"),
          later("env", type::text_map, "", "variables of the program", "cli"),
          later("agent_config", type::map, "", "the framework's agent", "ag2 autogen"),
          later("group_config", type::map, "", "the framework's group", "ag2 autogen"),
      });
}

} // namespace

std::vector<key_info> backend() {
  std::vector<key_info> out;
  connection(out);
  parameters(out);
  not_yet(out);
  return out;
}

} // namespace conclave::unbound_keys
