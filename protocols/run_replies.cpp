// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What becomes of a model's reply: the step down the ladder, the correction, the shorter request, the verdict.

#include "protocols/run_mover.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/quirks.hpp"
#include "protocols/wire/resolve.hpp"

#include <algorithm>
#include <utility>

namespace conclave::run {

using prompts::ladder;

namespace {

constexpr std::uint32_t max_pauses = 8;

/// Whether the server finds fault with how many tokens of a reply are asked for.
bool is_about_reply_tokens(const completion& c) {
  auto text = lower(c.said);
  return c.code == ec::context_overflow
         || (c.code == ec::bad_request
             && wire::says(text, {"max_tokens", "max_completion_tokens", "output tokens", "completion tokens"}));
}

/// One result for each call of a reply that was to have none.
std::vector<tool_result> not_offered(const completion& c, const std::string& instead) {
  std::vector<tool_result> out;
  for (auto& call : c.calls)
    out.push_back({call.id, "Error: no tool named '" + call.name + "'. " + instead, true});
  return out;
}

} // namespace

void mover::on_completion(completion c) {
  s.lead = std::exchange(s.said, {});
  c.text.insert(0, s.lead);
  s.names.clear();
  if (s.cancelled || c.status == completion_status::cancelled) {
    s.partial = c.text;
    return fail(ec::cancelled, "cancelled");
  }
  if (c.status == completion_status::broken) {
    s.partial = c.text;
    return on_broken(c);
  }
  if (c.status == completion_status::refused) {
    s.partial = c.text;
    return fail(ec::denied, c.error.empty() ? "the provider refused to answer" : c.error);
  }
  if (c.status == completion_status::paused && c.calls.empty()) // with calls it is ours to go on
    return go_on(std::move(c));
  s.pauses = 0;
  resolve(c);
  if (!c.calls.empty() && !s.memory.saw_tools) {
    s.memory.saw_tools = true;
    out.push_back(remember{{"seen", in_use().model}});
  }
  switch (s.want) {
  case asked_for::verdict:
    return on_verdict_reply(std::move(c));
  case asked_for::decision:
    return on_decision(c);
  case asked_for::presentation:
    return on_presentation(std::move(c));
  default:
    return on_text(c);
  }
}

/// Reads the names of its calls as they were meant, or as the run understood them before.
void mover::resolve(completion& c) {
  if (c.calls.empty())
    return;
  if (!s.names.empty())
    return wire::resolve_calls(c, s.names);
  std::vector<std::string> offered;
  for (auto& [name, tool] : with.tools)
    offered.push_back(name);
  offered.insert(offered.end(), with.gone.begin(), with.gone.end()); // or its name would be read as another's that is alike
  offered.insert(offered.end(), {"new_answer", "vote"});             // one that is not possible now gets an answer that says so
  std::vector<std::string> before, after;
  for (auto& call : c.calls)
    before.push_back(call.name);
  wire::resolve_calls(c, offered);
  for (auto& call : c.calls)
    after.push_back(call.name);
  if (before != after)
    s.names = std::move(after);
}

void mover::on_broken(const completion& c) {
  if (c.model_fault)
    return ask_again(c);
  if (s.want == asked_for::decision && s.memory.decision_room > least_decision_tokens && is_about_reply_tokens(c)) {
    s.memory.decision_room = least_decision_tokens;
    return call_model();
  }
  // A server that cannot do schemas says 400: go one step down instead of failing. Likewise one that cannot do tools.
  auto why = "the server refused the request, \"" + wire::brief(c.said, 200) + "\"";
  if (s.want == asked_for::decision && c.code == ec::bad_request && step_down(ladder::text, why))
    return;
  if (s.want == asked_for::verdict && !s.memory.saw_tools && !c.semantic && wire::denies_tools(c.said)
      && step_down(ladder::schema, why))
    return;
  if (c.code == ec::bad_request && wire::is_about_images(c.said) && drop_images()) {
    out.push_back(tell{"the images of its last tool results are told as text: " + why});
    return call_model();
  }
  if (c.code == ec::bad_request && !c.semantic && (wire::is_about_sealed_turns(c.said) || wire::says_nothing(c.said)) && unseal()) {
    out.push_back(tell{"its turns so far are told without the thoughts that a provider sealed: " + why});
    return call_model();
  }
  auto error = c.error;
  if (!c.semantic && fall_over(c.code, error))
    return go_on_elsewhere();
  if (c.code != ec::context_overflow)
    return fail(c.code, std::move(error));
  if (shorten())
    return;
  // Nothing but the question and the instructions is left: no other run will fit either.
  if (s.iterations == 0 && s.attempt == 1 && (s.task.answers.empty() || s.budget_bytes == min_shown_bytes))
    return fail(ec::bad_request,
                "the question alone is too long for this model: shorten it, or use a model with a larger context window; "
                    + c.error);
  fail(c.code, c.error);
}

/// The server could not read what the model wrote: an attempt like any other reply without a verdict.
void mover::ask_again(const completion& c) {
  if (++s.attempt > 2 && s.want == asked_for::decision && step_down(ladder::text, "the server could not read its replies"))
    return;
  if (s.attempt > max_attempts)
    return fail(ec::bad_reply, "no usable reply in " + std::to_string(max_attempts) + " attempts; the last: " + c.error);
  if (s.want == asked_for::verdict)
    ask_user("Your last reply could not be read: it was no valid tool call. "
             + prompts::enforcement(s.task.may_answer, choice().ids));
  call_model();
}

/// The model is in the middle of its turn: it gets back what it said, as it stands, and continues.
void mover::go_on(completion c) {
  s.said = std::move(c.text);
  s.memory.vain = 0; // what it said so far counts
  if (++s.pauses > max_pauses)
    return fail(ec::bad_reply, "the provider paused its turn more than " + std::to_string(max_pauses) + " times");
  c.text.clear(); // counted with the rest of the turn
  c.reasoning.clear();
  add_reply(c);
  call_model();
}

void mover::on_verdict_reply(completion c) {
  if (run_tools(c))
    return;
  add_reply(c);
  judge_reply(c, {});
}

/// Judges a reply that is in the conversation already, as are the results of its calls that were carried out.
void mover::judge_reply(const completion& c, const std::vector<std::string>& carried_out) {
  auto judged = wire::judge(c, choice(), carried_out);
  if (judged.ok) {
    for (auto& r : judged.ignored)
      add_result(std::move(r));
    auto call = std::find_if(c.calls.begin(), c.calls.end(), [](auto& x) { return wire::is_workflow_tool(x.name); });
    judged.handed_in.step = "tools";
    if (judged.handed_in.kind == verdict_kind::answer)
      judged.handed_in.text = prompts::clean_answer(judged.handed_in.text, s.task);
    return hand_in(std::move(judged.handed_in), call == c.calls.end() ? "" : call->id);
  }
  // A connection that never made a tool call probably cannot: two bare replies lead one step down, uncounted.
  if (c.calls.empty() && !s.ladder_fixed && !s.memory.saw_tools && ++s.bare_replies >= 2
      && step_down(ladder::schema, "it called none in two replies"))
    return;
  correct(std::move(judged.results), std::move(judged.correction));
}

/// The text of the answer that a reply hands in.
std::string mover::answer_of(const completion& c) const {
  return prompts::clean_answer(s.want == asked_for::verdict ? wire::judge(c, choice(), {}).handed_in.text : c.text, s.task);
}

/// Counts what a call cost in vain. It may belong to a run that is over: its requests were made in the same round.
void mover::charge(std::uint32_t in_round, const completion& c) {
  auto& m = s.memory;
  if (in_round != m.round)
    return;
  auto count = [](std::int64_t x) { return std::clamp<std::int64_t>(x, 0, 1'000'000); };
  auto cut_off = c.status == completion_status::cancelled ? 1 : 0; // by us: it had not failed
  m.vain = count(m.vain) + count(count(c.usage.requests) - count(c.polls) - cut_off);
  if (c.status == completion_status::broken) {
    m.vain_code = c.code;
    m.vain_error = c.error;
  } else if (m.vain_code == ec::none) {
    m.vain_code = ec::bad_reply;
  }
}

/// A person is told: the agent works with less than was configured.
bool mover::step_down(ladder to, const std::string& why) {
  if (s.ladder_fixed || to == s.step)
    return false;
  s.step = to;
  s.attempt = 1;
  auto& model = in_use().model;
  out.push_back(remember{{prompts::to_string(to), model}});
  out.push_back(tell{std::string("from now on it ") + (to == ladder::text ? "decides in plain text" : "works without tools")
                     + " (model " + model + "): " + why});
  open_talk();
  call_model();
  return true;
}

void mover::correct(std::vector<tool_result> results, std::string text) {
  if (++s.attempt > max_attempts)
    return fail(ec::bad_reply, "no usable verdict in " + std::to_string(max_attempts) + " attempts");
  auto none = results.empty();
  for (auto& r : results)
    add_result(std::move(r));
  if (!text.empty() || none)
    ask_user(text.empty() ? prompts::enforcement(s.task.may_answer, choice().ids) : std::move(text));
  call_model();
}

void mover::on_decision(const completion& c) {
  auto d = wire::read_decision(c.text, choice());
  if (d.kind == wire::decision_kind::vote) {
    verdict v;
    v.kind = verdict_kind::vote;
    v.target = d.target;
    v.step = "schema";
    add_bare_reply(c);
    return hand_in(std::move(v), {});
  }
  if (d.kind == wire::decision_kind::answer && s.task.may_answer) {
    s.want = asked_for::text_answer;
    begin_talk(prompts::coordination(s.task, with.agent.system_message, ladder::schema, s.budget_bytes));
    return call_model();
  }
  std::string why;
  if (c.status == completion_status::truncated && is_blank(c.text)) {
    why = "the decision was cut before its first word: the model spent all its tokens on thought; raise `max_tokens` or turn its "
          "thinking off";
    out.push_back(tell{why});
  }
  if (++s.attempt > 2 && step_down(ladder::text, "its decisions could not be read"))
    return;
  if (s.attempt > max_attempts)
    return fail(ec::bad_reply,
                "no readable decision in " + std::to_string(max_attempts) + " attempts" + (why.empty() ? "" : "; " + why));
  call_model();
}

void mover::on_text(const completion& c) {
  add_bare_reply(c);
  verdict v;
  v.step = prompts::to_string(s.step);
  v.kind = verdict_kind::answer;
  if (s.want == asked_for::text_verdict) {
    auto d = wire::read_text(c.text, choice());
    if (d.kind == wire::decision_kind::vote) {
      v.kind = verdict_kind::vote;
      v.target = d.target;
    }
  }
  if (v.kind == verdict_kind::answer) {
    v.text = answer_of(c);
    if (v.text.empty())
      return correct({}, "");
  }
  hand_in(std::move(v), {});
}

void mover::on_presentation(completion c) {
  if (run_tools(c))
    return;
  // Calls of tools nobody offered get their error result once; after that the text that is there counts.
  if (!c.calls.empty() && is_blank(c.text) && s.attempt < max_attempts) {
    add_reply(c);
    return correct(not_offered(c, "Write the final answer as plain text."), "");
  }
  verdict v;
  v.kind = verdict_kind::presented;
  v.text = answer_of(c);
  v.truncated = c.status == completion_status::truncated;
  v.step = prompts::to_string(s.step);
  hand_in(std::move(v), {});
}

void mover::add_reply(const completion& c) {
  message m;
  m.from = role::assistant;
  m.text = c.text;
  m.reasoning = c.reasoning;
  m.calls = c.calls;
  m.opaque = c.opaque;
  m.opaque_dialect = c.opaque_dialect;
  s.talk.push_back(std::move(m));
}

/// A reply that counts by its text: no tools were offered, and each call still gets its one result.
void mover::add_bare_reply(const completion& c) {
  add_reply(c);
  for (auto& r : not_offered(c, "Reply with text alone."))
    add_result(std::move(r));
}

void mover::add_result(tool_result r) {
  message m;
  m.from = role::tool;
  m.tool_call_id = std::move(r.id);
  m.text = std::move(r.text);
  m.is_error = r.is_error;
  m.parts = std::move(r.parts);
  s.talk.push_back(std::move(m));
}

void mover::ask_user(std::string text) {
  message m;
  m.text = std::move(text);
  s.talk.push_back(std::move(m));
}

} // namespace conclave::run
