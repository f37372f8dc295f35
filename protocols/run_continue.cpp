// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A run that goes on after a crash, from its last stored state and what the log has of its calls.

#include "protocols/run_mover.hpp"

#include <algorithm>
#include <utility>

namespace conclave::run {

std::string key_of(const start_run& t, std::uint64_t first) {
  return t.task + '/' + t.agent + '/' + std::to_string(first);
}

const known_end* mover::end_of(const continued& x, std::uint64_t call) const {
  auto i = std::find_if(x.ends.begin(), x.ends.end(), [&](auto& e) { return e.call == call && e.ended; });
  return call == 0 || i == x.ends.end() ? nullptr : &*i;
}

/// Takes the reply that the state names, as the run understood it. False if the log has none.
bool mover::take_reply(const continued& x, completion& into) {
  auto* end = end_of(x, s.reply_call);
  if (end == nullptr)
    return false;
  into = end->reply;
  into.text.insert(0, s.lead);
  resolve(into);
  return true;
}

void mover::on(continued x) {
  if (s.stage == stage::idle || s.stage == stage::preparing || s.talk.empty()) {
    s.stage = stage::idle; // nothing of it was under way
    return on(started{std::move(x.task)});
  }
  s.task = x.task;
  s.memory.round = s.task.round;
  s.memory.kind = s.task.kind;
  s.awaited = 0;
  s.kept = std::min(s.kept, s.talk.size());
  s.late.clear();
  s.calls = std::max(s.calls, s.task.first_call > 0 ? s.task.first_call - 1 : 0);
  for (auto& e : x.ends)
    s.calls = std::max(s.calls, e.call);
  if (s.cancelled) {
    s.pending.clear();
    return fail(ec::cancelled, "cancelled");
  }
  auto used_tools = std::any_of(s.talk.begin(), s.talk.end(), [](auto& m) { return m.from == role::tool; });
  s.restarted = !with.agent.backend.mcp_servers.empty() && (used_tools || !s.pending.empty());
  // The connection is another one.
  if (s.memory.saw_tools)
    out.push_back(remember{{"seen", in_use().model}});
  else if (!s.ladder_fixed && s.step != prompts::ladder::tools)
    out.push_back(remember{{prompts::to_string(s.step), in_use().model}});
  find_long_results(x);
  if (s.handing_in)
    return go_on_with_verdict(x);
  if (!s.pending.empty())
    return go_on_with_tools(x);
  auto call = std::exchange(s.model_call, 0);
  if (x.refused)
    return fail(ec::denied, "the model call was refused: " + x.refusal.reason);
  if (auto* end = end_of(x, call)) {
    s.reply_call = call;
    charge(s.task.round, end->reply);
    return on_completion(end->reply);
  }
  call_model();
}

/// A verdict whose ruling is not known is handed in again.
void mover::go_on_with_verdict(const continued& x) {
  if (x.refused)
    return on_verdict_ruling(x.refusal);
  auto v = std::exchange(s.handed_in, {});
  s.handing_in = false;
  if (v.text.empty() && (v.kind == verdict_kind::answer || v.kind == verdict_kind::presented)) {
    completion c;
    if (!take_reply(x, c))
      return fail(ec::bad_reply,
                  "the reply to call " + std::to_string(s.reply_call) + " is not in the log, so the run cannot go on");
    v.text = answer_of(c);
  }
  s.handed_in = std::move(v);
  announce_verdict();
}

void mover::go_on_with_tools(const continued& x) {
  auto announced = s.stage == stage::announced;
  s.stage = stage::tools;
  auto fits = take_reply(x, s.reply);
  for (auto& p : s.pending) {
    fits = fits && p.at < s.reply.calls.size();
    if (fits)
      p.call = s.reply.calls[p.at];
  }
  if (!fits) {
    s.pending.clear();
    return fail(ec::bad_reply, "the reply to call " + std::to_string(s.reply_call) + " is not in the log, so the run cannot go on");
  }
  std::string fatal;
  for (auto& p : s.pending) {
    if (p.number == 0) { // waiting, on hold, or settled without being carried out
      if (p.stage != call_stage::done)
        p.stage = call_stage::waiting;
      continue;
    }
    if (auto* end = end_of(x, p.number)) {
      auto judged = std::exchange(p.stage, call_stage::done) == call_stage::done;
      p.result = end->result;
      p.result.id = p.call.id;
      if (!judged)
        judge_logged(p, place_of(p.policy));
    } else if (x.refused && announced && p.stage == call_stage::announced) {
      settle(p, "Error: not carried out: " + x.refusal.reason + ".");
    } else {
      auto begun = std::find_if(x.ends.begin(), x.ends.end(), [&](auto& e) { return e.call == p.number; });
      after_crash(p, begun == x.ends.end() ? call_effect::once : begun->effect, fatal);
    }
  }
  s.held = held_bytes();
  if (!fatal.empty())
    return fail(ec::bad_request, std::move(fatal)); // asked again, the agent would make the call once more
  next_tools();
}

/// A call that was under way. What it may have done follows from what its tool was when it was made: by now it may say something
/// else of itself, or be gone.
void mover::after_crash(pending_call& p, call_effect effect, std::string& fatal) {
  auto gone = with.tools.count(p.call.name) == 0;
  if (!gone && (effect != call_effect::once || with.unknown == on_unknown::repeat)) {
    p.number = 0;
    p.stage = call_stage::waiting;
    p.policy.clear();
    p.cleared = false;
    p.refused.clear();
    return;
  }
  const std::string cut_off = "Error: this call was under way when the process that made it ended.";
  const std::string not_there = gone ? " The tool is not there any more." : "";
  if (effect == call_effect::none) { // else it would be made again
    out.push_back(tell{"the tool '" + p.call.name + "' is gone: its last call was cut off and got an error result"});
    return settle(p, cut_off + " It had no effect, and there is no result of it." + not_there);
  }
  if (with.unknown == on_unknown::fail)
    fatal = "the outcome of a call of '" + p.call.name
            + "' is not known: it was under way when the process ended and may have had its effect"
            + (gone ? "; the tool is gone" : "");
  else if (gone)
    out.push_back(tell{"the tool '" + p.call.name + "' is gone, and its last call may have had its effect"});
  settle(p, cut_off + " It may have had its effect, in full or in part: check before you repeat it." + not_there);
}

} // namespace conclave::run
