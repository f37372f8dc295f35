// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The rows of every struct of a configuration: see protocols/config_rows.hpp. To add a key: a member, a row, and its use. Keys
/// that set no member (the provider's, those of other programs) are in protocols/config_keys_*.cpp.

#include "protocols/config_rows.hpp"
#include "protocols/config_tables_workspace.hpp"

namespace conclave::config_rows {

template <>
inline constexpr auto scope_of<agent_config> = key_scope::agent;
template <>
inline constexpr auto scope_of<backend_config> = key_scope::backend;
template <>
inline constexpr auto scope_of<mcp_server_config> = key_scope::mcp_server;
template <>
inline constexpr auto scope_of<tool_policy> = key_scope::tool_policy;
template <>
inline constexpr auto scope_of<script_step> = key_scope::step;
template <>
inline constexpr auto scope_of<tool_call> = key_scope::step_call;
template <>
inline constexpr auto scope_of<ledger::rules> = key_scope::orchestrator;
template <>
inline constexpr auto scope_of<budget> = key_scope::budget;
template <>
inline constexpr auto scope_of<cluster_config> = key_scope::cluster;
template <>
inline constexpr auto scope_of<tls_config> = key_scope::tls;
template <>
inline constexpr auto scope_of<ui_config> = key_scope::ui;

template <>
inline constexpr auto table<agent_config> = [] {
  using enum key_type;
  using x = agent_config;
  return std::make_tuple(
      field(&x::id, "id", text,
            "unique name, default `agent<i>`; no control or invisible characters, `/` or `\\`; at most 64 bytes"),
      field(&x::system_message, "system_message", text, "role of the agent, in front of the coordination instructions"),
      field(&x::node, "node", text, "name in `cluster.nodes` where the agent runs"),
      field(&x::backend, "backend", map, "how the agent's model is reached").read_by_hand(),
      field(&x::failover, "failover", list,
            "backends to go on with when the one before is out: mappings as `backend`, ids of agents, or models; at most 8")
          .read_by_hand(),
      field(&x::budget, "budget", map, "what this agent may spend, beside the budget of the task; keys as there").read_by_hand());
}();

template <>
inline constexpr auto table<budget> = [] {
  using enum key_type;
  using x = budget;
  return std::make_tuple(
      field(&x::tokens, "tokens", integer, {1, 1'000'000'000'000},
            "tokens read and written, those from a cache too; default: no limit"),
      field(&x::nano_usd, "usd", usd, {0.000001, 1'000'000}, "what all calls may cost; default: no limit").stored_as("nano_usd"),
      field(&x::on_exceed, "on_exceed", choice, "block warn terminate",
            "`block`: a call that might exceed the budget is not made, its agent goes on with its next backend (`failover`) or is "
            "out; "
            "`warn`: a person is told, once; "
            "`terminate`: the task ends with what there is; in an agent's own budget: that agent is out, and its `failover` is not "
            "asked"),
      field(&x::on_unknown_cost, "on_unknown_cost", choice, "deny allow",
            "with `usd`, a call of a model whose price is not known: not made, or made and counted as 0"),
      field(&x::warn_at, "warn_at", list, "shares of the budget, 0.001 to 1, at which a person is told; at most 10")
          .read_by_hand()
          .shown_as("[0.5, 0.75, 0.9]"),
      inner(&x::counted, "counted"));
}();

template <>
inline constexpr auto table<backend_config> = [] {
  using enum key_type;
  using x = backend_config;
  const auto r = key_scope::rate_limits;
  return std::make_tuple(
      field(&x::type, "type", text, "kind of backend, see below; default: from `model`").read_by_hand(),
      field(&x::model, "model", text, "the provider's name of the model"),
      field(&x::base_url, "base_url", text, "address of the API; default by `type`"), inner(&x::base_url_source, "base_url_source"),
      field(&x::api_key, "api_key", text, "`${NAME}` or the key itself; default: the variable bound to the host"),
      field(&x::api_key_env, "api_key_env", text, "name of the variable that holds the key, also for hosts no key is bound to"),
      field(&x::provider, "provider", text,
            "display name; default by host. OpenRouter: a map says which of its providers may answer, and goes with the request"),
      field(&x::decision, "decision", choice, "auto tools schema text",
            "how a verdict is asked for: as tool calls, as JSON by schema, as text")
          .of_connection(),
      inner(&x::params, "params"),
      field(&x::extra_body, "extra_body", map, "merged into the request last, wins over everything; null takes a key away")
          .of_connection(),
      field(&x::extra_headers, "extra_headers", text_map, "HTTP headers to add"),
      field(&x::extra_query, "extra_query", text_map, "URL parameters to add"),
      field(&x::max_tokens, "max_tokens", integer, {1, 10'000'000},
            "longest reply, in tokens; default of the provider, 512 for `local`")
          .zero_is_none(),
      field(&x::timeout_ms, "timeout", seconds, {0.001, week}, "one model call").stored_as("timeout_ms"),
      field(&x::first_token_timeout_ms, "first_token_timeout_seconds", seconds, {0.001, week},
            "as in `timeout_settings`, for this agent")
          .stored_as("first_token_timeout_ms"),
      field(&x::idle_timeout_ms, "idle_timeout_seconds", seconds, {0.001, week}, "as in `timeout_settings`, for this agent")
          .stored_as("idle_timeout_ms"),
      field(&x::http2, "http2", flag, "allow HTTP/2").of_connection(),
      field(&x::ca_bundle, "ca_bundle", text, "PEM file of the authorities to trust, instead of the system's; see below"),
      field(
          &x::api_version, "api_version", text,
          "version of the API: a date for `claude` (default 2026-10-21), `v1beta` (default) or `v1` for `gemini`, a date (default "
          "2024-12-01-preview) or `v1` for `azure_openai`")
          .only("claude gemini azure_openai")
          .of_connection()
          .stored_as("anthropic_version"),
      field(&x::script_path, "script", text, "file of steps, relative to this file")
          .only("scripted")
          .read_by_hand()
          .stored_as("script_path"),
      field(&x::script, "steps", list, "the steps themselves").only("scripted").read_by_hand().stored_as("script"),
      field(&x::model_path, "model_path", text, "GGUF file; default: the installed model").only("local"),
      field(&x::server, "server", text, "`auto`, `llama-server`, `xllamacpp`, or the path of a server")
          .only("local")
          .shown_as("auto"),
      field(&x::context_tokens, "context_tokens", integer, {512, 100'000'000},
            "window of the model; for `local` per agent, default 8192")
          .zero_is_none(),
      field(&x::mcp_servers, "mcp_servers", any, "tool servers: a list, a map by name, or one server").read_by_hand(),
      inner(&x::has_allowed_tools, "has_allowed_tools"),
      field(&x::allowed_tools, "allowed_tools", texts, "the only tools offered; with or without the prefix `mcp__server__`"),
      field(&x::exclude_tools, "exclude_tools", texts, "tools never offered"),
      field(&x::max_tool_iterations, "max_tool_iterations", integer, {1, 1000}, "model calls in one run that only call tools"),
      field(&x::max_run_bytes, "max_run_bytes", integer, {65'536, 1'073'741'824},
            "longest conversation of one run; beyond it the oldest tool results are shortened, then the run fails"),
      field(&x::parallel_tool_calls, "parallel_tool_calls", flag, "several tool calls of one reply at the same time"),
      field(&x::tool_timeout_ms, "mcp_tool_timeout_seconds", seconds, {0.001, day}, "one tool call").stored_as("tool_timeout_ms"),
      field(&x::native_tools, "native_tools", texts, "tool sources in C++, by name"),
      field(&x::upload_files, "upload_files", list, "images and PDF files that go with every question, see below").read_by_hand(),
      field(&x::media_max_file_size_mb, "media_max_file_size_mb", integer, {1, 1024},
            "MiB of one file of `upload_files`; what the provider takes is less, as a rule"),
      field(&x::max_concurrent_tools, "max_concurrent_tools", integer, {1, 64},
            "read-only tool calls of one reply that run at the same time"),
      field(&x::concurrent_tool_execution, "concurrent_tool_execution", flag,
            "calls of tools that are not read-only keep their order only towards their own server"),
      field(&x::max_tool_result_chars, "max_tool_result_chars", integer, {1'000, 4'000'000},
            "characters of one tool result that the model is shown; of a longer one beginning and end, and `read_result` gives it "
            "the rest"),
      field(&x::max_mcp_message_history, "max_mcp_message_history", integer, {-1, 1'000'000},
            "messages of one run that are kept while tools are used: beyond it the oldest rounds of calls go; 0 or -1 = all"),
      inner(&x::sent_to, "sent_to"), inner(&x::key_goes_along, "key_goes_along"),
      field(&x::hosted_tools, "enable_web_search", any, "the provider's web search: true, or a map of options as its API has them")
          .read_by_hand()
          .of_connection()
          .stored_as("hosted_tools"),
      field(&x::rpm, "rpm", integer, {1, 1'000'000}, "requests a minute").in(r).zero_is_none(),
      field(&x::tpm, "tpm", integer, {1, 1'000'000'000}, "tokens a minute").in(r).zero_is_none(),
      field(&x::rpd, "rpd", integer, {1, 1'000'000}, "requests a day").in(r).zero_is_none(),
      field(&x::breaker_enabled, "llm_circuit_breaker_enabled", flag,
            "false: a key is asked on however often it fails; what a server asks to wait is waited for all the same"),
      field(&x::breaker_max_failures, "llm_circuit_breaker_max_failures", integer, {1, 1000},
            "calls given up in a row after which the key is left alone"),
      field(&x::breaker_reset_ms, "llm_circuit_breaker_reset_time_seconds", seconds, {0.001, day},
            "for how long; then one call probes")
          .stored_as("llm_circuit_breaker_reset_ms"),
      field(&x::breaker_multiplier, "llm_circuit_breaker_backoff_multiplier", number, {1, 10},
            "by how much longer after each probe that fails"),
      field(&x::breaker_max_backoff_ms, "llm_circuit_breaker_max_backoff_seconds", seconds, {0.001, day}, "at most")
          .stored_as("llm_circuit_breaker_max_backoff_ms"),
      field(&x::retry_after_threshold_ms, "llm_circuit_breaker_retry_after_threshold_seconds", seconds, {0, hour},
            "a server's `Retry-After` up to this is waited for; a longer one fails the call at once, and the key is left alone "
            "until then")
          .stored_as("llm_circuit_breaker_retry_after_threshold_ms"),
      inner(&x::workspace, "workspace"));
}();

template <>
inline constexpr auto again<backend_config> = [] {
  using enum key_type;
  using x = backend_config;
  const auto t = key_scope::timeout_settings;
  return std::make_tuple(
      field(&x::provider, "provider_name", text, "another spelling of `provider`"),
      field(&x::api_version, "anthropic_version", text, "another spelling of `api_version`").only("claude"),
      field(&x::base_url, "azure_endpoint", text, "another spelling of `base_url`").only("azure_openai"),
      field(&x::model, "deployment_name", text, "another spelling of `model`").only("azure_openai"),
      field(&x::hosted_tools, "enable_code_execution", any, "the provider's code tool: true, or a map of options").read_by_hand(),
      field(&x::hosted_tools, "enable_code_interpreter", any, "another spelling of `enable_code_execution`").read_by_hand(),
      field(&x::hosted_tools, "enable_url_context", any, "the provider's reader of web pages: true, or a map of options")
          .read_by_hand(),
      field(&x::first_token_timeout_ms, "first_token_timeout_seconds", seconds, {0.001, week},
            "from a request to the first text of its reply")
          .in(t),
      field(&x::idle_timeout_ms, "idle_timeout_seconds", seconds, {0.001, week}, "between two pieces of a reply").in(t));
}();

template <>
inline constexpr auto table<mcp_server_config> = [] {
  using enum key_type;
  using x = mcp_server_config;
  const auto s = key_scope::security;
  return std::make_tuple(
      field(&x::name, "name", text, "letters, digits, `_`, `-`; at most 50; default: the key, else `server_<i>`"),
      field(&x::type, "type", text, "`stdio`; `streamable-http` and `http` are not available yet; default: by `command` or `url`"),
      field(&x::command, "command", any, "program and arguments, as text or list; run without a shell").read_by_hand(),
      field(&x::env, "env", text_map, "variables of the program; `${NAME}` is expanded"),
      field(&x::cwd, "cwd", text, "folder the program starts in"), field(&x::url, "url", text, "address of the server"),
      field(&x::headers, "headers", text_map, "HTTP headers"),
      field(&x::timeout_ms, "timeout", seconds, {0.001, day}, "one call; default: `mcp_tool_timeout_seconds`")
          .stored_as("timeout_ms"),
      field(&x::startup_timeout_ms, "startup_timeout_seconds", seconds, {0.001, hour},
            "the start, until the server answers; as long again until its tools are listed")
          .stored_as("startup_timeout_ms"),
      inner(&x::has_allowed_tools, "has_allowed_tools"),
      field(&x::allowed_tools, "allowed_tools", texts, "replaces `allowed_tools` of the backend"),
      field(&x::exclude_tools, "exclude_tools", texts, "adds to `exclude_tools` of the backend"),
      field(&x::security_level, "level", choice, "strict moderate permissive high",
            "which programs may be started; `high` is read as `strict`")
          .in(s)
          .stored_as("security_level"),
      field(&x::allowed_executables, "allowed_executables", texts, "replaces the list of the level; names, or whole paths").in(s),
      field(&x::sandbox, "sandbox", choice, "on off",
            "where the agent has `cwd`: `on` runs the program in the sandbox of its workspace, with the network and a HOME of its "
            "own; "
            "`off` unconfined"),
      field(&x::tool_policies, "tool_policies", map,
            "where the agent has `cwd`: by the name of a tool, what it does with the paths in its arguments")
          .read_by_hand());
}();

template <>
inline constexpr auto table<tool_policy> = [] {
  using enum key_type;
  using x = tool_policy;
  return std::make_tuple(
      inner(&x::tool, "tool"),
      field(
          &x::access, "access", choice, "read write none",
          "what it does with paths it is given: `read`, `write` (and read), or `none`: its arguments are no paths of this machine; "
          "default: `read` if a confined server says that the tool is read-only, else `write`"),
      field(&x::paths, "paths", text_map,
            "arguments by name, at any depth: `read`, `create`, `modify`, `delete`, or `none` for what is no path"));
}();

template <>
inline constexpr auto table<script_step> = [] {
  using enum key_type;
  using x = script_step;
  return std::make_tuple(
      field(&x::text, "text", text, "text to stream"),
      field(&x::reasoning, "reasoning", text, "reasoning streamed before the text"),
      field(&x::calls, "calls", list, "tool calls: `name` and `arguments`").read_by_hand(),
      field(&x::first_delay_ms, "first_delay_ms", milliseconds, {0, hour * 1000}, "before the first chunk"),
      field(&x::chunk_delay_ms, "chunk_delay_ms", milliseconds, {0, hour * 1000}, "between chunks"),
      field(&x::chunk_bytes, "chunk_bytes", integer, {0, 1'048'576}, "text per chunk; 0 = all in one"),
      field(&x::error, "error", text, "the call fails with this code after the text").read_by_hand(),
      field(&x::retry_after_ms, "retry_after_ms", milliseconds, {0, hour * 1000}, "what the server asks to wait"),
      field(&x::truncated, "truncated", flag, "the reply is cut by the token limit"),
      field(&x::hang, "hang", flag, "never ends by itself"), field(&x::optional, "optional", flag, "may stay unused"),
      field(&x::repeat, "repeat", integer, {1, 1'000'000}, "how often the step is used"));
}();

template <>
inline constexpr auto again<script_step> = std::make_tuple(field(&script_step::first_delay_ms, "delay_ms", key_type::milliseconds,
                                                                 {0, hour * 1000}, "another spelling of `first_delay_ms`"));

template <>
inline constexpr auto table<tool_call> = [] {
  using enum key_type;
  using x = tool_call;
  return std::make_tuple(field(&x::id, "id", text, "default `call_<i>`"),
                         field(&x::name, "name", text, "tool: `mcp__server__tool`, `new_answer`, `vote`"),
                         field(&x::arguments, "arguments", any, "map, or text that is sent as it stands").read_by_hand());
}();

template <>
inline constexpr auto table<ledger::rules> = [] {
  using enum key_type;
  using x = ledger::rules;
  const auto t = key_scope::timeout_settings;
  return std::make_tuple(
      field(&x::pacing, "pacing", choice, "barrier eager",
            "`barrier`: in rounds, everybody is heard before anybody is asked again; `eager`: no rounds"),
      field(&x::strategy, "final_answer_strategy", choice, "winner_present winner_reuse synthesize",
            "the winner presents, or its answer is delivered as it is; `synthesize` is not available yet")
          .stored_as("strategy"),
      field(&x::skip_coordination, "skip_coordination_rounds", flag, "the first agent presents at once")
          .stored_as("skip_coordination"),
      field(&x::patience_ms, "straggler_patience_seconds", seconds, {0, week},
            "how long a round waits for its last agents; 0 = for ever, but the first one ends at half of the time to decide")
          .stored_as("patience_ms"),
      field(&x::max_answers_per_agent, "max_new_answers_per_agent", integer, {1, 1000}, "answers one agent may hand in")
          .zero_is_none()
          .stored_as("max_answers_per_agent"),
      field(&x::max_answers_global, "max_new_answers_global", integer, {1, 10'000},
            "answers all agents together may hand in; none = no limit")
          .stored_as("max_answers_global"),
      field(&x::max_failed_runs, "max_failed_runs", integer, {1, 100}, "failures in a row after which an agent is out"),
      field(&x::max_runs, "max_runs", integer, {1, 100'000}, "runs in one task; default 20 x agents"),
      field(&x::max_answer_bytes, "max_answer_bytes", integer, {1, 4'194'304}, "longest answer accepted").zero_is_none(),
      inner(&x::max_reason_chars, "max_reason_chars"),
      field(&x::coordination_ms, "orchestrator_timeout_seconds", seconds, {0.001, week},
            "the coordination; then the best answer so far is presented")
          .in(t)
          .zero_is_none()
          .stored_as("coordination_ms"),
      field(&x::initial_run_ms, "initial_round_timeout_seconds", seconds, {0.001, week}, "one run in round 0")
          .in(t)
          .zero_is_none()
          .stored_as("initial_run_ms"),
      field(&x::later_run_ms, "subsequent_round_timeout_seconds", seconds, {0.001, week}, "one run in a later round")
          .in(t)
          .zero_is_none()
          .stored_as("later_run_ms"),
      field(&x::presentation_ms, "presentation_timeout_seconds", seconds, {0.001, week}, "the final presentation")
          .in(t)
          .zero_is_none()
          .stored_as("presentation_ms"),
      inner(&x::backoff_ms, "backoff_ms"), inner(&x::backoff_cap_ms, "backoff_cap_ms"),
      inner(&x::cancel_grace_ms, "cancel_grace_ms"), inner(&x::closing_ms, "closing_ms"),
      field(&x::planning_mode, "enable_planning_mode", flag, "no tool is called before the final presentation: agents plan")
          .in(key_scope::coordination)
          .stored_as("planning_mode"),
      field(&x::planning_mode_instruction, "planning_mode_instruction", text,
            "what agents are told while they plan; default: a sentence that asks for plans instead of actions")
          .in(key_scope::coordination),
      field(&x::planning_mode_allow_readonly, "planning_mode_allow_readonly", flag,
            "while agents plan, tools that say of themselves that they are read-only may be called")
          .in(key_scope::coordination),
      field(&x::budget, "budget", map, "what the task may spend, see below; also for one agent, see `agents[]`")
          .in(key_scope::top)
          .read_by_hand());
}();

template <>
inline constexpr auto table<cluster_config> =
    std::make_tuple(field(&cluster_config::nodes, "nodes", key_type::text_map, "name: host:port"),
                    field(&cluster_config::tls, "tls", key_type::map, "certificates; default: the per-user CA").read_by_hand());

template <>
inline constexpr auto table<tls_config> = [] {
  using enum key_type;
  using x = tls_config;
  return std::make_tuple(field(&x::cert, "cert", text, "certificate, PEM file"),
                         field(&x::key, "key", text, "private key, PEM file"),
                         field(&x::ca, "ca", text, "authority both sides trust, PEM file"),
                         field(&x::insecure_loopback, "insecure_loopback", flag, "no TLS on loopback addresses; for tests only"));
}();

template <>
inline constexpr auto table<ui_config> = std::make_tuple(field(&ui_config::display_type, "display_type", key_type::choice,
                                                               "rich_terminal textual_terminal terminal simple silent",
                                                               "how a run is shown"));

template <>
inline constexpr auto again<ui_config> = std::make_tuple(
    field(&ui_config::display_type, "type", key_type::text, "another spelling of `display_type`").is(key_status::cosmetic));

/// Of a run as a whole only what is no part of a struct of its own.
template <>
inline constexpr auto table<run_config> = std::make_tuple(
    field(&run_config::on_unknown, "on_unknown_outcome", key_type::choice, "tell ask fail repeat",
          "`conclave resume`: what becomes of a tool call that was under way when the task was cut off, unless the tool was "
          "read-only or idempotent when it was called (those are called again): the model is told that it may have happened, the "
          "person at the terminal is asked, the run fails and its agent is out, or the call is repeated")
        .in(key_scope::orchestrator));

} // namespace conclave::config_rows
