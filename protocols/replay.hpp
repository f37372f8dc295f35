// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What a stored log is good for besides being shown: the state of its task, what each run was about, and the proof that the rules
/// of this build decide as those did that wrote it. Pure; takes any log without a crash.
///
///   auto r = ledger::restore(log);            // r.error: why it cannot be gone on with
///   for (auto& x : ledger::unfinished(log))   // what to give each agent that was at work
///     ...

#include "protocols/ledger.hpp"
#include "protocols/opening.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace conclave::ledger {

/// Returns the command as the first event of its decision keeps it: JSON, without the texts that are in `events` themselves. A text
/// of more than 48 bytes that is in none of them (of a refused answer) is told to `keep`, which returns its SHA-256; without a
/// `keep` it is written out. `c` must hold its texts still. Shape: docs/events.md, "Causes".
std::string cause_of(const command& c, const std::vector<event>& events,
                     const std::function<std::string(const std::string&)>& keep);

/// The other way round, for the events of one decision. `find` returns the text behind a SHA-256, or nullptr. Returns false on a
/// cause that cannot be read, also one that says more than this build knows; `out` is as it was then.
bool read_cause(const std::vector<event>& decision, const std::function<const std::string*(const std::string&)>& find,
                command& out);

/// A log, taken apart. `error` not empty: it cannot be gone on with, and why (a version from before task_opened, a type of event
/// this build does not know, a gap).
struct restored {
  ledger::state state;
  conclave::opening opening;
  std::uint64_t seq = 0;    ///< of the last event
  std::int64_t last_ms = 0; ///< the latest time of an event, but for deliveries
  std::string error;
};

/// Returns the state that the whole log, of seq 1 and on, leads to; deliveries behind its end change none. Costs what the log is
/// long. `known`: what its first event says, by whoever has read it already; it may be long.
restored restore(const std::vector<event>& log, const opening* known = nullptr);

/// A call of an unfinished run, as the log knows it.
struct known_call {
  std::uint64_t call = 0;
  std::string target; ///< "model" or the tool
  bool ended = false;
  std::string status;            ///< if it ended
  std::vector<std::string> said; ///< of its end: what came back
  std::vector<std::string> sent; ///< of its start: a tool's arguments
  call_effect effect = call_effect::once;
  bool unsettled = true; ///< no result of it is known, and the run has not gone on without one
};

/// A run that was active when the log stops: the newest state that is durable, and what happened since. States come with model
/// calls and with refusals; of a tool's call `said` are its arguments and no part of the conversation.
struct unfinished_run {
  std::string agent;
  std::uint64_t run = 0;
  bool present = false;
  std::string state;             ///< SHA-256; empty = nothing is known, it starts anew under its new number
  std::vector<std::string> talk; ///< SHA-256 of its conversation's messages at that state, in order
  std::vector<known_call> calls; ///< of the run, also under its earlier numbers, in order
  bool refused = false;          ///< the state was stored with a refusal; as it was given:
  ruling refusal;
  std::uint64_t calls_made = 0; ///< highest call number of the agent
};

/// Returns the runs that have begun and not ended, by number. A log in which `take_over` and `continue_run` are done already gives
/// them under their new numbers.
std::vector<unfinished_run> unfinished(const std::vector<event>& log);

/// Returns how many model calls of each agent have brought a reply: a scripted model goes on there.
std::map<std::string, std::uint64_t> played(const std::vector<event>& log);

/// Returns which of its backends each agent went on with last (backend_at); who has its own is not named.
std::map<std::string, std::uint32_t> backends_in_use(const std::vector<event>& log);

/// Returns what these events count against the bound of a log: the bytes of their texts.
std::uint64_t stored_bytes(const std::vector<event>& events);

/// Of one kind of thing that a log holds: what is not as this build makes it.
struct made_again {
  std::size_t compared = 0;
  std::size_t differing = 0; ///< of them; what follows one is compared as if that had been made alike
  std::string first;         ///< the first that differs: its seq, and where; empty = none
};

/// What a log holds beside its decisions, and what this build makes of the same replies and results.
struct run_check {
  made_again prompts; ///< of model calls
  made_again states;  ///< of runs, at calls and refusals
};

/// Makes every decision of the log again, and with the stored replies and results every run, and compares. Returns an empty text,
/// or the first difference: its seq, what the log says and what this build decides or its run does; a body that its event names and
/// that is not there or holds other bytes than its name says; or why it cannot be verified: what `restore` says, or that it tells
/// no causes (version 1). Prompts and states that differ are no difference: they go to `runs`, if it is given. What nobody decided
/// here is taken as it stands: the time zone in a prompt, failures from outside, what a run that never got as far as a call failed
/// of, and whatever the log holds once (docs/protocol.md 9.5).
std::string verify(const std::vector<event>& log, const std::function<const std::string*(const std::string&)>& find,
                   run_check* runs = nullptr);

} // namespace conclave::ledger
