// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Requests between actors that are not part of a task's vocabulary: calls, tools, chunk relay, recording. Plain data.

#include "protocols/chat.hpp"
#include "protocols/coordination.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace conclave {

/// Agent -> backend: abandon this model call, if it still runs. Answered without waiting for its end; the call itself ends with
/// `cancelled`.
struct cancel_call {
  std::string task;
  std::string agent;
  std::uint64_t run = 0;
  std::uint64_t call = 0; ///< 0 = all calls of the run
  bool operator==(const cancel_call&) const = default;
};

struct cancel_done {
  std::uint8_t unused = 0;
  bool operator==(const cancel_done&) const = default;
};

struct describe_backend {
  std::string model; ///< models of one connection differ in what they can
  bool operator==(const describe_backend&) const = default;
};

/// What is known of a connection. `step` is where the decision ladder stands for the model asked about.
struct backend_info {
  std::string step;       ///< tools, schema or text
  bool saw_tools = false; ///< a tool call of the model was seen
  std::string dialect;
  std::string provider;
  std::int32_t context_tokens = 0; ///< 0 = unknown
  std::int32_t leftover = 0;       ///< scripted: steps that must still be used
  bool operator==(const backend_info&) const = default;
};

/// Agent -> backend: remember this ladder step for the model; step "seen" = a tool call came.
struct ladder_note {
  std::string step;
  std::string model;
  bool operator==(const ladder_note&) const = default;
};

struct list_tools {
  std::uint8_t unused = 0;
  bool operator==(const list_tools&) const = default;
};

struct listed_tool {
  tool_spec spec;
  tool_annotations notes;
  bool operator==(const listed_tool&) const = default;
};

/// The tools of one source under their public names.
struct tool_list {
  std::string source; ///< for people: "MCP server 'everything'"
  std::vector<listed_tool> tools;
  std::vector<std::string> notes; ///< what was left out and why
  bool operator==(const tool_list&) const = default;
};

/// Agent -> tool source; `call.name` is the public name.
struct tool_invocation {
  std::string task;
  std::string agent;
  std::uint64_t run = 0;
  tool_call call;
  std::int64_t timeout_ms = 400'000;
  bool operator==(const tool_invocation&) const = default;
};

/// Agent -> tool source: abandon every call of this run.
struct cancel_tools {
  std::string task;
  std::string agent;
  std::uint64_t run = 0;
  bool operator==(const cancel_tools&) const = default;
};

/// Agent -> workspace, both on one node: have everything in place for a run. Errors: unavailable (the disk), bad_config, denied
/// (commands cannot be confined here).
struct prepare_workspace {
  run_ref of;
  bool present = false;
  bool as_it_is = false;           ///< a run that was cut off goes on: its files stay
  std::string snapshot;            ///< to start from; empty = none
  std::vector<shown_answer> shown; ///< whose files are shown; without texts
  bool operator==(const prepare_workspace&) const = default;
};

struct workspace_ready {
  std::string place; ///< see protocols/workspace_paths.hpp
  bool operator==(const workspace_ready&) const = default;
};

/// Agent -> workspace: keep its files as they are now, once the run's processes have ended; answered by kept_files.
struct keep_workspace {
  run_ref of;
  bool present = false; ///< also what was changed in the copies of the user's folders
  bool operator==(const keep_workspace&) const = default;
};

/// Node -> workspace: the task is over, its folders go; snapshots stay.
struct clear_workspace {
  std::uint8_t unused = 0;
  bool operator==(const clear_workspace&) const = default;
};

struct workspace_cleared {
  std::string fault; ///< what is wrong, for people; empty = nothing
  bool operator==(const workspace_cleared&) const = default;
};

/// Relay -> sink on another node; one unacknowledged per run. `dropped`: bytes of older text left out before this batch.
struct chunk_delivery {
  chunk_batch batch;
  std::uint64_t dropped = 0;
  bool operator==(const chunk_delivery&) const = default;
};

struct chunk_ack {
  std::uint8_t unused = 0;
  bool operator==(const chunk_ack&) const = default;
};

/// Orchestrator -> recorder: make these durable, in order. `started`: the question, with the task's first batch.
struct append_events {
  std::vector<event> events;
  std::vector<body> bodies; ///< what they name
  std::string started;
  bool operator==(const append_events&) const = default;
};

struct appended {
  ec code = ec::none;
  std::string error;
  std::uint64_t seq = 0;
  bool operator==(const appended&) const = default;
};

struct cancel_task {
  std::string reason;
  bool operator==(const cancel_task&) const = default;
};

/// Node -> agent: start your tools; replies agent_ready.
struct get_ready {
  std::uint8_t unused = 0;
  bool operator==(const get_ready&) const = default;
};

} // namespace conclave
