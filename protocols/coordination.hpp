// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What is said about a task: events, verdicts, outcomes. Vocabulary:
/// task = one question from start to terminal event; run = one agent's work from context to verdict; round = every live agent asked
/// once; epoch = number of answers accepted so far.
///
/// The event list is the single one: store, `--json`, events.jsonl, `conclave show` and displays share it. Events are made by the
/// ledger alone (protocols/ledger.hpp), but for deliveries (`is_delivery`), by the constructors of protocols/events.hpp, which also
/// reads what a type's fields mean.

#include "protocols/chat.hpp"
#include "protocols/kept_files.hpp"
#include "protocols/outcome.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

enum class event_type : std::uint8_t {
  session_start,    ///< task begins. text = question, labels = agent ids in registration order
  round_started,    ///< round
  run_started,      ///< agent, run, round, epoch, labels = labels shown, number = attempt at this round
  context_received, ///< agent, run, labels = labels shown to the run
  call_started,     ///< agent, run, number = call, reason = request hash, target = "model" or the tool's name; said = what it is
                ///< sent: new messages, then a tool's arguments; state, kept: of the run at this call; flag = it may be made again
                ///< after a crash; use = what a model call may use and cost at most
  call_ended,   ///< agent, run, number = call, reason = status, use, target as above; said = what came back. status "unknown" =
                ///< nobody can tell: its engine, its node or its agent died under it, or the task ended without it
  new_answer,   ///< agent, run, label, text, step; epoch = after acceptance
  vote_cast,    ///< agent, run, label = agentN.voteK, target, target_label, reason, step; epoch it counts in
  vote_ignored, ///< agent, run, target, epoch = epoch now, number = epoch seen
  refused,      ///< agent, run, reason, labels = ids that may be voted for; state, kept, said: of the run that was refused. No
                ///< effect on the ledger
  restart_triggered, ///< agent = trigger, labels = affected agents
  restart_completed, ///< agent, number = restarts it completed
  run_ended,     ///< agent, run, reason = answered|voted|ignored|restarted|presented|failed|timeout|straggler|round_over|deadline|
                 ///< lost|cancelled|budget, text = partial text, code
  agent_error,   ///< agent, run, code, reason; number = failures in a row, ms = back-off before its next run
  agent_timeout, ///< agent, run, reason = which deadline
  backoff_over,  ///< agent: the back-off after a failed run has passed, it may be asked again
  agent_cancelled,       ///< agent, run
  agent_out,             ///< agent, code, reason: final for the task
  node_lost,             ///< target = node, labels = its agents, reason
  round_timeout,         ///< patience or a round deadline passed: labels = stragglers
  coordination_timeout,  ///< the coordination deadline passed
  final_agent_selected,  ///< agent = winner, labels = candidates, number = votes, flag = tie, reason = how it was chosen
  final_round_start,     ///< agent = winner, round
  presentation_started,  ///< agent, run; at most once per task
  presentation_retried,  ///< agent, run, reason
  presentation_fallback, ///< agent, reason, text = stored answer delivered instead
  final_answer,          ///< agent, label = agentN.final, text, flag = truncated
  cancel_requested,      ///< reason = signal or host
  session_end,           ///< bookkeeping: closes the session, just before the terminal event
  task_ended, ///< the one terminal event; deliveries alone may follow it. reason = outcome, see `outcome_kind`; text = finish
              ///< reason if answered, else one sentence saying why there is no answer, with code
  unknown,    ///< from a newer version; kept as it is
  // Since version 2 of the log. The numbers travel between nodes: append only.
  task_opened,   ///< before session_start: what the task is judged and replayed by. detail = an opening (protocols/opening.hpp),
                 ///< said = the files that go with the question
  agent_placed,  ///< agent, target = node, detail = {"backend","model"}
  agent_notice,  ///< agent, run (0 = none), code, reason: something a person should know; nothing is counted. Of a budget also
                 ///< target = whose ("task", "agent"), label = "tokens" or "usd", number = permille of it that are spent, 1001 = a
                 ///< call might have exceeded it (flag: the task ends therefore)
  late_text,     ///< agent, run, text, code: what a run that had ended had written; no effect
  run_continued, ///< agent, run = its new number, number = its old one: a run from before a crash goes on as it stood
  task_resumed,  ///< target = the new owner, number = its fence, ms = how long nobody worked on the task: its deadlines rested
  task_closing,  ///< how the task ends is decided while calls are under way; fields as in task_ended. Only their ends follow
  // Since agents have workspaces.
  snapshot_taken, ///< agent, run, label = of the answer these files go with, target = snapshot, number = files, kept = their bytes;
                  ///< detail = {"changes": [...]}, the folders that it changes, if it does; reason = what goes nowhere
  snapshot_failed,  ///< agent, run, label, reason: the answer goes without its files
  changes_proposed, ///< agent, run (0 = its stored answer is delivered), target = a folder of the user's, labels = its snapshot
                    ///< before and after, number = files that differ
  // What was done with an answer's files since: behind the end of the task, and no part of it.
  changes_applied, ///< target = the folder that was written, number = paths that were added, changed and removed, label = of the
                   ///< delivery in its journal; of a branch target_label = its name, label = its commit
  changes_undone,  ///< the same, of a delivery that was taken back
};

/// How many types there are.
inline constexpr std::size_t event_type_count = static_cast<std::size_t>(event_type::changes_undone) + 1;

/// Whether an event tells what was done with the files of a task that had ended. No rule knows of these.
constexpr bool is_delivery(event_type x) {
  return x == event_type::changes_applied || x == event_type::changes_undone;
}

std::string to_string(event_type x);
event_type event_type_from_string(std::string_view name);

/// One entry of a task's log. Fields not listed at its type are empty. `agent` and `target` are real ids, labels are anonymous.
struct event {
  std::uint64_t seq = 0;    ///< 1-based position in the task's stream
  std::int64_t time_ms = 0; ///< Unix time; entered with the command, so the log alone replays the task
  event_type type = event_type::unknown;
  std::string agent;
  std::uint64_t run = 0;
  std::uint32_t round = 0;
  std::uint64_t epoch = 0;
  std::string label;
  std::string target;
  std::string target_label;
  std::string text;
  std::string reason;
  std::vector<std::string> labels;
  std::int64_t number = 0;
  bool flag = false;
  ec code = ec::none;
  std::string step; ///< decision ladder: tools, schema or text
  usage use;
  std::string extra;             ///< JSON object text: fields of other versions, kept as they are; empty = none
  std::int64_t ms = 0;           ///< a duration
  std::vector<std::string> said; ///< SHA-256 of bodies kept beside the log, in order
  std::string state;             ///< SHA-256 of a run's state; empty = none here
  std::uint64_t kept = 0;        ///< how many messages of the run's conversation before still stand; `said` follows them
  std::string detail;            ///< JSON object text, its shape is the type's; empty = none
  std::string cause;             ///< on the first event of a decision: the command it answers, as JSON, without the texts that are
                                 ///< in the decision's own events
  std::string task;              ///< whose log it is in; stored beside the log, not in it
  bool operator==(const event&) const = default;
};

/// Names a run in every message about one. `fence` is its orchestrator's: a receiver that knows a higher one of the task, or
/// another run, drops the message.
struct run_ref {
  std::string task;
  std::uint64_t fence = 0;
  std::uint64_t run = 0;
  bool operator==(const run_ref&) const = default;
};

/// What a run hands in.
enum class verdict_kind : std::uint8_t {
  answer,    ///< text
  vote,      ///< target = shown id, reason
  failed,    ///< code, reason; text = partial text
  presented, ///< text; truncated
};

/// What a run hands in, or how it failed.
struct verdict {
  verdict_kind kind = verdict_kind::failed;
  std::string text;
  std::string target;
  std::string reason;
  ec code = ec::none;
  bool truncated = false;
  std::string step;
  kept_files files = {}; ///< answer and presented only
  bool operator==(const verdict&) const = default;
};

enum class ruling_kind : std::uint8_t { accepted, refused, superseded };

/// Orchestrator -> agent, the reply to a run_report, only after durability. Of calls that begin: accepted = they may be made. Of a
/// verdict: refused carries what the model may do instead.
struct ruling {
  ruling_kind kind = ruling_kind::superseded;
  std::string reason;
  std::vector<std::string> allowed; ///< ids that may be voted for
  ec code = ec::none;               ///< of calls that are refused: what the run fails with; none = `denied`
  bool operator==(const ruling&) const = default;
};

/// Tools that were not there when they were wanted: which source, and one sentence why. Both empty = no trouble.
struct tool_trouble {
  std::string source; ///< for people: "MCP server 'everything'"
  std::string why;
  bool operator==(const tool_trouble&) const = default;
};

/// Bytes of what was said, named by their SHA-256.
struct body {
  std::string sha;
  std::string bytes;
  bool operator==(const body&) const = default;
};

struct call_end {
  std::uint64_t call = 0;
  std::string target; ///< "model" or the tool's public name
  std::string status;
  usage use;
  std::vector<std::string> said; ///< names of bodies: the completion, or the result
  tool_trouble trouble;          ///< the tool's source is lost, not only this call
  bool operator==(const call_end&) const = default;
};

/// What making a call once more does. It is stored with the start of the call: what its tool says of itself later does not count.
enum class call_effect : std::uint8_t {
  once,       ///< each call may have an effect of its own
  repeatable, ///< no further effect: a model, an idempotent tool
  none,       ///< no effect at all: a read-only tool
};

struct call_begin {
  std::uint64_t call = 0;
  std::string target;
  std::string hash;              ///< of the request
  std::vector<std::string> said; ///< names of bodies: a tool's arguments
  call_effect effect = call_effect::once;
  usage reserve = {}; ///< a model's: the tokens it may use at most
  bool operator==(const call_begin&) const = default;
};

/// Agent -> orchestrator, a request answered by a `ruling`: what happened in a run and what it wants to do now. Recorded together,
/// in this order: ends of calls, then either beginnings or the verdict. It may be sent again: one with a number that was ruled on
/// gets the same ruling, and nothing happens twice (docs/protocol.md 3.5).
struct run_report {
  run_ref of;
  std::string agent;
  std::uint64_t number = 0; ///< counts the reports of an agent, over all its runs
  std::vector<call_end> ended;
  std::vector<call_begin> begun;
  bool has_verdict = false;
  verdict handed_in;
  std::string state;             ///< name of the body that is the run's state, if calls begin or a verdict is handed in
  std::uint64_t kept = 0;        ///< messages of the conversation that stand, and
  std::vector<std::string> said; ///< names of those that follow them
  std::vector<body> bodies;      ///< what is named above and was not sent before
  std::uint32_t backend = 0;     ///< the agent goes on with this one of its backends (backend_at), after the ends; 0 = as before
  std::string moved;             ///< why, for people
  bool operator==(const run_report&) const = default;
};

/// Agent on another node -> orchestrator, acknowledged: a part of a body too long for one message; the report that names it
/// follows.
struct body_part {
  run_ref of;
  std::string sha;
  std::uint64_t offset = 0;
  std::uint64_t size = 0; ///< of the whole
  std::string bytes;
  bool operator==(const body_part&) const = default;
};

struct body_ack {
  std::uint8_t unused = 0;
  bool operator==(const body_ack&) const = default;
};

/// A call of a run that was cut off, as the log knows it.
struct known_end {
  std::uint64_t call = 0;
  bool ended = false;                     ///< else under way at the crash
  completion reply;                       ///< of a model call that ended
  tool_result result;                     ///< of a tool call that ended
  call_effect effect = call_effect::once; ///< as its start was stored
  bool operator==(const known_end&) const = default;
};

/// A run of before a crash, for the agent that goes on with it.
struct stored_run {
  std::uint64_t number = 0;     ///< it had
  std::uint64_t calls_made = 0; ///< highest call number of its agent
  std::string state;            ///< JSON (protocols/run_state.hpp); empty = it starts anew
  std::vector<message> talk;    ///< its conversation at that state
  std::vector<known_end> ends;  ///< what is known to have happened since
  bool refused = false;         ///< its verdict was
  ruling refusal;
  bool operator==(const stored_run&) const = default;
};

/// A file that goes with a question: an image or a PDF.
struct attachment {
  std::string name;        ///< for people and models, as it was given
  std::string media_type;  ///< by its first bytes
  std::string sha;         ///< names the body that its bytes are kept as (run::keep_file)
  std::uint64_t bytes = 0; ///< of the file
  std::string agent;       ///< the only one that is shown it; empty = all are
  std::string data;        ///< base64; left out in the log and between nodes: bodies and `publish_file` have it
  bool operator==(const attachment&) const = default;
};

/// An earlier message of the conversation the question belongs to.
struct turn_text {
  bool from_user = true;
  std::string text;
  bool operator==(const turn_text&) const = default;
};

/// An answer as a run is shown it. `id` is anonymous ("agent2").
struct shown_answer {
  std::string id;
  std::string label; ///< "agent2.1"
  std::string text;
  std::string snapshot = {}; ///< of the files that go with it; empty = none
  bool operator==(const shown_answer&) const = default;
};

enum class run_kind : std::uint8_t { coordinate, present };

/// Orchestrator -> node -> agent: start a run. `answers` carry labels only; the node fills in texts it was sent by
/// `publish_answer`, and the bytes of files by `publish_file`.
struct start_run {
  std::string task;
  std::uint64_t fence = 0;
  std::string agent;
  std::uint64_t run = 0;
  std::uint32_t round = 0;
  std::uint64_t epoch = 0;
  std::uint64_t first_call = 1; ///< first free call number of this agent
  run_kind kind = run_kind::coordinate;
  std::string question;
  std::vector<turn_text> history;
  std::vector<shown_answer> answers;
  bool may_answer = true;
  bool may_vote = false;
  std::string own_id;                    ///< present only: which shown id is the presenter's own
  std::vector<std::string> vote_reasons; ///< present only: reasons given for the winner
  std::int64_t votes = 0;                ///< present only
  bool tie = false;                      ///< present only
  std::int64_t now_ms = 0;               ///< Unix time; the prompt shows it as local time of the agent's node
  std::vector<stored_run> stored = {};   ///< one: go on from this
  std::string on_unknown;                ///< of such a run: what to do about tool calls that may have happened
  std::vector<attachment> attachments = {};
  bool planning = false;                 ///< no tool is called in this run
  std::string planning_instruction = {}; ///< empty = the usual one
  bool planning_reads = false;           ///< but for read-only ones
  std::string snapshot = {};             ///< what its workspace starts from: of the agent's newest answer; empty = none
  bool again = false;                    ///< its last run broke off: the workspace stays as that left it
  bool operator==(const start_run&) const = default;
};

/// Orchestrator -> node, before the first start_run that names the label.
struct publish_answer {
  std::string task;
  std::uint64_t fence = 0;
  std::string label;
  std::string text;
  bool operator==(const publish_answer&) const = default;
};

/// Orchestrator -> node, before the first start_run that names it: a part of a file, in order.
struct publish_file {
  std::string task;
  std::uint64_t fence = 0;
  std::string sha;
  std::uint64_t offset = 0;
  std::uint64_t size = 0; ///< of the whole, as base64
  std::string bytes;
  bool operator==(const publish_file&) const = default;
};

/// Orchestrator -> node -> agent: abandon this run, on the wire at once. The agent still reports `failed/cancelled`.
struct cancel_run {
  run_ref of;
  std::string agent;
  std::string reason;
  bool operator==(const cancel_run&) const = default;
};

/// Orchestrator -> node: the task is over; its agents end.
struct end_task {
  std::string task;
  std::uint64_t fence = 0;
  bool operator==(const end_task&) const = default;
};

/// Node -> orchestrator, reply to end_task: the agents have ended. `notes` say what a script left unused.
struct task_closed {
  std::string task;
  std::vector<std::string> notes;
  bool operator==(const task_closed&) const = default;
};

/// Node -> orchestrator: an agent died or could not start.
struct agent_lost {
  std::string task;
  std::uint64_t fence = 0;
  std::string agent;
  ec code = ec::unknown;
  std::string reason;
  bool operator==(const agent_lost&) const = default;
};

/// A question for the engine.
struct question {
  std::string text;
  std::vector<turn_text> history;
  std::vector<attachment> attachments = {}; ///< of a host: `name` is a path, an https URL or a data URL, or `data` is set
  bool operator==(const question&) const = default;
};

} // namespace conclave
