// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One run of an agent as pure data: from its task to its verdict. No CAF, no clock, no I/O.
///
///   run::state s;
///   for (auto& a : run::step(with, s, run::started{task})) carry_out(a);
///
/// The agent actor turns what happens into inputs and carries out actions, and nothing else. Whatever must be durable before it has
/// an effect leaves as `report`: the ends of calls, and what follows from them, together; the call is made (`send_model`,
/// `send_tool`), or the verdict settled, by the `ruled` that answers it. So the state at a report, with what was recorded after it,
/// is all that a run needs to go on after a crash (`continued`).
///
///   started -> prepare;  prepared -> report{begin};  ruled -> send_model;  completion -> report{end, begin tools | begin model |
///   verdict};  ruled -> send_tool ...;  tool_done -> report{end} or report{end, begin};  ruled{refused} -> report{begin} ...
///
/// Inputs that do not fit the state (a reply to a call that is not under way, a ruling nobody waits for) have no effect.

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "protocols/internal.hpp"
#include "protocols/prompts.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace conclave::run {

/// Which reply a model call is to bring.
enum class asked_for : std::uint8_t { verdict, decision, text_answer, text_verdict, presentation };

enum class stage : std::uint8_t {
  idle,      ///< no run, or it is over
  preparing, ///< asked what the connection can
  announced, ///< a report waits for its ruling
  model,     ///< a model call is under way
  tools,     ///< tool calls are waiting, announced or under way
};

/// A tool as its source lists it.
struct offered_tool {
  tool_spec spec;
  std::size_t source = 0; ///< index of its source with the agent
  bool read_only = false;
  bool idempotent = false; ///< may be repeated without a further effect
  bool operator==(const offered_tool&) const = default;
};

/// What to do about a tool call that was under way at a crash and may have had its effect.
enum class on_unknown : std::uint8_t {
  tell,   ///< the model gets an error result that says so
  fail,   ///< the run fails
  repeat, ///< it is made again
};

/// What a run works with and does not change: the agent's configuration and what its tool sources offer. Not stored with the state.
struct setting {
  agent_config agent;
  std::map<std::string, offered_tool> tools; ///< by public name
  on_unknown unknown = on_unknown::tell;
};

/// One tool call of a model's reply.
struct pending_call {
  tool_call call;
  std::string key;          ///< names the call for its source; stays the same over resumes
  std::uint64_t number = 0; ///< in the log, once it is announced; a repetition has a new one
  std::uint8_t stage = 0;   ///< 0 waiting, 1 announced, 2 under way, 3 done
  tool_result result;
  bool operator==(const pending_call&) const = default;
};

/// What an agent remembers from one run to the next.
struct memory {
  bool saw_tools = false;
  std::size_t learned_budget = 0;    ///< bytes of shown answers a provider found too long; 0 = none did
  std::int64_t decision_room = 4096; ///< tokens of a decision
  std::uint32_t round = 0;           ///< of the task, and
  run_kind kind = run_kind::coordinate;
  std::int64_t vain = 0; ///< requests in it since the last reply that brought a run on
  ec vain_code = ec::none;
  std::string vain_error;
  bool operator==(const memory&) const = default;
};

/// A run, and what its agent remembers. Stored as versioned JSON (protocols/run_state.hpp), the conversation apart from it.
struct state {
  run::memory memory;
  run_task task; ///< stored without question, history and texts: the log has them
  run::stage stage = run::stage::idle;
  bool cancelled = false;
  std::vector<message> talk;
  std::size_t kept = 0; ///< messages at the front of `talk` that an earlier report has stored already
  prompts::ladder step = prompts::ladder::tools;
  bool ladder_fixed = false;
  std::size_t budget_bytes = 0; ///< of the answers shown; 0 = unbounded
  asked_for want = asked_for::verdict;
  std::uint32_t attempt = 1;
  std::uint32_t bare_replies = 0;
  std::uint32_t iterations = 0; ///< rounds of tool calls
  std::uint32_t overflows = 0;
  std::uint32_t pauses = 0;
  std::string last_asked; ///< hash of the tool calls of the last round
  std::uint32_t repeats = 0;
  std::uint64_t calls = 0;      ///< calls of the agent announced so far; the next one is calls + 1
  std::uint64_t model_call = 0; ///< announced or under way; 0 = none
  completion reply;             ///< whose tool calls are carried out
  std::vector<pending_call> pending;
  bool handing_in = false; ///< the report under way holds `handed_in`
  verdict handed_in;
  std::string answers_call; ///< id of the model's call that the verdict came from; empty = none
  std::string said;         ///< text of the model's turn before its last pause
  std::string partial;      ///< text of the last broken or cancelled call
  bool operator==(const state&) const = default;
};

// Inputs.

struct started {
  run_task task; ///< texts filled in
};
/// Backend and tools are known; `info` is what the connection says.
struct prepared {
  backend_info info;
};
/// The backend cannot be asked.
struct unprepared {
  ec code = ec::unavailable;
  std::string reason;
};
/// The answer to the report under way. A ruling that was lost (no orchestrator any more) is `superseded`.
struct ruled {
  ruling by;
};
struct model_done {
  std::uint64_t call = 0;
  completion reply;
};
/// The call was never sent.
struct model_failed {
  std::uint64_t call = 0;
  ec code = ec::unavailable;
  std::string reason;
};
struct tool_done {
  std::uint64_t call = 0;
  tool_result result;
  std::string status; ///< for the log: finished, error, or the code of what went wrong
  tool_trouble trouble;
};
struct cancelled {
  std::string reason;
};
/// After a crash: `s` is the stored state, its run has a new number, and this is what the log knows to have happened since.
struct known_end {
  std::uint64_t call = 0;
  bool ended = false; ///< else under way at the crash
  completion reply;   ///< of a model call that ended
  tool_result result; ///< of a tool call that ended
};
struct continued {
  run_task task; ///< as `started`, under the new number
  std::vector<known_end> ends;
  bool refused = false; ///< the verdict of the state was refused
  ruling refusal;
};
/// The sources' tools are others now.
struct tools_changed {};

using input =
    std::variant<started, prepared, unprepared, ruled, model_done, model_failed, tool_done, cancelled, continued, tools_changed>;

// Actions, in the order in which they are to be carried out.

/// Ask the connection what it can: answered by prepared or unprepared.
struct prepare {};

struct ended_call {
  std::uint64_t call = 0;
  std::string target; ///< "model" or the tool's public name
  std::string status;
  usage use;
  completion reply;   ///< a model's
  tool_result result; ///< a tool's
  tool_trouble trouble;
};
struct begun_call {
  std::uint64_t call = 0;
  std::string target;
  std::string hash;
  std::string arguments; ///< a tool's
};
/// To be recorded together, in this order: ends, then what begins, or the verdict. `ask`: a `ruled` is awaited.
struct report {
  std::vector<ended_call> ended;
  std::vector<begun_call> begun;
  bool has_verdict = false;
  verdict handed_in;
  bool ask = true;
};
struct send_model {
  model_request request;
};
struct send_tool {
  std::uint64_t call = 0;
  std::size_t source = 0;
  tool_call what;
  std::string key;
};
struct cancel_model {
  std::uint64_t call = 0;
};
struct cancel_all_tools {};
/// For eyes: a status line of the run.
struct tell {
  std::string text;
};
/// For the connection to remember.
struct remember {
  ladder_note note;
};
/// The run is over: nothing of it is awaited any more.
struct over {};

using action = std::variant<prepare, report, send_model, send_tool, cancel_model, cancel_all_tools, tell, remember, over>;

/// Takes one input. Linear in what it changes; the conversation is copied once into each model request.
std::vector<action> step(const setting& with, state& s, input in);

/// What may stop a call, in order: the one list of such rules. `deny` gives the model the text as an error result.
enum class policy_answer : std::uint8_t { go, deny };
struct policy_ruling {
  policy_answer answer = policy_answer::go;
  std::string text;
};
struct policy {
  const char* name;
  policy_ruling (*before_model)(const setting&, const state&);                  ///< nullptr = no opinion
  policy_ruling (*before_tool)(const setting&, const state&, const tool_call&); ///< nullptr = no opinion
  void (*after_tool)(const setting&, state&, const tool_call&, tool_result&);   ///< nullptr = no opinion
};
const std::vector<policy>& policies();

} // namespace conclave::run
