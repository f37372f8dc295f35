// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What leaves a run: reports, the verdict and its ruling, the end.

#include "protocols/run_mover.hpp"
#include "protocols/text.hpp"
#include "protocols/workspace_paths.hpp"

#include <algorithm>
#include <utility>

namespace conclave::run {

using prompts::ladder;

void mover::flush(bool ask) {
  next.number = ++s.reports;
  next.run = s.task.run;
  next.ask = ask;
  if (ask) {
    s.awaited = next.number;
    s.stage = stage::announced;
  }
  out.push_back(std::exchange(next, {}));
}

void mover::finish() {
  if (!next.ended.empty() || next.backend != 0)
    flush(false);
}

/// An answer of a run that has a workspace goes with what lies there at this moment. In its text the places of files are written
/// so that each reader finds them where they are shown to it.
void mover::hand_in(verdict v, std::string answers_call) {
  s.answers_call = std::move(answers_call);
  s.handed_in = std::move(v);
  auto answer = s.handed_in.kind == verdict_kind::answer;
  auto neutral = [&](std::string& text) {
    text = workspace_paths::neutral(std::move(text), s.workspace, with.number, with.agent.backend.workspace);
  };
  if (!s.workspace.empty() && s.handed_in.kind == verdict_kind::vote)
    neutral(s.handed_in.reason); // the presenter reads it
  if (s.workspace.empty() || (!answer && s.handed_in.kind != verdict_kind::presented))
    return announce_verdict();
  neutral(s.handed_in.text);
  s.stage = stage::snapshot;
  out.push_back(take_snapshot{s.task.run, s.workspace, !answer});
}

void mover::on(snapshot_taken x) {
  if (s.stage != stage::snapshot || x.run != s.task.run)
    return;
  s.snapshot = std::move(x.id);
  if (s.snapshot.empty() && x.why.empty())
    x.why = "no reason given";
  s.handed_in.files = {s.snapshot, x.files, x.bytes, std::move(x.why), x.mend, std::move(x.changes), std::move(x.left)};
  announce_verdict();
}

void mover::announce_verdict() {
  s.handing_in = true;
  next.has_verdict = true;
  next.handed_in = s.handed_in;
  flush(true);
}

void mover::on_verdict_ruling(const ruling& r) {
  s.handing_in = false;
  s.handed_in = {};
  s.snapshot.clear();
  auto call = std::exchange(s.answers_call, {});
  if (r.kind == ruling_kind::accepted)
    s.memory.vain = 0;
  if (s.cancelled || r.kind != ruling_kind::refused)
    return over();
  if (++s.attempt > max_attempts)
    return fail(ec::bad_reply,
                "no acceptable verdict in " + std::to_string(max_attempts) + " attempts; the last was refused: " + r.reason);
  auto text = prompts::refusal(r);
  if (!call.empty())
    add_result({call, text, true});
  else
    ask_user(text);
  if (s.want == asked_for::text_answer && s.task.may_vote && s.step == ladder::schema) {
    s.want = asked_for::decision; // an answer was refused: ask again what it wants
    s.kept = 0;
    s.talk = prompts::decision(s.task, with.agent.system_message, s.budget_bytes);
    s.talk.back().text += "\n" + text;
  }
  call_model();
}

verdict mover::failure(ec code, std::string reason) const {
  verdict v;
  v.kind = verdict_kind::failed;
  v.code = code;
  v.reason = std::move(reason);
  return v;
}

/// What was announced and is not sent any more has an end, too.
void mover::end_announced() {
  if (s.awaited == 0 || s.handing_in)
    return;
  if (s.pending.empty())
    next.ended.push_back({s.model_call, "model", to_string(ec::cancelled), {}, {}, {}, {}});
  for (auto& p : s.pending)
    if (p.stage == call_stage::announced) {
      p.stage = call_stage::done;
      next.ended.push_back({p.number, p.call.name, to_string(ec::cancelled), {}, {}, {}, {}});
    }
}

void mover::fail(ec code, std::string reason) {
  end_announced();
  auto v = failure(code, std::move(reason));
  if (s.stage == stage::snapshot) // the answer did not get to be handed in
    s.partial = std::move(s.handed_in.text);
  v.text = s.partial.empty() ? s.said : s.partial;
  v.step = prompts::to_string(s.step);
  next.has_verdict = true;
  next.handed_in = std::move(v);
  flush(false);
  over();
}

/// Nobody waits for what the run began; its calls still have their ends reported. The memory of the agent stays.
void mover::over() {
  finish();
  bool busy = false;
  for (auto& p : s.pending)
    if (p.stage == call_stage::under_way) {
      busy = true;
      s.late.push_back({p.number, s.task.run, s.task.round, p.call.name, false});
    }
  // What it left running may write in the user's folders no longer.
  auto in_place = s.task.kind == run_kind::present && workspace_paths::written_in_place(with.agent.backend.workspace);
  if (busy || in_place)
    out.push_back(cancel_all_tools{s.task.run});
  state n;
  n.memory = std::move(s.memory);
  n.task = std::move(s.task);
  n.calls = s.calls;
  n.reports = s.reports;
  n.holds = s.holds;
  n.late = std::move(s.late);
  s = std::move(n);
  out.push_back(run::over{});
}

/// Takes the end of a call whose run is over. The partial text of a model call still counts.
bool mover::ended_late(std::uint64_t call, std::string status, const completion* reply, const tool_result* result,
                       const tool_trouble& trouble, const usage& use) {
  auto i = std::find_if(s.late.begin(), s.late.end(), [&](auto& l) { return l.call == call; });
  if (i == s.late.end())
    return false;
  report r;
  r.number = ++s.reports;
  r.run = i->run;
  r.ask = false;
  ended_call e{call, i->target, std::move(status), use, {}, {}, trouble};
  if (reply != nullptr) {
    e.use = reply->usage;
    e.reply = *reply;
    charge(i->round, *reply);
    if (!is_blank(reply->text)) {
      r.has_verdict = true;
      r.handed_in = failure(ec::cancelled, "cancelled");
      r.handed_in.text = reply->text;
    }
  }
  if (result != nullptr)
    e.result = *result;
  r.ended.push_back(std::move(e));
  s.late.erase(i);
  out.push_back(std::move(r));
  return true;
}

} // namespace conclave::run
