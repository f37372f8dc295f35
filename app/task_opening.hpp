// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Between an engine and the stored tasks: what a task is opened with, and what one is gone on with.

#include "actors/orchestrator.hpp"
#include "app/engine.hpp"
#include "protocols/opening.hpp"
#include "protocols/replay.hpp"

#include <optional>
#include <string>
#include <vector>

namespace conclave {

class event_store;

/// Returns what the task is played by; its log keeps it without the literal keys (mask_secrets).
opening opening_of(const run_config& config, const question& q, const std::vector<placed_agent>& agents, opening o);

/// Reads what a stored task is played by, with the literal keys of `request.team` put in. Returns an outcome whose `error` says why
/// it cannot be gone on with; empty if it can.
outcome read_opening(event_store& store, const resume_request& request, opening& out);

/// Returns a task that has ended, taken apart, or one with the `error` why nobody goes on with it; nothing if it is to be gone on
/// with. Reads on the caller's thread, but not the log if `known` is all of it.
std::optional<ledger::restored> ended_task(event_store& store, const std::string& task, const std::vector<event>& known);

/// Reads the bytes of files that go with a stored task. Returns an empty text, or which are missing. Reads on the caller's thread.
std::string bring_files(event_store& store, const std::string& task, std::vector<attachment>& files);

/// Returns every answer a task has, as a later one starts with.
std::vector<earlier_answer> answers_of(const ledger::state& s);

/// Returns why a task is left as it is for now: none of its live agents can be reached, so each would be out for good. Empty if one
/// can.
std::string unreachable(const ledger::state& s, const std::vector<placed_agent>& agents);

/// Returns an outcome that never began.
outcome refused(ec code, std::string reason);

} // namespace conclave
