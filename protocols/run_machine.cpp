// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A run from its task to its end: what is announced, and what a ruling lets happen.

#include "protocols/run_machine.hpp"

#include "protocols/run_mover.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_paths.hpp"

#include <algorithm>
#include <utility>

namespace conclave::run {

using prompts::ladder;

namespace {

ladder from_name(const std::string& x) {
  return x == "schema" ? ladder::schema : x == "text" ? ladder::text : ladder::tools;
}

/// Of a key in them the log keeps nothing, not even a hash; and with another key they are the same.
std::string without_keys(std::string params) {
  auto spans = find_secrets({}, params);
  for (auto s = spans.rbegin(); s != spans.rend(); ++s)
    params.replace(s->begin, s->end - s->begin, "***");
  return params;
}

/// Names the request in the log; what is hashed is what the model is told.
std::string hash_of(const model_request& r, const std::vector<message>& talk) {
  std::string all = r.model + '\n' + without_keys(r.params) + '\n' + r.schema;
  for (auto& t : r.tools)
    all += t.name + t.parameters;
  all = wire::hash(all);
  for (auto& m : talk) { // one after the other: a second copy of a long conversation is not needed
    all += '\n' + std::to_string(static_cast<int>(m.from)) + m.text + m.tool_call_id;
    for (auto& c : m.calls)
      all += c.id + c.name + c.arguments;
    all = wire::hash(all);
  }
  return all;
}

/// The model call `s.model_call`, without its conversation.
model_request request_of(const setting& with, const state& s, const wire::choice& may) {
  const auto& config = backend_at(with.agent, s.memory.backend);
  model_request req;
  req.task = s.task.task;
  req.run = s.task.run;
  req.call = s.model_call;
  req.agent = s.task.agent;
  req.model = config.model;
  req.params = config.params;
  req.max_output_tokens = config.max_tokens;
  req.first_token_timeout_ms = config.first_token_timeout_ms;
  req.idle_timeout_ms = config.idle_timeout_ms;
  req.total_timeout_ms = config.timeout_ms;
  req.max_requests = std::max<std::int64_t>(max_vain_requests - s.memory.vain, 1);
  req.one_bill = with.agent.budget.limits() || with.agent.budget.counted;
  if (s.want == asked_for::decision) {
    req.schema = wire::decision_schema(may);
    // The user's bound stays one, down to what the JSON alone takes.
    if (req.max_output_tokens <= 0 || req.max_output_tokens > s.memory.decision_room)
      req.max_output_tokens = s.memory.decision_room;
    req.max_output_tokens = std::max(req.max_output_tokens, least_decision_tokens);
  }
  if (s.step == ladder::tools && (s.want == asked_for::verdict || s.want == asked_for::presentation)) {
    if (s.iterations < static_cast<std::uint32_t>(with.agent.backend.max_tool_iterations))
      for (auto& [name, tool] : with.tools)
        req.tools.push_back(tool.spec);
    if (s.want == asked_for::verdict)
      for (auto& spec : wire::workflow_tools(may))
        req.tools.push_back(spec);
  }
  return req;
}

/// What a model is told after a crash that its tools did not survive.
std::string lost_state(const setting& with) {
  std::string names;
  for (auto& m : with.agent.backend.mcp_servers)
    names += (names.empty() ? "" : ", ") + m.name;
  return "Note: the program that runs your tools was restarted. The tool servers " + names
         + " were started anew: what they kept in memory (open pages, sessions, variables) is gone.";
}

} // namespace

model_request request_again(const setting& with, state& s) {
  auto req = request_of(with, s, mover{with, s, {}, {}}.choice());
  req.messages = s.talk;
  return req;
}

std::vector<action> step(const setting& with, state& s, input in) {
  mover m{with, s, {}, {}};
  std::visit([&](auto& x) { m.on(std::move(x)); }, in);
  m.finish();
  return std::move(m.out);
}

/// A newer run takes the place of one that is not over.
void mover::take_over() {
  if (s.stage == stage::model) {
    if (!s.cancelled) // its completion brings the partial text
      out.push_back(cancel_model{s.task.run, s.model_call});
    s.late.push_back({s.model_call, s.task.run, s.task.round, "model", true});
    over();
  } else if (s.handing_in) { // a verdict under way counts, in arrival order
    over();
  } else if (s.stage != stage::idle) {
    fail(ec::cancelled, "cancelled");
  }
}

void mover::on(started x) {
  take_over();
  state n;
  n.memory = std::move(s.memory);
  n.calls = std::max(s.calls, x.task.first_call > 0 ? x.task.first_call - 1 : 0);
  n.reports = s.reports;
  n.holds = s.holds;
  n.late = std::move(s.late);
  n.task = std::move(x.task);
  n.stage = stage::preparing;
  s = std::move(n);
  auto& m = s.memory;
  if (m.round != s.task.round || m.kind != s.task.kind) {
    m.round = s.task.round;
    m.kind = s.task.kind;
    m.vain = 0;
    m.vain_code = ec::none;
    m.vain_error.clear();
  }
  out.push_back(prepare{s.task.run});
}

void mover::on(prepared x) {
  if (s.stage != stage::preparing || x.run != s.task.run)
    return;
  auto& decision = in_use().decision;
  s.ladder_fixed = decision != "auto" && !decision.empty();
  s.step = from_name(s.ladder_fixed ? decision : x.info.step);
  s.memory.saw_tools = x.info.saw_tools;
  s.workspace = std::move(x.workspace);
  // Three bytes a token is a careful mean over languages; half of the window stays for the conversation's growth and the reply.
  s.budget_bytes = x.info.context_tokens > 0 ? static_cast<std::size_t>(x.info.context_tokens) * 3 / 2 : 0;
  if (auto learned = s.memory.learned_budget; learned > 0 && (s.budget_bytes == 0 || learned < s.budget_bytes))
    s.budget_bytes = learned;
  open_talk();
  call_model();
}

void mover::on(unprepared x) {
  if (s.stage != stage::preparing || x.run != s.task.run)
    return;
  if (!fall_over(x.code, x.reason))
    return fail(x.code, std::move(x.reason));
  out.push_back(prepare{s.task.run});
}

/// The first messages of the run for the ladder's step.
void mover::open_talk() {
  auto system = instructions();
  s.want = s.task.kind == run_kind::present              ? asked_for::presentation
           : s.step == ladder::tools                     ? asked_for::verdict
           : s.step == ladder::schema && s.task.may_vote ? asked_for::decision
           : s.step == ladder::schema                    ? asked_for::text_answer // without a choice, no decision
                                                         : asked_for::text_verdict;
  auto talk = [&](const start_run& t) {
    if (s.want == asked_for::presentation)
      return prompts::presentation(t, system, s.budget_bytes);
    if (s.want == asked_for::decision)
      return prompts::decision(t, system, s.budget_bytes);
    return prompts::coordination(t, system, s.step, s.budget_bytes, s.step == ladder::tools ? with.utc_offset_s : 0);
  };
  if (s.workspace.empty())
    return begin_talk(talk(s.task));
  auto t = s.task; // it speaks of files where this agent finds them
  for (auto& a : t.answers)
    a.text = workspace_paths::expanded(std::move(a.text), s.workspace);
  for (auto& reason : t.vote_reasons)
    reason = workspace_paths::expanded(std::move(reason), s.workspace);
  begin_talk(talk(t));
}

/// The agent's own instructions, and where its files are.
std::string mover::instructions() const {
  auto text = with.agent.system_message;
  if (!s.workspace.empty() && s.step == ladder::tools)
    text += (text.empty() ? "" : "\n\n") + prompts::workspace(s.task, with.agent.backend, s.workspace);
  return text;
}

/// The files of the task stand beside its question.
void mover::begin_talk(std::vector<message> talk) {
  s.kept = 0;
  s.talk = std::move(talk);
  for (auto& a : s.task.attachments) {
    auto kind = a.media_type.starts_with("image/") ? content_kind::image : content_kind::resource;
    s.talk.back().parts.push_back({kind, a.name, a.media_type, a.data, {}});
  }
}

wire::choice mover::choice() const {
  wire::choice may;
  may.may_answer = s.task.may_answer;
  if (s.task.may_vote)
    for (auto& a : s.task.answers)
      may.ids.push_back(a.id);
  return may;
}

void mover::call_model() {
  if (std::exchange(s.restarted, false))
    ask_user(lost_state(with));
  if (!with.tools_stale)
    return judge_model(0);
  s.stage = stage::listing;
  out.push_back(list_again{});
}

void mover::announce_model() {
  trim();
  if (!make_room())
    return no_room();
  s.reply_call = 0; // dealt with
  s.names.clear();
  s.lead.clear();
  s.model_call = ++s.calls;
  auto req = request_of(with, s, choice());
  next.begun.push_back({s.model_call, "model", hash_of(req, s.talk), {}, call_effect::repeatable, reserve_of(req)});
  flush(true);
}

void mover::send_model() {
  s.stage = stage::model;
  out.push_back(run::send_model{request_again(with, s)});
}

void mover::on(ruled x) {
  if (s.awaited == 0 || x.report != s.awaited)
    return;
  s.awaited = 0;
  // What may not begin is not in the log, nor is what was said with it.
  auto in_log = s.handing_in || x.by.kind != ruling_kind::refused ? s.talk.size() : s.kept;
  s.kept = std::min(in_log, std::exchange(s.touched, SIZE_MAX));
  if (s.handing_in)
    return on_verdict_ruling(x.by);
  if (x.by.kind == ruling_kind::superseded)
    return over(); // somebody decided that while we asked
  if (x.by.kind == ruling_kind::refused)
    return refuse_begin(x.by);
  if (s.pending.empty())
    return send_model();
  send_tools();
}

void mover::refuse_begin(const ruling& r) {
  if (!s.pending.empty())
    return refuse_tools(r.reason);
  s.model_call = 0; // it never began
  auto code = r.code == ec::none ? ec::denied : r.code;
  auto why = "the model call was refused: " + r.reason;
  if (fall_over(code, why))
    return go_on_elsewhere();
  fail(code, std::move(why));
}

void mover::on(cancelled) {
  if (s.stage == stage::idle || s.cancelled)
    return;
  if (s.stage == stage::model) {
    s.cancelled = true; // the completion brings the partial text
    out.push_back(cancel_model{s.task.run, s.model_call});
  } else if (s.handing_in) {
    s.cancelled = true; // a verdict under way counts, in arrival order
  } else {
    fail(ec::cancelled, "cancelled");
  }
}

void mover::on(model_done x) {
  if (ended_late(x.call, to_string(x.reply.status), &x.reply, nullptr, {}))
    return;
  if (s.stage != stage::model || x.call != s.model_call)
    return;
  next.ended.push_back({x.call, "model", to_string(x.reply.status), x.reply.usage, x.reply, {}, {}});
  s.model_call = 0;
  s.reply_call = x.call;
  charge(s.task.round, x.reply);
  on_completion(std::move(x.reply));
}

void mover::on(model_failed x) {
  usage use;
  use.unreported = x.gone ? 1 : 0;
  if (ended_late(x.call, to_string(x.code), nullptr, nullptr, {}, use) || s.stage != stage::model || x.call != s.model_call)
    return;
  next.ended.push_back({x.call, "model", to_string(x.code), use, {}, {}, {}});
  s.model_call = 0;
  if (!s.cancelled && fall_over(x.code, x.reason))
    return go_on_elsewhere();
  fail(x.code, std::move(x.reason));
}

} // namespace conclave::run
