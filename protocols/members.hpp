// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The members of the structs of an opening, each named once: what writes and what reads them go through the same list. A list that
/// lacks a member of its struct, or names one twice, does not compile. Pure.
///
///   each_member<agent_config>([](const char* name, auto pointer) { ... });

#include "protocols/opening.hpp"

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace conclave::members {

template <class T, class M>
struct named {
  const char* name;
  M T::*pointer;
};

template <class T, class M>
constexpr named<T, M> is(const char* name, M T::*pointer) {
  return {name, pointer};
}

/// Names of the values of an enum, in their order; specialised below.
template <class T>
inline constexpr std::nullptr_t choices = nullptr;
template <>
inline constexpr const char* choices<ledger::pacing>[] = {"barrier", "eager"};
template <>
inline constexpr const char* choices<ledger::strategy>[] = {"winner_present", "winner_reuse"};

template <class T>
inline constexpr std::nullptr_t table = nullptr;

template <>
inline constexpr auto table<ledger::rules> = [] {
  using x = ledger::rules;
  return std::make_tuple(
      is("pacing", &x::pacing), is("strategy", &x::strategy), is("skip_coordination", &x::skip_coordination),
      is("patience_ms", &x::patience_ms), is("max_answers_per_agent", &x::max_answers_per_agent),
      is("max_answers_global", &x::max_answers_global), is("max_failed_runs", &x::max_failed_runs), is("max_runs", &x::max_runs),
      is("max_answer_bytes", &x::max_answer_bytes), is("max_reason_chars", &x::max_reason_chars),
      is("coordination_ms", &x::coordination_ms), is("initial_run_ms", &x::initial_run_ms), is("later_run_ms", &x::later_run_ms),
      is("presentation_ms", &x::presentation_ms), is("backoff_ms", &x::backoff_ms), is("backoff_cap_ms", &x::backoff_cap_ms),
      is("cancel_grace_ms", &x::cancel_grace_ms), is("closing_ms", &x::closing_ms));
}();

template <>
inline constexpr auto table<turn_text> = std::make_tuple(is("from_user", &turn_text::from_user), is("text", &turn_text::text));

template <>
inline constexpr auto table<tool_call> = std::make_tuple(is("id", &tool_call::id), is("name", &tool_call::name),
                                                         is("arguments", &tool_call::arguments));

template <>
inline constexpr auto table<script_step> = [] {
  using x = script_step;
  return std::make_tuple(is("text", &x::text), is("reasoning", &x::reasoning), is("calls", &x::calls),
                         is("first_delay_ms", &x::first_delay_ms), is("chunk_delay_ms", &x::chunk_delay_ms),
                         is("chunk_bytes", &x::chunk_bytes), is("error", &x::error), is("retry_after_ms", &x::retry_after_ms),
                         is("truncated", &x::truncated), is("hang", &x::hang), is("optional", &x::optional),
                         is("repeat", &x::repeat));
}();

template <>
inline constexpr auto table<mcp_server_config> = [] {
  using x = mcp_server_config;
  return std::make_tuple(is("name", &x::name), is("type", &x::type), is("command", &x::command), is("env", &x::env),
                         is("cwd", &x::cwd), is("url", &x::url), is("headers", &x::headers), is("timeout_ms", &x::timeout_ms),
                         is("startup_timeout_ms", &x::startup_timeout_ms), is("has_allowed_tools", &x::has_allowed_tools),
                         is("allowed_tools", &x::allowed_tools), is("exclude_tools", &x::exclude_tools),
                         is("security_level", &x::security_level), is("allowed_executables", &x::allowed_executables));
}();

template <>
inline constexpr auto table<backend_config> = [] {
  using x = backend_config;
  return std::make_tuple(
      is("type", &x::type), is("model", &x::model), is("base_url", &x::base_url), is("base_url_default", &x::base_url_default),
      is("base_url_source", &x::base_url_source), is("api_key", &x::api_key), is("api_key_env", &x::api_key_env),
      is("provider", &x::provider), is("decision", &x::decision), is("params", &x::params), is("extra_body", &x::extra_body),
      is("extra_headers", &x::extra_headers), is("extra_query", &x::extra_query), is("max_tokens", &x::max_tokens),
      is("timeout_ms", &x::timeout_ms), is("first_token_timeout_ms", &x::first_token_timeout_ms),
      is("idle_timeout_ms", &x::idle_timeout_ms), is("http2", &x::http2), is("ca_bundle", &x::ca_bundle),
      is("anthropic_version", &x::anthropic_version), is("script_path", &x::script_path), is("script", &x::script),
      is("model_path", &x::model_path), is("server", &x::server), is("context_tokens", &x::context_tokens),
      is("mcp_servers", &x::mcp_servers), is("has_allowed_tools", &x::has_allowed_tools), is("allowed_tools", &x::allowed_tools),
      is("exclude_tools", &x::exclude_tools), is("max_tool_iterations", &x::max_tool_iterations),
      is("max_run_bytes", &x::max_run_bytes), is("parallel_tool_calls", &x::parallel_tool_calls),
      is("tool_timeout_ms", &x::tool_timeout_ms), is("cwd", &x::cwd), is("native_tools", &x::native_tools));
}();

template <>
inline constexpr auto table<agent_config> = std::make_tuple(is("id", &agent_config::id),
                                                            is("system_message", &agent_config::system_message),
                                                            is("node", &agent_config::node), is("backend", &agent_config::backend));

template <>
inline constexpr auto table<tls_config> = std::make_tuple(is("cert", &tls_config::cert), is("key", &tls_config::key),
                                                          is("ca", &tls_config::ca),
                                                          is("insecure_loopback", &tls_config::insecure_loopback));

template <>
inline constexpr auto table<cluster_config> = std::make_tuple(is("nodes", &cluster_config::nodes), is("tls", &cluster_config::tls));

template <>
inline constexpr auto
    table<earlier_answer> = std::make_tuple(is("agent", &earlier_answer::agent), is("label", &earlier_answer::label),
                                            is("text", &earlier_answer::text), is("epoch", &earlier_answer::epoch));

template <>
inline constexpr auto table<opening> = [] {
  using x = opening;
  return std::make_tuple(is("rules", &x::rules), is("history", &x::history), is("agents", &x::agents), is("cluster", &x::cluster),
                         is("on_unknown", &x::on_unknown), is("nodes", &x::nodes), is("config_path", &x::config_path),
                         is("build", &x::build), is("seed", &x::seed), is("answers", &x::answers), is("continues", &x::continues));
}();

/// Whether T is a struct whose members are listed here.
template <class T>
inline constexpr bool is_listed = !std::is_same_v<std::remove_cv_t<decltype(table<T>)>, std::nullptr_t>;

namespace detail {

struct anything {
  template <class T>
  operator T() const;
};

template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires {
    T{(static_cast<void>(I), anything{})...};
  };
}

} // namespace detail

/// How many members the aggregate T has.
template <class T, std::size_t N = 0>
constexpr std::size_t count() {
  if constexpr (detail::takes<T>(std::make_index_sequence<N + 1>{}))
    return count<T, N + 1>();
  else
    return N;
}

namespace detail {

template <class T, class A, class B>
constexpr bool same(const named<T, A>& a, const named<T, B>& b) {
  if (std::string_view{a.name} == b.name)
    return true;
  if constexpr (std::is_same_v<A, B>)
    return a.pointer == b.pointer;
  else
    return false;
}

template <class T>
constexpr bool complete() {
  return std::apply(
      [](const auto&... m) {
        auto times = [&](const auto& one) { return (std::size_t{0} + ... + (same(one, m) ? 1 : 0)); };
        return sizeof...(m) == count<T>() && (... && (times(m) == 1));
      },
      table<T>);
}

} // namespace detail

/// Calls `f(name, pointer to member)` for each member of T, in the order of the list.
template <class T, class F>
void each_member(F&& f) {
  static_assert(detail::complete<T>(), "a member of this struct is not in its list, or is there twice");
  std::apply([&](const auto&... m) { (f(m.name, m.pointer), ...); }, table<T>);
}

} // namespace conclave::members
