// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What becomes of a model's reply: the step down the ladder, the correction, the shorter request, the verdict.

#include "actors/agent_state.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/http_reply.hpp"
#include "protocols/wire/quirks.hpp"
#include "protocols/wire/resolve.hpp"

#include <algorithm>

namespace conclave {

using prompts::ladder;

namespace {

constexpr std::uint32_t max_overflows = 4;
constexpr std::uint32_t max_pauses = 8;
constexpr std::size_t min_result_bytes = 512;
constexpr std::size_t min_shown_bytes = 256; ///< of the answers of others

/// Whether the server finds fault with how many tokens of a reply are asked for.
bool is_about_reply_tokens(const completion& c) {
  auto text = wire::lower(c.said);
  return c.code == ec::context_overflow
         || (c.code == ec::bad_request
             && wire::says(text, {"max_tokens", "max_completion_tokens", "output tokens", "completion tokens"}));
}

} // namespace

void agent_state::on_completion(completion c) {
  wait = waiting::nothing;
  c.text.insert(0, said);
  said.clear();
  if (cancelled || c.status == completion_status::cancelled) {
    partial = c.text;
    return fail(ec::cancelled, "cancelled");
  }
  if (c.status == completion_status::broken) {
    partial = c.text;
    return on_broken(c);
  }
  if (c.status == completion_status::refused) {
    partial = c.text;
    return fail(ec::denied, c.error.empty() ? "the provider refused to answer" : c.error);
  }
  if (c.status == completion_status::paused)
    return go_on(std::move(c));
  pauses = 0;
  wire::resolve_calls(c, callable_names());
  if (!c.calls.empty() && !saw_tools) {
    saw_tools = true;
    self->send(parts.backend, ladder_note{"seen", parts.order.agent.backend.model});
  }
  switch (want) {
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

void agent_state::on_broken(const completion& c) {
  if (c.model_fault)
    return ask_again(c);
  if (want == asked_for::decision && decision_room > least_decision_tokens && is_about_reply_tokens(c)) {
    decision_room = least_decision_tokens;
    return call_model();
  }
  // A server that cannot do schemas says 400: go one step down instead of failing. Likewise one that cannot do tools.
  auto why = "the server refused the request, \"" + wire::brief(c.said, 200) + "\"";
  if (want == asked_for::decision && c.code == ec::bad_request && step_down(ladder::text, why))
    return;
  if (want == asked_for::verdict && !saw_tools && !c.semantic && wire::denies_tools(c.said) && step_down(ladder::schema, why))
    return;
  if (c.code != ec::context_overflow)
    return fail(c.code, c.error);
  if (shorten())
    return;
  // Nothing but the question and the instructions is left: no other run will fit either.
  if (iterations == 0 && attempt == 1 && (task.answers.empty() || budget_bytes == min_shown_bytes))
    return fail(ec::bad_request,
                "the question alone is too long for this model: shorten it, or use a model with a larger context window; "
                    + c.error);
  fail(c.code, c.error);
}

/// The server could not read what the model wrote: an attempt like any other reply without a verdict.
void agent_state::ask_again(const completion& c) {
  if (++attempt > 2 && want == asked_for::decision && step_down(ladder::text, "the server could not read its replies"))
    return;
  if (attempt > max_attempts)
    return fail(ec::bad_reply, "no usable reply in " + std::to_string(max_attempts) + " attempts; the last: " + c.error);
  if (want == asked_for::verdict)
    talk.push_back(
        {role::user,
         "Your last reply could not be read: it was no valid tool call. " + prompts::enforcement(task.may_answer, choice().ids),
         "",
         {},
         "",
         false,
         "",
         ""});
  call_model();
}

/// The model is in the middle of its turn: it gets back what it said, as it stands, and continues.
void agent_state::go_on(completion c) {
  said = std::move(c.text);
  vain = 0; // what it said so far counts
  if (++pauses > max_pauses)
    return fail(ec::bad_reply, "the provider paused its turn more than " + std::to_string(max_pauses) + " times");
  c.text.clear(); // counted with the rest of the turn
  c.reasoning.clear();
  add_reply(c);
  call_model();
}

void agent_state::on_verdict_reply(completion c) {
  if (run_tools(c))
    return;
  add_reply(c);
  auto judged = wire::judge(c, choice(), known_tools());
  if (judged.ok) {
    for (auto& r : judged.ignored)
      add_result(r);
    std::string id;
    for (auto& call : c.calls)
      if (wire::is_workflow_tool(call.name)) {
        id = call.id;
        break;
      }
    judged.handed_in.step = "tools";
    if (judged.handed_in.kind == verdict_kind::answer)
      judged.handed_in.text = prompts::clean_answer(judged.handed_in.text, task);
    return hand_in(std::move(judged.handed_in), id);
  }
  // A connection that never made a tool call probably cannot: two bare replies lead one step down, uncounted.
  if (c.calls.empty() && !ladder_fixed && !saw_tools && ++bare_replies >= 2
      && step_down(ladder::schema, "it called none in two replies"))
    return;
  correct(std::move(judged.results), std::move(judged.correction));
}

/// The provider says the conversation is too long: halves what can be cut, tool results first, then the answers of others.
bool agent_state::shorten() {
  if (++overflows > max_overflows)
    return false;
  std::size_t total = 0, results = 0;
  for (auto& m : talk) {
    total += m.text.size();
    results += m.from == role::tool ? m.text.size() : 0;
  }
  if (results > total / 3) {
    for (auto& m : talk)
      if (m.from == role::tool)
        prompts::cut(m.text, std::max(m.text.size() / 2, min_result_bytes));
  } else if (!task.answers.empty() && budget_bytes != min_shown_bytes) {
    std::size_t shown = 0;
    for (auto& a : task.answers)
      shown += a.text.size();
    learned_budget = budget_bytes =
        std::max<std::size_t>((budget_bytes > 0 ? std::min(budget_bytes, shown) : shown) / 2, min_shown_bytes);
    open_talk();
  } else {
    return false;
  }
  call_model();
  return true;
}

/// Counts what a call cost in vain. It may belong to a run that is over: its requests were made in the same round.
void agent_state::charge(std::uint32_t in_round, const completion& c) {
  if (in_round != task.round)
    return;
  auto cut_off = c.status == completion_status::cancelled ? 1 : 0; // by us: it had not failed
  vain += std::max<std::int64_t>(c.usage.requests - c.polls - cut_off, 0);
  if (c.status == completion_status::broken) {
    vain_code = c.code;
    vain_error = c.error;
  } else if (vain_code == ec::none) {
    vain_code = ec::bad_reply;
  }
}

/// What the run takes: its conversation, the text before a pause, the replies of the round under way.
std::size_t agent_state::held_bytes() const {
  auto sum = said.size() + round.reply.text.size() + round.reply.reasoning.size() + round.reply.opaque.size();
  auto add_calls = [&](const std::vector<tool_call>& all) {
    for (auto& c : all)
      sum += sizeof c + c.id.size() + c.name.size() + c.arguments.size();
  };
  add_calls(round.calls);
  add_calls(round.reply.calls);
  for (auto& r : round.results)
    sum += sizeof(message) + r.text.size();
  for (auto& m : talk) {
    sum += sizeof m + m.text.size() + m.reasoning.size() + m.opaque.size();
    add_calls(m.calls);
  }
  return sum;
}

/// Shortens the oldest tool results until the run takes no more than it may. Returns whether it does.
bool agent_state::make_room() {
  auto most = static_cast<std::size_t>(parts.order.agent.backend.max_run_bytes);
  auto held = held_bytes();
  auto goal = held > most ? most - most / 4 : most; // with some room: each shortening spoils the provider's cache of the prompt
  auto shorten = [&](std::string& text) {
    if (held <= goal || text.size() <= 2 * min_result_bytes)
      return;
    auto before = text.size();
    prompts::cut(text, min_result_bytes);
    text.shrink_to_fit(); // the memory is what this is about
    held -= before - text.size();
  };
  for (auto& m : talk)
    if (m.from == role::tool)
      shorten(m.text);
  for (auto& r : round.results)
    shorten(r.text);
  return held <= most;
}

/// A person is told: the agent works with less than was configured.
bool agent_state::step_down(ladder to, const std::string& why) {
  if (ladder_fixed || to == step)
    return false;
  step = to;
  attempt = 1;
  auto& model = parts.order.agent.backend.model;
  self->send(parts.backend, ladder_note{prompts::to_string(to), model});
  auto text = std::string("from now on it ") + (to == ladder::text ? "decides in plain text" : "works without tools") + " (model "
              + model + "): " + why;
  self->send(parts.chunks, chunk_batch{task.task, task.run, task.agent, {{chunk_kind::status, std::move(text)}}});
  open_talk();
  call_model();
  return true;
}

void agent_state::correct(std::vector<tool_result> results, std::string text) {
  if (++attempt > max_attempts)
    return fail(ec::bad_reply, "no usable verdict in " + std::to_string(max_attempts) + " attempts");
  for (auto& r : results)
    add_result(std::move(r));
  if (!text.empty() || results.empty())
    talk.push_back(
        {role::user, text.empty() ? prompts::enforcement(task.may_answer, choice().ids) : text, "", {}, "", false, "", ""});
  call_model();
}

void agent_state::on_decision(const completion& c) {
  auto d = wire::read_decision(c.text, choice());
  if (d.kind == wire::decision_kind::vote) {
    verdict v;
    v.kind = verdict_kind::vote;
    v.target = d.target;
    v.step = "schema";
    add_reply(c);
    return hand_in(std::move(v), {});
  }
  if (d.kind == wire::decision_kind::answer && task.may_answer) {
    want = asked_for::text_answer;
    talk = prompts::coordination(task, parts.order.agent.system_message, ladder::schema, budget_bytes);
    return call_model();
  }
  std::string why;
  if (c.status == completion_status::truncated && trim(c.text).empty()) {
    why = "the decision was cut before its first word: the model spent all its tokens on thought; raise `max_tokens` or turn its "
          "thinking off";
    self->send(parts.chunks, chunk_batch{task.task, task.run, task.agent, {{chunk_kind::status, why}}});
  }
  if (++attempt > 2 && step_down(ladder::text, "its decisions could not be read"))
    return;
  if (attempt > max_attempts)
    return fail(ec::bad_reply,
                "no readable decision in " + std::to_string(max_attempts) + " attempts" + (why.empty() ? "" : "; " + why));
  call_model();
}

void agent_state::on_text(const completion& c) {
  add_reply(c);
  verdict v;
  v.step = prompts::to_string(step);
  v.kind = verdict_kind::answer;
  v.text = prompts::clean_answer(c.text, task);
  if (want == asked_for::text_verdict) {
    auto d = wire::read_text(c.text, choice());
    if (d.kind == wire::decision_kind::vote) {
      v.kind = verdict_kind::vote;
      v.target = d.target;
      v.text.clear();
    }
  }
  if (v.kind == verdict_kind::answer && v.text.empty())
    return correct({}, "");
  hand_in(std::move(v), {});
}

void agent_state::on_presentation(completion c) {
  if (run_tools(c))
    return;
  // Calls of tools nobody offered get their error result once; after that the text that is there counts.
  if (!c.calls.empty() && trim(c.text).empty() && attempt < max_attempts) {
    add_reply(c);
    std::vector<tool_result> results;
    for (auto& call : c.calls)
      results.push_back({call.id, "Error: no tool named '" + call.name + "'. Write the final answer as plain text.", true});
    return correct(std::move(results), "");
  }
  verdict v;
  v.kind = verdict_kind::presented;
  v.text = prompts::clean_answer(c.text, task);
  v.truncated = c.status == completion_status::truncated;
  v.step = prompts::to_string(step);
  hand_in(std::move(v), {});
}

} // namespace conclave
