// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_view.hpp"

#include "app/event_text.hpp"
#include "app/plain_text.hpp"
#include "protocols/events.hpp"
#include "protocols/opening.hpp"

#include <algorithm>

namespace conclave {

namespace {

/// Returns the run of this id, made if the log did not open it (a stream from the middle, or of another version).
run_view& run_of(agent_view& a, std::uint64_t id) {
  auto i = std::find_if(a.runs.rbegin(), a.runs.rend(), [&](const run_view& r) { return r.id == id; });
  if (i != a.runs.rend())
    return *i;
  a.runs.push_back({});
  a.runs.back().id = id;
  return a.runs.back();
}

std::uint32_t round_of(const agent_view& a, const event& e) {
  auto i = std::find_if(a.runs.rbegin(), a.runs.rend(), [&](const run_view& r) { return r.id == e.run; });
  return i == a.runs.rend() ? e.round : i->round;
}

void on_call(agent_view& a, const event& e) {
  auto is_model = events::call_of(e).model;
  auto& c = is_model ? a.model : a.tools[e.target];
  auto run = std::find_if(a.runs.rbegin(), a.runs.rend(), [&](const run_view& r) { return is_model && r.id == e.run; });
  if (e.type == event_type::call_started) {
    ++c.started;
    if (run != a.runs.rend())
      ++run->model.started;
    if (is_model)
      a.status = "streaming";
    return;
  }
  ++c.ended;
  ++c.statuses[e.reason];
  auto use = e.use;
  // A reply was read and written from tokens, so no count means that none was reported, also in logs that do not say so.
  bool replied = is_model && (e.reason == "finished" || e.reason == "truncated" || e.reason == "refused");
  if (replied && use.unreported == 0 && use.input_tokens == 0 && use.output_tokens == 0)
    use.unreported = 1;
  add(a.use, use);
  // Cut off by a crash, or with its node: what it had sent by then was never told.
  std::uint64_t uncounted = is_model && !replied && use.unreported > 0 && use.requests == 0 ? 1 : 0;
  c.uncounted += uncounted;
  if (run == a.runs.rend())
    return;
  run->model.uncounted += uncounted;
  ++run->model.ended;
  ++run->model.statuses[e.reason];
  add(run->use, use);
}

void on_run(agent_view& a, const event& e) {
  auto& r = run_of(a, e.run);
  if (e.type == event_type::run_started || e.type == event_type::presentation_started) {
    r.round = e.round;
    r.started_ms = e.time_ms;
    r.presents = r.presents || e.type == event_type::presentation_started;
    a.status = "streaming";
  }
  if (e.type == event_type::run_ended) {
    r.end = e.reason;
    r.ended_ms = e.time_ms;
  }
  if (e.type == event_type::run_ended || e.type == event_type::late_text) {
    if (!e.text.empty())
      r.partial = e.text;
    return;
  }
  if (!e.labels.empty())
    r.shown = e.labels;
}

void on_continued(agent_view& a, const event& e) {
  auto c = events::continued_of(e);
  run_of(a, c.old_run).id = c.new_run;
  a.status = "streaming";
}

void on_trouble(agent_view& a, const event& e, const char* status) {
  a.status = status;
  a.error_code = e.code;
  a.error = e.reason;
  a.error_ms = e.time_ms;
}

/// Events that belong to one agent.
void on_agent(agent_view& a, const event& e) {
  a.last_ms = e.time_ms;
  switch (e.type) {
  case event_type::run_started:
  case event_type::context_received:
  case event_type::run_ended:
  case event_type::late_text:
  case event_type::presentation_started:
    return on_run(a, e);
  case event_type::run_continued:
    return on_continued(a, e);
  case event_type::call_started:
  case event_type::call_ended:
    return on_call(a, e);
  case event_type::new_answer:
    a.answers.push_back({e.label, e.text, e.run, e.epoch, round_of(a, e), e.time_ms});
    a.status = "answered";
    return;
  case event_type::vote_cast:
    a.votes.push_back({e.label, e.target, e.target_label, e.reason, e.run, e.epoch, round_of(a, e), e.time_ms});
    a.status = "voted";
    return;
  case event_type::snapshot_taken: {
    auto kept = events::kept_of(e);
    a.files.push_back(
        {e.label, std::move(kept.snapshot), kept.files, kept.bytes, e.run, round_of(a, e), e.label.ends_with(".final"), e.time_ms});
    return;
  }
  case event_type::restart_completed:
    a.restarts = events::restarts_of(e);
    return;
  case event_type::agent_error:
    ++a.failures;
    return on_trouble(a, e, "error");
  case event_type::agent_timeout:
    ++a.failures;
    return on_trouble(a, e, "timeout");
  case event_type::agent_cancelled:
    a.status = "cancelled";
    return;
  case event_type::agent_out:
    on_trouble(a, e, e.code == ec::timeout ? "timeout" : "error");
    a.out = true;
    a.out_reason = e.reason.empty() ? to_string(e.code) : e.reason;
    return;
  case event_type::final_answer:
    a.status = "completed";
    return;
  default:
    return;
  }
}

void begin(task_view& v, const event& e) {
  v.question = e.text;
  v.started_ms = e.time_ms;
  if (v.state.members.empty()) // no opening says what it is played by: a log of version 1
    v.state = ledger::make(ledger::rules{}, e.labels);
  v.agents.clear();
  for (const auto& id : e.labels) {
    v.agents.push_back({});
    v.agents.back().id = id;
    v.agents.back().number = static_cast<std::uint32_t>(v.agents.size());
    if (auto p = v.placed.find(id); p != v.placed.end())
      v.agents.back().placed = p->second;
    if (const auto* m = ledger::find(v.state, id))
      for (const auto& x : m->answers) // none of its own yet
        if (!x.snapshot.empty())
          v.agents.back().files.push_back({x.label, x.snapshot, x.files, x.bytes, 0, 0, false, e.time_ms});
  }
}

bool read(const std::string& detail, opening& out) {
  std::string ignored; // whoever goes on with the task is told
  return from_json(detail, out, ignored);
}

/// Events of the whole task.
void on_task(task_view& v, const event& e) {
  switch (e.type) {
  case event_type::task_opened:
    if (opening o; !e.said.empty() && read(e.detail, o))
      v.files = std::move(o.attachments);
    return;
  case event_type::agent_placed:
    v.placed[e.agent] = events::placed_of(e);
    if (auto* a = v.find(e.agent)) { // it goes on with another backend
      a->earlier.push_back(std::move(a->placed));
      a->placed = v.placed[e.agent];
    }
    return;
  case event_type::restart_triggered:
    for (const auto& id : e.labels)
      if (auto* a = v.find(id); a && !a->out)
        a->status = "restarting";
    return;
  case event_type::node_lost:
    v.lost_nodes.push_back(e.target + (e.reason.empty() ? "" : ": " + e.reason));
    return;
  case event_type::coordination_timeout:
    v.deadline = true;
    return;
  case event_type::final_agent_selected:
    v.selected = true;
    v.winner = e.agent;
    v.win_reason = e.reason;
    v.candidates = e.labels;
    v.winner_votes = events::votes_of(e);
    v.tie = events::is_tie(e);
    return;
  case event_type::presentation_started:
    v.presenting = true;
    return;
  case event_type::presentation_fallback:
    v.fallback = true;
    v.fallback_reason = e.reason;
    return;
  case event_type::final_answer:
    v.has_final = true;
    v.final_text = e.text;
    v.truncated = events::is_truncated(e);
    return;
  case event_type::cancel_requested:
    v.cancel_reason = e.reason;
    return;
  case event_type::task_ended:
    v.ended = true;
    v.outcome = e.reason;
    return;
  default:
    return;
  }
}

} // namespace

void task_view::on(const event& e) {
  if (is_delivery(e.type)) // all that is told here was over
    return;
  ++events;
  if (e.time_ms > last_ms)
    last_ms = e.time_ms;
  if (events == 1)
    started_ms = e.time_ms;
  if (outcome.empty())
    outcome = to_string(outcome_kind::interrupted);
  if (e.type == event_type::session_start)
    begin(*this, e);
  if (!agents.empty() || e.type == event_type::task_opened)
    ledger::fold(state, e);
  on_task(*this, e);
  if (auto* a = e.agent.empty() ? nullptr : find(e.agent))
    on_agent(*a, e);
  if (e.type == event_type::task_ended) {
    finish_reason = state.finish_reason;
    error = state.error;
  }
}

const agent_view* task_view::find(const std::string& id) const {
  auto i = std::find_if(agents.begin(), agents.end(), [&](const agent_view& a) { return a.id == id; });
  return i == agents.end() ? nullptr : &*i;
}

agent_view* task_view::find(const std::string& id) {
  return const_cast<agent_view*>(static_cast<const task_view*>(this)->find(id));
}

std::string task_view::anonymous(const std::string& id) const {
  auto* a = find(id);
  return a ? "agent" + std::to_string(a->number) : id;
}

std::string task_view::answer_name(const std::string& label) const {
  auto dot = label.rfind('.');
  for (const auto& a : agents)
    if (dot != std::string::npos && label.compare(0, dot, "agent" + std::to_string(a.number)) == 0) {
      auto nth = label.substr(dot + 1);
      if (nth.empty() || nth.size() > 9 || nth.find_first_not_of("0123456789") != std::string::npos)
        break;
      return one_line(a.id, longest_name) + "'s answer" + (nth == "1" ? "" : " " + nth);
    }
  return one_line(label, longest_name);
}

usage task_view::cost() const {
  usage sum;
  for (const auto& a : agents)
    add(sum, a.use);
  return sum;
}

std::vector<std::uint32_t> task_view::tally() const {
  return agents.empty() ? std::vector<std::uint32_t>{} : ledger::tally(state);
}

task_view view_of(const std::vector<event>& events) {
  task_view v;
  for (const auto& e : events)
    v.on(e);
  return v;
}

} // namespace conclave
