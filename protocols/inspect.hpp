// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// How each message is written and read by CAF. Field order is the wire format between nodes: append only, and raise
/// `protocol_max`. Enums are range-checked here because CAF 0.17 does not; doubles are not used in messages (inf hangs CAF's
/// serializer).

#include "protocols/cluster.hpp"
#include "protocols/config_tables.hpp"
#include "protocols/coordination.hpp"
#include "protocols/internal.hpp"

#include <caf/error.hpp>
#include <caf/meta/load_callback.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/sec.hpp>

#define CONCLAVE_INSPECT(type, ...)                                                                                                \
  template <class Inspector>                                                                                                       \
  typename Inspector::result_type inspect(Inspector& f, type& x) {                                                                 \
    return f(caf::meta::type_name("conclave." #type) __VA_OPT__(, ) __VA_ARGS__);                                                  \
  }

/// As CONCLAVE_INSPECT, for types with an enum: `valid` is evaluated after loading.
#define CONCLAVE_INSPECT_CHECKED(type, valid, ...)                                                                                 \
  template <class Inspector>                                                                                                       \
  typename Inspector::result_type inspect(Inspector& f, type& x) {                                                                 \
    auto check_range = [&]() -> caf::error {                                                                                       \
      if (!(valid))                                                                                                                \
        return caf::sec::invalid_argument;                                                                                         \
      return caf::none;                                                                                                            \
    };                                                                                                                             \
    return f(caf::meta::type_name("conclave." #type), __VA_ARGS__, caf::meta::load_callback(check_range));                         \
  }

namespace conclave {

CONCLAVE_INSPECT(tool_spec, x.name, x.description, x.parameters)
CONCLAVE_INSPECT(tool_call, x.id, x.name, x.arguments)
CONCLAVE_INSPECT(tool_annotations, x.read_only, x.idempotent, x.destructive, x.open_world, x.timeout_ms)
CONCLAVE_INSPECT_CHECKED(content_part, x.kind <= content_kind::json, x.kind, x.text, x.media_type, x.data, x.uri)
CONCLAVE_INSPECT(tool_result, x.id, x.text, x.is_error, x.parts)
CONCLAVE_INSPECT_CHECKED(message, x.from <= role::tool, x.from, x.text, x.reasoning, x.calls, x.tool_call_id, x.is_error, x.opaque,
                         x.opaque_dialect, x.parts)
CONCLAVE_INSPECT(usage, x.input_tokens, x.cached_input_tokens, x.output_tokens, x.reasoning_tokens, x.requests, x.unreported,
                 x.cache_write_tokens, x.audio_input_tokens, x.audio_output_tokens, x.hosted_calls, x.cost_nano_usd, x.unpriced,
                 x.cache_write_1h_tokens)
CONCLAVE_INSPECT(model_request, x.task, x.run, x.call, x.agent, x.model, x.messages, x.tools, x.schema, x.params,
                 x.max_output_tokens, x.slot, x.first_token_timeout_ms, x.idle_timeout_ms, x.total_timeout_ms, x.max_requests,
                 x.one_bill)
CONCLAVE_INSPECT_CHECKED(chunk, x.kind <= chunk_kind::status, x.kind, x.text)
CONCLAVE_INSPECT(chunk_batch, x.task, x.run, x.agent, x.chunks)
CONCLAVE_INSPECT_CHECKED(completion, x.status <= completion_status::paused && x.code <= ec::unknown, x.status, x.text, x.reasoning,
                         x.calls, x.usage, x.code, x.error, x.retry_after_ms, x.semantic, x.retryable_hint, x.retry_asked, x.opaque,
                         x.opaque_dialect, x.finish, x.said, x.model_fault, x.polls)
CONCLAVE_INSPECT_CHECKED(event, static_cast<std::size_t>(x.type) < event_type_count && x.code <= ec::unknown, x.seq, x.time_ms,
                         x.type, x.agent, x.run, x.round, x.epoch, x.label, x.target, x.target_label, x.text, x.reason, x.labels,
                         x.number, x.flag, x.code, x.step, x.use, x.extra, x.ms, x.said, x.state, x.kept, x.detail, x.cause, x.task)
CONCLAVE_INSPECT(run_ref, x.task, x.fence, x.run)
CONCLAVE_INSPECT(folder_change, x.folder, x.before, x.after, x.files, x.commit)
CONCLAVE_INSPECT(kept_files, x.snapshot, x.files, x.bytes, x.why, x.mend, x.changes, x.left)
CONCLAVE_INSPECT_CHECKED(verdict, x.kind <= verdict_kind::presented && x.code <= ec::unknown, x.kind, x.text, x.target, x.reason,
                         x.code, x.truncated, x.step, x.files)
CONCLAVE_INSPECT_CHECKED(ruling, x.kind <= ruling_kind::superseded && x.code <= ec::unknown, x.kind, x.reason, x.allowed, x.code)
CONCLAVE_INSPECT(tool_trouble, x.source, x.why)
CONCLAVE_INSPECT(body, x.sha, x.bytes)
CONCLAVE_INSPECT(call_end, x.call, x.target, x.status, x.use, x.said, x.trouble)
CONCLAVE_INSPECT_CHECKED(call_begin, x.effect <= call_effect::none, x.call, x.target, x.hash, x.said, x.effect, x.reserve)
CONCLAVE_INSPECT(run_report, x.of, x.agent, x.number, x.ended, x.begun, x.has_verdict, x.handed_in, x.state, x.kept, x.said,
                 x.bodies, x.backend, x.moved)
CONCLAVE_INSPECT(body_part, x.of, x.sha, x.offset, x.size, x.bytes)
CONCLAVE_INSPECT(body_ack, x.unused)
CONCLAVE_INSPECT_CHECKED(known_end, x.effect <= call_effect::none, x.call, x.ended, x.reply, x.result, x.effect)
CONCLAVE_INSPECT(stored_run, x.number, x.calls_made, x.state, x.talk, x.ends, x.refused, x.refusal)
CONCLAVE_INSPECT(turn_text, x.from_user, x.text)
CONCLAVE_INSPECT(attachment, x.name, x.media_type, x.sha, x.bytes, x.agent, x.data)
CONCLAVE_INSPECT(shown_answer, x.id, x.label, x.text, x.snapshot)
CONCLAVE_INSPECT_CHECKED(start_run, x.kind <= run_kind::present, x.task, x.fence, x.agent, x.run, x.round, x.epoch, x.first_call,
                         x.kind, x.question, x.history, x.answers, x.may_answer, x.may_vote, x.own_id, x.vote_reasons, x.votes,
                         x.tie, x.now_ms, x.stored, x.on_unknown, x.attachments, x.planning, x.planning_instruction,
                         x.planning_reads, x.snapshot, x.again)
CONCLAVE_INSPECT(publish_answer, x.task, x.fence, x.label, x.text)
CONCLAVE_INSPECT(publish_file, x.task, x.fence, x.sha, x.offset, x.size, x.bytes)
CONCLAVE_INSPECT(cancel_run, x.of, x.agent, x.reason)
CONCLAVE_INSPECT(end_task, x.task, x.fence)
CONCLAVE_INSPECT(task_closed, x.task, x.notes)
CONCLAVE_INSPECT_CHECKED(agent_lost, x.code <= ec::unknown, x.task, x.fence, x.agent, x.code, x.reason)
CONCLAVE_INSPECT(question, x.text, x.history, x.attachments)
CONCLAVE_INSPECT(agent_summary, x.id, x.anonymous, x.answers, x.votes_received, x.calls, x.use, x.out_reason)
CONCLAVE_INSPECT_CHECKED(outcome, x.kind <= outcome_kind::interrupted && x.code <= ec::unknown, x.task, x.kind, x.answer, x.winner,
                         x.finish_reason, x.error, x.code, x.truncated, x.agents, x.warnings, x.snapshot, x.files, x.changes)

/// Of a configuration every row of its structs, in their order.
#define CONCLAVE_INSPECT_ROWS(type, ...)                                                                                           \
  template <class Inspector>                                                                                                       \
  typename Inspector::result_type inspect(Inspector& f, type& x) {                                                                 \
    auto check_range = [&]() -> caf::error {                                                                                       \
      if (!(__VA_ARGS__))                                                                                                          \
        return caf::sec::invalid_argument;                                                                                         \
      return caf::none;                                                                                                            \
    };                                                                                                                             \
    return std::apply(                                                                                                             \
        [&](const auto&... r) {                                                                                                    \
          return f(caf::meta::type_name("conclave." #type), x.*(r.member)..., caf::meta::load_callback(check_range));              \
        },                                                                                                                         \
        config_rows::table<type>);                                                                                                 \
  }

CONCLAVE_INSPECT_ROWS(script_step, x.error <= ec::unknown)
CONCLAVE_INSPECT_ROWS(tool_policy, true)
CONCLAVE_INSPECT_ROWS(mcp_server_config, true)
CONCLAVE_INSPECT_ROWS(context_path, true)
CONCLAVE_INSPECT_ROWS(workspace_config, true)
CONCLAVE_INSPECT_ROWS(backend_config, true)
CONCLAVE_INSPECT_ROWS(budget, x.on_exceed <= exceed_policy::terminate && x.on_unknown_cost <= unknown_cost_policy::allow)
CONCLAVE_INSPECT_ROWS(agent_config, true)
CONCLAVE_INSPECT(hello, x.min, x.max, x.build)
CONCLAVE_INSPECT(spawn_agent, x.task, x.fence, x.agent, x.number, x.team, x.played, x.backend, x.place)
CONCLAVE_INSPECT(agent_ready, x.agent, x.tools, x.notes, x.missing)

CONCLAVE_INSPECT(cancel_call, x.task, x.agent, x.run, x.call)
CONCLAVE_INSPECT(cancel_done, x.unused)
CONCLAVE_INSPECT(describe_backend, x.model)
CONCLAVE_INSPECT(backend_info, x.step, x.saw_tools, x.dialect, x.provider, x.context_tokens, x.leftover)
CONCLAVE_INSPECT(ladder_note, x.step, x.model)
CONCLAVE_INSPECT(list_tools, x.unused)
CONCLAVE_INSPECT(listed_tool, x.spec, x.notes)
CONCLAVE_INSPECT(tool_list, x.source, x.tools, x.notes)
CONCLAVE_INSPECT(tool_invocation, x.task, x.agent, x.run, x.call, x.timeout_ms)
CONCLAVE_INSPECT(cancel_tools, x.task, x.agent, x.run)
CONCLAVE_INSPECT(prepare_workspace, x.of, x.present, x.as_it_is, x.snapshot, x.shown)
CONCLAVE_INSPECT(workspace_ready, x.place)
CONCLAVE_INSPECT(keep_workspace, x.of, x.present)
CONCLAVE_INSPECT(clear_workspace, x.unused)
CONCLAVE_INSPECT(workspace_cleared, x.fault)
CONCLAVE_INSPECT(chunk_delivery, x.batch, x.dropped)
CONCLAVE_INSPECT(chunk_ack, x.unused)
CONCLAVE_INSPECT(append_events, x.events, x.bodies, x.started)
CONCLAVE_INSPECT_CHECKED(appended, x.code <= ec::unknown, x.code, x.error, x.seq)
CONCLAVE_INSPECT(cancel_task, x.reason)
CONCLAVE_INSPECT(get_ready, x.unused)

} // namespace conclave
