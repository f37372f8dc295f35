// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// All typed handles, one sentence per message. A new message is a struct, a line here, a line in type_ids.hpp.

#include "protocols/inspect.hpp"

#include <caf/actor_addr.hpp>
#include <caf/actor_control_block.hpp>
#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>

namespace conclave {

/// Whoever wants the pieces of a stream. Chunks may arrive after the completion that contains them; nobody waits for chunks.
using chunk_sink_actor = caf::typed_actor<
    // Shows or forwards what was decoded from one network read.
    caf::reacts_to<chunk_batch>>;

/// A display, a log file, a host callback: reader of events, never a source.
using event_sink_actor = caf::typed_actor<
    // One durable event.
    caf::reacts_to<event>,
    // Pieces of a stream on this node.
    caf::reacts_to<chunk_batch>,
    // Pieces of a stream from another node, acknowledged so that one batch per run is under way.
    caf::replies_to<chunk_delivery>::with<chunk_ack>>;

/// A model connection, or a circuit breaker in front of one.
using backend_actor = caf::typed_actor<
    // Runs one model call, streaming to the sink. A call that was sent is always answered by a completion; an error means nothing
    // was sent.
    caf::replies_to<model_request, chunk_sink_actor>::with<completion>,
    // Abandons a call, if it still runs; the call's own reply is then `cancelled` with the text so far.
    caf::replies_to<cancel_call>::with<cancel_done>,
    // Says what is known of the connection.
    caf::replies_to<describe_backend>::with<backend_info>,
    // Remembers a step of the decision ladder for a model of the connection.
    caf::reacts_to<ladder_note>>;

/// Anything that lists tools and answers calls: an MCP server, a C++ tool, a breaker in front of one.
using tool_source_actor = caf::typed_actor<
    // Returns its tools. Errors: unavailable, breaker_open, bad_config, bad_reply, version_mismatch, timeout.
    caf::replies_to<list_tools>::with<tool_list>,
    // Carries out a call. A tool that fails is a tool_result with is_error; only losing the source is an error.
    caf::replies_to<tool_invocation>::with<tool_result>,
    // Abandons every call of a run.
    caf::reacts_to<cancel_tools>>;

/// An agent's files and commands, on its node: a tool source that prepares a run, and keeps what it made.
using workspace_actor = tool_source_actor::extend<
    // Has folders, files and sandbox in place for a run; a run before it is over.
    caf::replies_to<prepare_workspace>::with<workspace_ready>,
    // Ends what the run left running, then takes the snapshot. A failure is told in the reply.
    caf::replies_to<keep_workspace>::with<kept_files>,
    // Deletes its folders.
    caf::replies_to<clear_workspace>::with<workspace_cleared>>;

/// One member of the team, on its node, for one task.
using agent_actor = caf::typed_actor<
    // Starts its tools; replies when it can work.
    caf::replies_to<get_ready>::with<agent_ready>,
    // Starts a run (texts filled in by the node); a run under way is abandoned.
    caf::reacts_to<start_run>,
    // Abandons a run on the wire; the agent reports failed/cancelled with the partial text.
    caf::reacts_to<cancel_run>>;

/// The owner of a task.
using orchestrator_actor = caf::typed_actor<
    // Records what happened in a run and judges what it wants to do now; replies only after durability. May be sent again
    // (docs/protocol.md 3.5).
    caf::replies_to<run_report>::with<ruling>,
    // Keeps a part of a body for the report that names it.
    caf::replies_to<body_part>::with<body_ack>,
    // An agent died or could not start.
    caf::reacts_to<agent_lost>,
    // Starts the task; replies when it is over. A second question is refused with `bad_request`.
    caf::replies_to<question>::with<outcome>,
    // Ends the task early, keeping what there is.
    caf::reacts_to<cancel_task>>;

/// One process that hosts agents.
using node_actor = caf::typed_actor<
    // Makes an agent ready for a task. Verdicts go to the orchestrator, chunks to the sink. Errors: bad_config, unauthorized,
    // unavailable (the node is full), bad_request (the agent is here already, or a younger orchestrator has the task).
    caf::replies_to<spawn_agent, orchestrator_actor, event_sink_actor>::with<agent_ready>,
    // The text behind a label, once per node, before the first run that is shown it.
    caf::reacts_to<publish_answer>,
    // A part of a file, once per node, before the first run that is shown it.
    caf::reacts_to<publish_file>,
    // Starts a run of an agent here.
    caf::reacts_to<start_run>,
    // Abandons a run of an agent here.
    caf::reacts_to<cancel_run>,
    // The task is over: its agents end; replies what a script left unused.
    caf::replies_to<end_task>::with<task_closed>>;

/// In front of the event store.
using recorder_actor = caf::typed_actor<
    // Appends; replies once the events are durable, or with what went wrong.
    caf::replies_to<append_events>::with<appended>>;

/// Reply of a door. FROZEN. `node` is a node_actor, untyped here so that a changed interface can still say why it refuses.
struct welcome {
  std::uint32_t version = 0; ///< 0 = refused, see reason
  std::string reason;
  std::string build;
  caf::strong_actor_ptr node;
};
CONCLAVE_INSPECT(welcome, x.version, x.reason, x.build, x.node)

/// What a node publishes first. FROZEN.
using door_actor = caf::typed_actor<caf::replies_to<hello>::with<welcome>>;

} // namespace conclave
