// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The only CAF type-id block, alphabetical. A type that is not listed cannot be sent to another node;
/// what never leaves the process says so with CAF_ALLOW_UNSAFE_MESSAGE_TYPE where it is defined.

#include "protocols/interfaces.hpp"

#include <caf/type_id.hpp>

CAF_BEGIN_TYPE_ID_BLOCK(conclave, first_custom_type_id)
  CAF_ADD_TYPE_ID(conclave, (conclave::agent_lost))
  CAF_ADD_TYPE_ID(conclave, (conclave::agent_ready))
  CAF_ADD_TYPE_ID(conclave, (conclave::append_events))
  CAF_ADD_TYPE_ID(conclave, (conclave::appended))
  CAF_ADD_TYPE_ID(conclave, (conclave::backend_info))
  CAF_ADD_TYPE_ID(conclave, (conclave::body_ack))
  CAF_ADD_TYPE_ID(conclave, (conclave::body_part))
  CAF_ADD_TYPE_ID(conclave, (conclave::cancel_call))
  CAF_ADD_TYPE_ID(conclave, (conclave::cancel_done))
  CAF_ADD_TYPE_ID(conclave, (conclave::cancel_run))
  CAF_ADD_TYPE_ID(conclave, (conclave::cancel_task))
  CAF_ADD_TYPE_ID(conclave, (conclave::cancel_tools))
  CAF_ADD_TYPE_ID(conclave, (conclave::chunk_ack))
  CAF_ADD_TYPE_ID(conclave, (conclave::chunk_batch))
  CAF_ADD_TYPE_ID(conclave, (conclave::chunk_delivery))
  CAF_ADD_TYPE_ID(conclave, (conclave::chunk_sink_actor))
  CAF_ADD_TYPE_ID(conclave, (conclave::clear_workspace))
  CAF_ADD_TYPE_ID(conclave, (conclave::completion))
  CAF_ADD_TYPE_ID(conclave, (conclave::describe_backend))
  CAF_ADD_TYPE_ID(conclave, (conclave::end_task))
  CAF_ADD_TYPE_ID(conclave, (conclave::event))
  CAF_ADD_TYPE_ID(conclave, (conclave::event_sink_actor))
  CAF_ADD_TYPE_ID(conclave, (conclave::get_ready))
  CAF_ADD_TYPE_ID(conclave, (conclave::hello))
  CAF_ADD_TYPE_ID(conclave, (conclave::keep_workspace))
  CAF_ADD_TYPE_ID(conclave, (conclave::kept_files))
  CAF_ADD_TYPE_ID(conclave, (conclave::ladder_note))
  CAF_ADD_TYPE_ID(conclave, (conclave::list_tools))
  CAF_ADD_TYPE_ID(conclave, (conclave::model_request))
  CAF_ADD_TYPE_ID(conclave, (conclave::orchestrator_actor))
  CAF_ADD_TYPE_ID(conclave, (conclave::outcome))
  CAF_ADD_TYPE_ID(conclave, (conclave::prepare_workspace))
  CAF_ADD_TYPE_ID(conclave, (conclave::publish_answer))
  CAF_ADD_TYPE_ID(conclave, (conclave::publish_file))
  CAF_ADD_TYPE_ID(conclave, (conclave::question))
  CAF_ADD_TYPE_ID(conclave, (conclave::ruling))
  CAF_ADD_TYPE_ID(conclave, (conclave::run_report))
  CAF_ADD_TYPE_ID(conclave, (conclave::spawn_agent))
  CAF_ADD_TYPE_ID(conclave, (conclave::start_run))
  CAF_ADD_TYPE_ID(conclave, (conclave::task_closed))
  CAF_ADD_TYPE_ID(conclave, (conclave::tool_invocation))
  CAF_ADD_TYPE_ID(conclave, (conclave::tool_list))
  CAF_ADD_TYPE_ID(conclave, (conclave::tool_result))
  CAF_ADD_TYPE_ID(conclave, (conclave::welcome))
  CAF_ADD_TYPE_ID(conclave, (conclave::workspace_cleared))
  CAF_ADD_TYPE_ID(conclave, (conclave::workspace_ready))
CAF_END_TYPE_ID_BLOCK(conclave)
