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
/// A tool call that planning mode refuses is announced, and not made: refuse_tool, answered by tool_done.
/// A policy may keep a call, or the result of one, on hold: ask_policy, answered by policy_said; what else there is to do goes on
/// meanwhile. A hold that is open at a crash is asked about again. An answer of a run that has a workspace waits for a snapshot of
/// it: take_snapshot, answered by snapshot_taken. Where a tool source says that its list is another one, the next model call waits
/// for the new list: list_again, answered by tools_changed.
///
/// At most one report at a time awaits its ruling (`ask`). The others tell ends alone, or that the run failed: with that it is
/// over. A state is worth storing with a report that asks; what other reports tell comes back by `continued.ends`.
///
/// Inputs that do not fit the state (a reply to a call that is not under way, a ruling nobody waits for) have no effect. The one
/// exception: a call that outlives its run (`late`) still has its end reported, and the partial text of a model call as well.

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "protocols/internal.hpp"
#include "protocols/prompts.hpp"

#include <cstdint>
#include <map>
#include <set>
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
  tools,     ///< tool calls are waiting, announced, under way or on hold
  on_hold,   ///< a policy keeps the next model call waiting
  snapshot,  ///< an answer waits for a snapshot of the workspace
  listing,   ///< the next model call waits for the tools to be listed again; not stored: no report awaits its ruling then
};

/// A tool as its source lists it.
struct offered_tool {
  tool_spec spec;
  std::size_t source = 0; ///< index of its source with the agent
  bool read_only = false;
  bool idempotent = false; ///< may be repeated without a further effect
  call_effect effect() const { return read_only ? call_effect::none : idempotent ? call_effect::repeatable : call_effect::once; }
  bool operator==(const offered_tool&) const = default;
};

/// What to do about a tool call that was under way at a crash and may have had its effect.
enum class on_unknown : std::uint8_t {
  tell,   ///< the model gets an error result that says so
  fail,   ///< the run fails
  repeat, ///< it is made again
};

struct policy;
const std::vector<policy>& policies();

/// What a run works with and does not change itself: the agent's configuration and what its tool sources offer. Not stored with the
/// state.
struct setting {
  agent_config agent;
  std::map<std::string, offered_tool> tools; ///< by public name
  std::set<std::string> gone;                ///< tools that were offered once and are no more
  bool tools_stale = false;                  ///< a source has another list by now
  std::vector<std::string> unusable = {};    ///< by number of a backend: why it cannot be asked at all; empty = it can
  on_unknown unknown = on_unknown::tell;
  const std::vector<policy>* policies = &run::policies(); ///< not null
  std::int32_t utc_offset_s = 0;                          ///< what local time is ahead of UTC when a run starts
  std::uint32_t number = 0;                               ///< of the agent: "agentN"
};

enum class call_stage : std::uint8_t {
  waiting,
  announced,
  under_way,
  done,
  on_hold, ///< by a policy: the call if it has no number yet, else its result
};

/// One tool call of a model's reply.
struct pending_call {
  std::uint32_t at = 0;     ///< which call of the reply
  tool_call call;           ///< not stored: the reply has it
  std::uint64_t number = 0; ///< in the log, once it is announced; a repetition has a new one, one that was not let pass has none
  std::uint64_t first = 0;  ///< the number it had first: its key, which stays the same over resumes
  call_stage stage = call_stage::waiting;
  std::string policy;     ///< where judging it goes on: the one that keeps it on hold; empty = at the first
  std::uint64_t hold = 0; ///< names the hold; not stored: after a crash it is another one
  bool cleared = false;   ///< it may begin: every policy let it pass, after a hold
  std::string
      refused; ///< how its end stands in the log, if it is announced and not made; `result` says why. Not stored: judged again
  tool_result result; ///< stored only without a number: else the log has it
  bool operator==(const pending_call&) const = default;
};

/// A call that outlives its run.
struct late_call {
  std::uint64_t call = 0;
  std::uint64_t run = 0;
  std::uint32_t round = 0;
  std::string target;
  bool is_model = false;
  bool operator==(const late_call&) const = default;
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
  std::uint32_t backend = 0;          ///< of the agent's: the one that is asked (backend_at)
  std::vector<std::string> left = {}; ///< the backends before it, each with why it is not asked any more
  bool operator==(const memory&) const = default;
};

/// A result that a model was shown only in part.
struct long_result {
  std::string id;         ///< by which the model reads on
  std::uint64_t call = 0; ///< number of its call in the log; 0 = the log does not have it as it is
  std::string text;       ///< not stored: the log has it
  bool operator==(const long_result&) const = default;
};

/// A run, and what its agent remembers. Stored as versioned JSON (protocols/run_state.hpp), the conversation apart from it. What
/// the log has anyway is not stored: the texts of the task, the reply whose calls are carried out, results of tools, and the text
/// of an answer that is handed in.
struct state {
  run::memory memory;
  start_run task; ///< stored without question, history, texts and reasons: the log has them
  run::stage stage = run::stage::idle;
  bool cancelled = false;
  bool restarted = false; ///< the model is to be told that its tool servers were started anew
  std::vector<message> talk;
  std::size_t kept = 0;           ///< messages at the front of `talk` that are as the report before had them; the rest is new
  std::size_t touched = SIZE_MAX; ///< first message that was shortened while a report awaits its ruling; not stored
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
  std::uint64_t reply_call = 0; ///< the model call whose reply is being dealt with: its tools, its verdict; the log has it
  completion reply; ///< of it, while its tool calls are carried out: with `lead` and the names as understood; not stored
  std::vector<std::string> names; ///< of the calls of `reply` as they were understood; empty = as the model wrote them
  std::string lead;               ///< what was said before the pauses of the turn that `reply_call` ended
  std::vector<pending_call> pending;
  std::vector<long_result> long_results; ///< oldest first
  std::size_t held = 0;                  ///< bytes of the run while tool calls are carried out; not stored
  std::uint64_t reports = 0;             ///< so far; numbers them
  std::uint64_t awaited = 0;             ///< the report whose ruling is awaited; 0 = none
  bool handing_in = false;               ///< the report under way holds `handed_in`
  verdict handed_in;                     ///< stored without the text of an answer
  std::string answers_call;              ///< id of the model's call that the verdict came from; empty = none
  std::string said;                      ///< text of the model's turn before its last pause
  std::string partial;                   ///< text of the last broken or cancelled call
  std::string policy;                    ///< that keeps the model call on hold
  std::uint64_t holds = 0;               ///< of the agent so far; the newest is the model call's where one is on hold; not stored
  std::string workspace;                 ///< empty = none
  std::string snapshot;                  ///< of it, for the answer that is handed in
  std::vector<late_call> late;           ///< not stored: nobody brings their ends after a crash
  bool operator==(const state&) const = default;
};

// Inputs.

struct started {
  start_run task; ///< texts filled in
};
/// Backend and tools are known; `info` is what the connection says.
struct prepared {
  std::uint64_t run = 0; ///< that asked
  backend_info info;
  std::string workspace = {}; ///< names where the run keeps its files; empty = it has no such place
};
/// The backend cannot be asked.
struct unprepared {
  std::uint64_t run = 0;
  ec code = ec::unavailable;
  std::string reason;
};
/// The answer to a report. `refused`: what was to begin may not, or the verdict is not accepted. A ruling that was lost (no
/// orchestrator any more) is `superseded`.
struct ruled {
  std::uint64_t report = 0; ///< its number
  ruling by;
};
struct model_done {
  std::uint64_t call = 0;
  completion reply;
};
/// The call has no reply. Unless the connection is gone it was never sent.
struct model_failed {
  std::uint64_t call = 0;
  ec code = ec::unavailable;
  std::string reason;
  bool gone = false; ///< nobody can tell whether it was sent: it may have cost something
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
/// After a crash: `s` is the stored state with its conversation, its run has a new number, and this is what the log has of it.
/// `ends` must have `reply_call` if the state names one, and each call of `pending` with a number and of `long_results` that
/// ended; further ones do no harm. A pending call without an end was under way; what it may have done is told by the `effect` its
/// start was stored with. Calls of the old number get no end here: that is for whoever took the task over. A state without a run
/// starts anew.
struct continued {
  start_run task; ///< as `started`, under the new number
  std::vector<known_end> ends;
  bool refused = false; ///< the report of the state was refused: its verdict, or what was to begin
  ruling refusal;
};
/// `setting.tools` are others now, or `list_again` is carried out: one listing comes before a model call at the most. A call whose
/// tool is gone when its turn comes gets an error result.
struct tools_changed {};
/// The answer to `ask_policy`. `text` says why not; it is cut to 4 KiB.
struct policy_said {
  std::uint64_t run = 0;  ///< that asked
  std::uint64_t call = 0; ///< as it was asked
  bool go = false;        ///< else denied
  std::string text;
};
/// The answer to `take_snapshot`. Without a snapshot the answer is handed in all the same, and a person is told.
struct snapshot_taken {
  std::uint64_t run = 0; ///< that asked
  std::string id;        ///< empty = it failed, `why` says how
  std::string why;
  std::int64_t files = 0, bytes = 0;
  std::vector<folder_change> changes = {};
  bool mend = false; ///< without these files the answer is not taken: `why` tells the model what to do
  std::string left = {};
};

using input = std::variant<started, prepared, unprepared, ruled, model_done, model_failed, tool_done, cancelled, continued,
                           tools_changed, policy_said, snapshot_taken>;

// Actions, in the order in which they are to be carried out.

/// Ask the connection what it can: answered by prepared or unprepared.
struct prepare {
  std::uint64_t run = 0;
};

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
  call_effect effect = call_effect::repeatable;
  usage reserve = {}; ///< a model's: what it may use at most
};
/// To be recorded together, in this order: ends, then what begins, or the verdict. `ask`: a `ruled` is awaited. The same report may
/// be sent again: its number tells.
struct report {
  std::uint64_t number = 0; ///< counts the reports of an agent, also over resumes
  std::uint64_t run = 0;    ///< whose calls these are: of a late end, a run that is over
  std::vector<ended_call> ended;
  std::vector<begun_call> begun;
  bool has_verdict = false;
  verdict handed_in;
  std::uint32_t backend = 0; ///< the agent goes on with this one of its backends; 0 = as before
  std::string moved;         ///< why, for people
  bool ask = true;
};
struct send_model {
  model_request request;
};
struct send_tool {
  std::uint64_t call = 0;
  std::uint64_t run = 0;
  std::size_t source = 0;
  tool_call what;
  std::string key;
};
/// A call that was announced is not made: answered by tool_done, with this result and status.
struct refuse_tool {
  std::uint64_t call = 0;
  tool_result result;
  std::string status;
};
/// Answered by model_done, which brings the partial text; or by model_failed, if there is no connection any more.
struct cancel_model {
  std::uint64_t run = 0;
  std::uint64_t call = 0;
};
struct cancel_all_tools {
  std::uint64_t run = 0;
};
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
/// Ask whoever decides for a policy whether a call may go on: answered by policy_said. Asked about again under another number after
/// a crash. A run that is over takes its questions with it.
struct ask_policy {
  std::uint64_t run = 0;
  std::uint64_t call = 0; ///< names what is on hold; no number of the log, a call has none before it is announced
  std::string policy;     ///< its name
  std::string what;       ///< for a person: what is to happen
};
/// Keep the workspace as it is now: answered by snapshot_taken.
struct take_snapshot {
  std::uint64_t run = 0;
  std::string workspace;
  bool final = false; ///< of a presentation: also what it changed of the user's folders
};
/// Have the tools of the sources that changed listed again: answered by tools_changed, whatever came of it.
struct list_again {};

using action = std::variant<prepare, report, send_model, send_tool, refuse_tool, cancel_model, cancel_all_tools, tell, remember,
                            over, ask_policy, take_snapshot, list_again>;

/// Takes one input. The conversation is hashed when a model call is announced, and copied once, into its request; else the cost is
/// linear in what changes.
std::vector<action> step(const setting& with, state& s, input in);

/// Returns the request of the model call under way as `send_model` had it, for one that was not sent: in `stage::model` alone.
model_request request_again(const setting& with, state& s);

/// Returns what names a tool call for its source, by the number it was first announced under.
std::string key_of(const start_run& t, std::uint64_t first);

/// What may stop or delay a call, in order: the one list of such rules. The first that denies counts; one that waits keeps the call
/// on hold until `policy_said`, and those after it are asked then. A model call that is denied fails the run with code and text. A
/// tool call that is denied is not announced, unless the ruling has a status, and the model gets the text as an error result;
/// likewise instead of a result that is denied. A result is durable before a policy waits with it.
///
/// What they see is the state as it is then. After a crash those that may not have been asked are asked again, so what they say
/// must follow from their arguments alone, and what `after_tool` makes of a result must leave its own work as it is.
enum class policy_answer : std::uint8_t { go, deny, wait };
struct policy_ruling {
  policy_answer answer = policy_answer::go;
  std::string text;        ///< deny: why; wait: what is to be decided
  ec code = ec::denied;    ///< before_model only
  std::string status = {}; ///< before_tool, deny: the log has the call, with this end; empty = it has not
};
struct policy {
  const char* name;                                            ///< stored: one that gets another name is another policy
  policy_ruling (*before_model)(const setting&, const state&); ///< nullptr = no opinion
  policy_ruling (*before_tool)(const setting&, const state&, const tool_call&); ///< nullptr = no opinion
  policy_ruling (*after_tool)(const setting&, const state&, const tool_call&,
                              tool_result&); ///< may change it; nullptr = no opinion
  /// Estimates what a model call may use at most, for the ledger to decide on; the request is without its conversation, which is
  /// the state's. nullptr = no opinion.
  usage (*reserve)(const setting&, const state&, const model_request&) = nullptr;
};

} // namespace conclave::run
