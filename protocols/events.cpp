// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/events.hpp"

#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave::events {

namespace {

constexpr const char* read_only_detail = R"({"read_only":true})"; // of a call without effect; stored: never change it
constexpr std::int64_t longest_backoff_ms = 86'400'000;
constexpr std::int64_t longest_pause_ms = std::int64_t{100} * 366 * 86'400'000; // of any value a damaged log may hold

event of(event_type type) {
  event e;
  e.type = type;
  return e;
}

event of(event_type type, std::string agent, std::uint64_t run = 0) {
  auto e = of(type);
  e.agent = std::move(agent);
  e.run = run;
  return e;
}

void put(event& e, run_record at) {
  e.said = std::move(at.said);
  e.state = std::move(at.state);
  e.kept = at.kept;
}

std::uint32_t small(std::int64_t n) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(n, 0, UINT32_MAX));
}

std::uint64_t natural(std::int64_t n) {
  return n > 0 ? static_cast<std::uint64_t>(n) : 0;
}

event end_of(event_type type, outcome_kind how, std::string text, ec code) {
  auto e = of(type);
  e.reason = to_string(how);
  e.text = std::move(text);
  e.code = code;
  return e;
}

} // namespace

event task_opened(std::string opening, std::vector<std::string> files) {
  auto e = of(event_type::task_opened);
  e.detail = std::move(opening);
  e.said = std::move(files);
  return e;
}

event agent_placed(const placement& p) {
  auto e = of(event_type::agent_placed, p.agent);
  e.target = p.node;
  e.detail = "{\"backend\":" + wire::quote(p.backend) + ",\"model\":" + wire::quote(p.model) + "}";
  return e;
}

event session_start(std::string question, ids agents) {
  auto e = of(event_type::session_start);
  e.text = std::move(question);
  e.labels = std::move(agents);
  return e;
}

event round_started(std::uint32_t round) {
  auto e = of(event_type::round_started);
  e.round = round;
  return e;
}

event run_started(run_begin r) {
  auto e = of(event_type::run_started, std::move(r.agent), r.run);
  e.round = r.round;
  e.epoch = r.epoch;
  e.labels = std::move(r.shown);
  e.number = r.attempt;
  return e;
}

event context_received(std::string agent, std::uint64_t run, ids shown) {
  auto e = of(event_type::context_received, std::move(agent), run);
  e.labels = std::move(shown);
  return e;
}

event call_started(call_name c, std::string request_hash, run_record at, call_effect effect, const usage& reserve) {
  auto e = of(event_type::call_started, std::move(c.agent), c.run);
  e.number = static_cast<std::int64_t>(c.call);
  e.target = std::move(c.target);
  e.reason = std::move(request_hash);
  e.flag = effect != call_effect::once;
  if (effect == call_effect::none)
    e.detail = read_only_detail;
  e.use = reserve;
  put(e, std::move(at));
  return e;
}

event call_ended(call_name c, std::string status, const usage& use, std::vector<std::string> said) {
  auto e = of(event_type::call_ended, std::move(c.agent), c.run);
  e.number = static_cast<std::int64_t>(c.call);
  e.target = std::move(c.target);
  e.reason = std::move(status);
  e.use = use;
  e.said = std::move(said);
  return e;
}

event new_answer(std::string agent, std::uint64_t run, std::string label, std::string text, std::string step,
                 std::uint64_t epoch_after) {
  auto e = of(event_type::new_answer, std::move(agent), run);
  e.label = std::move(label);
  e.text = std::move(text);
  e.step = std::move(step);
  e.epoch = epoch_after;
  return e;
}

event snapshot_taken(std::string agent, std::uint64_t run, std::string label, const kept_files& kept) {
  auto e = of(event_type::snapshot_taken, std::move(agent), run);
  e.label = std::move(label);
  e.target = kept.snapshot;
  e.number = kept.files;
  e.kept = static_cast<std::uint64_t>(std::max<std::int64_t>(kept.bytes, 0));
  e.detail = wire::changes_object(kept.changes);
  e.reason = kept.left;
  return e;
}

event snapshot_failed(std::string agent, std::uint64_t run, std::string label, std::string why) {
  auto e = of(event_type::snapshot_failed, std::move(agent), run);
  e.label = std::move(label);
  e.reason = std::move(why);
  return e;
}

event changes_proposed(std::string agent, std::uint64_t run, const folder_change& c) {
  auto e = of(event_type::changes_proposed, std::move(agent), run);
  e.target = c.folder;
  e.labels = {c.before, c.after};
  e.number = c.files;
  e.target_label = c.commit;
  return e;
}

namespace {

event of_delivery(event_type type, delivery_note&& d) {
  auto e = of(type);
  e.target = std::move(d.folder);
  e.number = static_cast<std::int64_t>(std::min<std::uint64_t>(d.paths, INT64_MAX));
  e.label = std::move(d.id);
  e.target_label = std::move(d.branch);
  return e;
}

} // namespace

event changes_applied(delivery_note d) {
  return of_delivery(event_type::changes_applied, std::move(d));
}

event changes_undone(delivery_note d) {
  return of_delivery(event_type::changes_undone, std::move(d));
}

event vote_cast(vote v) {
  auto e = of(event_type::vote_cast, std::move(v.agent), v.run);
  e.label = std::move(v.label);
  e.target = std::move(v.target);
  e.target_label = std::move(v.target_label);
  e.reason = std::move(v.reason);
  e.step = std::move(v.step);
  e.epoch = v.epoch;
  return e;
}

event vote_ignored(std::string agent, std::uint64_t run, std::string target, std::uint64_t epoch_now, std::uint64_t epoch_seen) {
  auto e = of(event_type::vote_ignored, std::move(agent), run);
  e.target = std::move(target);
  e.epoch = epoch_now;
  e.number = static_cast<std::int64_t>(epoch_seen);
  return e;
}

event refused(std::string agent, std::uint64_t run, std::string reason, ids allowed, run_record at) {
  auto e = of(event_type::refused, std::move(agent), run);
  e.reason = std::move(reason);
  e.labels = std::move(allowed);
  put(e, std::move(at));
  return e;
}

event restart_triggered(std::string by, ids affected) {
  auto e = of(event_type::restart_triggered, std::move(by));
  e.labels = std::move(affected);
  return e;
}

event restart_completed(std::string agent, std::uint32_t restarts) {
  auto e = of(event_type::restart_completed, std::move(agent));
  e.number = restarts;
  return e;
}

event run_ended(std::string agent, std::uint64_t run, std::string how, std::string partial, ec code) {
  auto e = of(event_type::run_ended, std::move(agent), run);
  e.reason = std::move(how);
  e.text = std::move(partial);
  e.code = code;
  return e;
}

event late_text(std::string agent, std::uint64_t run, std::string text, ec code) {
  auto e = of(event_type::late_text, std::move(agent), run);
  e.text = std::move(text);
  e.code = code;
  return e;
}

event agent_error(std::string agent, std::uint64_t run, ec code, std::string reason, std::uint32_t in_a_row,
                  std::int64_t backoff_ms) {
  auto e = of(event_type::agent_error, std::move(agent), run);
  e.code = code;
  e.reason = std::move(reason);
  e.number = in_a_row;
  e.ms = backoff_ms;
  return e;
}

event agent_notice(std::string agent, std::uint64_t run, ec code, std::string reason) {
  auto e = of(event_type::agent_notice, std::move(agent), run);
  e.code = code;
  e.reason = std::move(reason);
  return e;
}

event budget_notice(std::string agent, budget_mark mark, std::string reason, ec code) {
  auto e = agent_notice(std::move(agent), 0, code, std::move(reason));
  e.target = std::move(mark.whose);
  e.label = to_string(mark.unit);
  e.number = mark.permille;
  e.flag = mark.ends_task;
  return e;
}

event agent_timeout(std::string agent, std::uint64_t run, std::string which) {
  auto e = of(event_type::agent_timeout, std::move(agent), run);
  e.reason = std::move(which);
  return e;
}

event backoff_over(std::string agent) {
  return of(event_type::backoff_over, std::move(agent));
}

event agent_cancelled(std::string agent, std::uint64_t run) {
  return of(event_type::agent_cancelled, std::move(agent), run);
}

event agent_out(std::string agent, ec code, std::string reason) {
  auto e = of(event_type::agent_out, std::move(agent));
  e.code = code;
  e.reason = std::move(reason);
  return e;
}

event node_lost(std::string node, ids agents, std::string reason) {
  auto e = of(event_type::node_lost);
  e.target = std::move(node);
  e.labels = std::move(agents);
  e.reason = std::move(reason);
  return e;
}

event round_timeout(std::uint32_t round, ids stragglers, std::string why) {
  auto e = of(event_type::round_timeout);
  e.round = round;
  e.labels = std::move(stragglers);
  e.reason = std::move(why);
  return e;
}

event coordination_timeout() {
  return of(event_type::coordination_timeout);
}

event final_round_start(std::string winner, std::uint32_t round) {
  auto e = of(event_type::final_round_start, std::move(winner));
  e.round = round;
  return e;
}

event final_agent_selected(std::string winner, ids candidates, std::uint32_t votes, bool tie, std::string how) {
  auto e = of(event_type::final_agent_selected, std::move(winner));
  e.labels = std::move(candidates);
  e.number = votes;
  e.flag = tie;
  e.reason = std::move(how);
  return e;
}

event presentation_started(std::string winner, std::uint64_t run) {
  return of(event_type::presentation_started, std::move(winner), run);
}

event presentation_retried(std::string winner, std::uint64_t run, std::string why) {
  auto e = of(event_type::presentation_retried, std::move(winner), run);
  e.reason = std::move(why);
  return e;
}

event presentation_fallback(std::string winner, std::string why, std::string stored_answer) {
  auto e = of(event_type::presentation_fallback, std::move(winner));
  e.reason = std::move(why);
  e.text = std::move(stored_answer);
  return e;
}

event final_answer(std::string winner, std::string label, std::string text, bool truncated) {
  auto e = of(event_type::final_answer, std::move(winner));
  e.label = std::move(label);
  e.text = std::move(text);
  e.flag = truncated;
  return e;
}

event cancel_requested(std::string why) {
  auto e = of(event_type::cancel_requested);
  e.reason = std::move(why);
  return e;
}

event task_closing(outcome_kind how, std::string text, ec code) {
  return end_of(event_type::task_closing, how, std::move(text), code);
}

event session_end() {
  return of(event_type::session_end);
}

event task_ended(outcome_kind how, std::string text, ec code) {
  return end_of(event_type::task_ended, how, std::move(text), code);
}

event run_continued(std::string agent, std::uint64_t old_run, std::uint64_t new_run) {
  auto e = of(event_type::run_continued, std::move(agent), new_run);
  e.number = static_cast<std::int64_t>(old_run);
  return e;
}

event task_resumed(std::string owner, std::uint64_t fence, std::int64_t pause_ms) {
  auto e = of(event_type::task_resumed);
  e.target = std::move(owner);
  e.number = static_cast<std::int64_t>(fence);
  e.ms = pause_ms;
  return e;
}

failure failure_of(const event& e) {
  return {e.code, e.reason, small(e.number), std::clamp<std::int64_t>(e.ms, 0, longest_backoff_ms)};
}

call call_of(const event& e) {
  call c;
  c.number = natural(e.number);
  c.target = e.target;
  c.model = e.target.empty() || e.target == model_target;
  (e.type == event_type::call_started ? c.hash : c.status) = e.reason;
  if (e.type == event_type::call_started && e.flag) { // without the flag it is made once, whatever else it says
    std::string read_only;                            // what every build so far wrote need not be parsed
    auto told = e.detail != read_only_detail && !e.detail.empty() && wire::get(e.detail, "read_only", read_only);
    c.effect = e.detail == read_only_detail || (told && read_only == "true") ? call_effect::none : call_effect::repeatable;
  }
  return c;
}

succession continued_of(const event& e) {
  return {natural(e.number), e.run};
}

takeover resumed_of(const event& e) {
  return {e.target, natural(e.number), std::clamp<std::int64_t>(e.ms, 0, longest_pause_ms)};
}

kept_files kept_of(const event& e) {
  kept_files out;
  if (e.type != event_type::snapshot_taken)
    return out;
  out.snapshot = e.target;
  out.files = e.number;
  out.bytes = static_cast<std::int64_t>(std::min<std::uint64_t>(e.kept, INT64_MAX));
  out.changes = wire::changes_at(e.detail);
  out.left = e.reason;
  return out;
}

folder_change change_of(const event& e) {
  folder_change out;
  if (e.type != event_type::changes_proposed || e.labels.size() != 2)
    return out;
  out.folder = e.target;
  out.before = e.labels[0];
  out.after = e.labels[1];
  out.files = e.number;
  out.commit = e.target_label;
  return out;
}

delivery_note delivery_of(const event& e) {
  return is_delivery(e.type) ? delivery_note{e.target, natural(e.number), e.label, e.target_label} : delivery_note{};
}

placement placed_of(const event& e) {
  placement p{e.agent, e.target, {}, {}};
  wire::get(e.detail, "backend", p.backend);
  wire::get(e.detail, "model", p.model);
  return p;
}

std::uint32_t attempt_of(const event& e) {
  return small(e.number);
}

std::uint32_t restarts_of(const event& e) {
  return small(e.number);
}

std::uint64_t epoch_seen_of(const event& e) {
  return natural(e.number);
}

std::uint32_t votes_of(const event& e) {
  return small(e.number);
}

bool is_tie(const event& e) {
  return e.flag;
}

bool is_truncated(const event& e) {
  return e.flag;
}

outcome_kind outcome_of(const event& e) {
  for (auto k : {outcome_kind::answered, outcome_kind::failed, outcome_kind::timed_out, outcome_kind::interrupted})
    if (to_string(k) == e.reason)
      return k;
  return outcome_kind::failed;
}

std::optional<budget_mark> budget_mark_of(const event& e) {
  if (e.type != event_type::agent_notice || (e.target != "task" && e.target != "agent"))
    return {};
  return budget_mark{e.target, e.label == "usd" ? budget_unit::usd : budget_unit::tokens, e.number, e.flag};
}

bool ended_by_ledger(const event& e) {
  for (auto* how : {"straggler", "round_over", "deadline", "timeout", "lost", "budget"})
    if (e.reason == how)
      return true;
  return false;
}

} // namespace conclave::events
