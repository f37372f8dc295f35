// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "sim/world.hpp"

#include "protocols/events.hpp"
#include "protocols/replay.hpp"
#include "protocols/what_if.hpp"
#include "support/ledger_crash.hpp"

#include <algorithm>
#include <cstdio>

namespace conclave::sim {

plan draw(dice& d) {
  plan p;
  p.agents = static_cast<std::size_t>(d.between(1, 4));
  p.far_nodes = d.below(3);
  for (std::size_t i = 0; i < p.agents; ++i)
    p.at.push_back(d.below(p.far_nodes + 1));
  auto& r = p.rules;
  r.pacing = d.chance(300) ? ledger::pacing::eager : ledger::pacing::barrier;
  r.strategy = d.chance(200) ? ledger::strategy::winner_reuse : ledger::strategy::winner_present;
  r.skip_coordination = d.chance(50);
  r.max_answers_per_agent = static_cast<std::uint32_t>(d.between(1, 3));
  r.max_answers_global = d.chance(200) ? static_cast<std::uint32_t>(d.between(1, 4)) : 0;
  r.max_failed_runs = static_cast<std::uint32_t>(d.between(1, 3));
  r.max_runs = d.chance(100) ? static_cast<std::uint32_t>(d.between(2, 12)) : 0;
  r.patience_ms = d.chance(200) ? 0 : d.between(2'000, 120'000);
  r.coordination_ms = d.between(30'000, 1'800'000);
  r.initial_run_ms = d.between(10'000, 600'000);
  r.later_run_ms = d.between(10'000, 600'000);
  r.presentation_ms = d.between(5'000, 300'000);
  r.cancel_grace_ms = d.between(0, 3'000);
  r.closing_ms = d.chance(200) ? 0 : d.between(1, 3'000);
  p.on_unknown = d.chance(700) ? "tell" : d.chance(500) ? "fail" : "repeat";
  p.crashes = static_cast<int>(d.below(4));
  p.crash_permille = std::vector<std::size_t>{0, 2, 8, 25}[d.below(4)];
  p.sync_crash_permille = std::vector<std::size_t>{0, 30, 150, 400}[d.below(4)];
  p.node_death_permille = d.chance(300) ? 1 + d.below(3) : 0;
  p.cancel_permille = d.chance(150) ? 1 : 0;
  p.stale_permille = d.chance(500) ? 30 : 0;
  p.timer_permille = std::vector<std::size_t>{0, 10, 60, 200}[d.below(4)];
  p.bad_model = std::vector<std::size_t>{0, 50, 200, 500}[d.below(4)];
  p.hang = std::vector<std::size_t>{0, 0, 30, 150}[d.below(4)];
  p.tool_use = std::vector<std::size_t>{0, 150, 400, 600}[d.below(4)];
  p.bad_tool = std::vector<std::size_t>{0, 50, 300}[d.below(3)];
  p.lost_source = d.chance(150) ? 20 : 0;
  return p;
}

void draw_budgets(dice& d, plan& p) {
  if (!d.chance(500))
    return;
  auto one = [&d] {
    budget b;
    if (d.chance(700))
      b.tokens = d.between(2'000, 120'000);
    if (d.chance(400))
      b.nano_usd = d.between(5'000, 400'000);
    b.on_exceed = d.chance(500) ? exceed_policy::block : d.chance(600) ? exceed_policy::terminate : exceed_policy::warn;
    return b;
  };
  if (d.chance(800))
    p.rules.budget = one();
  for (std::size_t i = 0; i < p.agents; ++i)
    p.budgets.push_back(d.chance(300) ? one() : budget{});
  p.above = d.chance(300) ? 100 : 0;
  p.uncounted = std::vector<std::size_t>{0, 100, 400}[d.below(3)];
}

std::string to_string(const plan& p) {
  std::string at;
  for (auto n : p.at)
    at += " " + std::to_string(n);
  auto& r = p.rules;
  return std::to_string(p.agents) + " agents at nodes" + at + ", " + (r.pacing == ledger::pacing::eager ? "eager" : "barrier")
         + ", " + (r.strategy == ledger::strategy::winner_reuse ? "reuse" : "present") + ", answers "
         + std::to_string(r.max_answers_per_agent) + "/" + std::to_string(r.max_answers_global) + ", failures "
         + std::to_string(r.max_failed_runs) + ", closing " + std::to_string(r.closing_ms) + " ms, on_unknown " + p.on_unknown
         + ", crashes " + std::to_string(p.crashes) + " (" + std::to_string(p.crash_permille) + ", "
         + std::to_string(p.sync_crash_permille) + " permille)";
}

void world::find(std::string what_is_wrong) {
  if (broken.empty()) {
    broken = std::move(what_is_wrong);
    trace("FINDING: " + broken);
  }
}

void world::trace(const std::string& line) {
  if (tracing)
    std::printf("%6zu %9.3f s  %s\n", steps, static_cast<double>(now_ms) / 1000, line.c_str());
}

void world::forget_log() {
  log.clear();
  folded = {};
  bodies.clear();
  begun.clear();
  ended.clear();
  begun_tools.clear();
  before.clear();
  owned.clear();
  asked.clear();
  done.clear();
  resumed_since = true;
}

void world::take(std::vector<event> decision) {
  auto first = decision.empty() ? event_type::unknown : decision.front().type;
  auto was = first == event_type::run_continued ? folded : ledger::state{};
  auto who = decision.empty() ? std::string{} : decision.front().agent;
  for (auto& e : decision) {
    if (e.seq != log.size() + 1)
      return find("event " + std::to_string(e.seq) + " follows " + std::to_string(log.size()));
    if (!log.empty() && e.time_ms < log.back().time_ms)
      return find("event " + std::to_string(e.seq) + " is older than the one before");
    if (tracing)
      trace("  durable: " + std::to_string(e.seq) + " " + conclave::to_string(e.type) + " " + e.agent
            + (e.run > 0 ? " run " + std::to_string(e.run) : "") + (e.number != 0 ? " number " + std::to_string(e.number) : "")
            + " " + e.label + " " + e.target + " " + e.reason.substr(0, 60));
    ledger::fold(folded, e);
    check_budgets(e);
    auto key = std::pair{e.agent, static_cast<std::uint64_t>(e.number)};
    if (e.type == event_type::call_started) {
      if (e.target == events::model_target)
        begun[key] = e.run;
      else
        ++begun_tools[{e.agent, e.run, e.target}];
      if (e.target != events::model_target && !e.said.empty())
        asked[key] = bodies[e.said.back()];
    } else if (e.type == event_type::call_ended && !ended.emplace(key, e.reason).second) {
      find("call " + std::to_string(e.number) + " of " + e.agent + " has two ends");
    } else if (e.type == event_type::run_continued) {
      before[e.run] = static_cast<std::uint64_t>(e.number);
    }
    if (e.type == event_type::call_ended && e.reason != events::unknown_status && asked.count(key) > 0)
      done.insert(asked[key]);
    if (e.type == event_type::run_started || e.type == event_type::run_continued)
      owned[e.run] = std::max<std::uint64_t>(folded.fence, 1);
    log.push_back(std::move(e));
  }
  if (auto wrong = ledger::check(folded); !wrong.empty())
    find("the durable log: " + wrong);
  if (first == event_type::run_continued)
    check_continued(was, who);
  if (first != event_type::task_resumed)
    return;
  if (folded.last_ms - folded.started_ms != at_crash.last_ms - at_crash.started_ms)
    find("a deadline did not rest while nobody worked on the task");
  resumed_since = true;
  for (std::size_t i = 0; i < folded.members.size() && folded.phase != ledger::phase::done; ++i)
    if (auto wrong = test::changed_by_crash(at_crash.members[i], folded.members[i], false); !wrong.empty())
      find(wrong);
  if (folded.epoch != at_crash.epoch || folded.round != at_crash.round || folded.runs_started != at_crash.runs_started)
    find("a crash changed a count of the task");
}

/// No call begins that might exceed a budget; and where each reply keeps to its reserve, none is ever exceeded.
void world::check_budgets(const event& e) {
  auto one = [&](const std::string& whose, const budget& b, amount sum, const amount& reserved, bool begins) {
    add(sum, reserved);
    if (b.on_exceed == exceed_policy::warn || (what.above > 0 && !begins))
      return;
    for (auto u : {budget_unit::tokens, budget_unit::usd})
      if (limit_of(b, u) > 0 && in(sum, u) > limit_of(b, u))
        find("the budget of " + whose + " is exceeded: " + share_text(in(sum, u), limit_of(b, u), u) + " at "
             + conclave::to_string(e.type));
  };
  auto begins = e.type == event_type::call_started && e.target == events::model_target;
  one("the task", folded.rules.budget, ledger::spent(folded), ledger::reserved(folded), begins);
  for (auto& m : folded.members)
    one(m.id, m.budget, m.spent, ledger::reserved(m), begins && e.agent == m.id);
}

/// What is spent is what the models said, and the reserves of those of which nobody knows.
void world::check_spent() {
  std::map<std::pair<std::string, std::uint64_t>, usage> reserves;
  std::map<std::string, std::int64_t> expected; ///< tokens
  for (auto& e : log) {
    std::pair key{e.agent, static_cast<std::uint64_t>(e.number)};
    if (e.target == events::model_target && e.type == event_type::call_started)
      reserves[key] = e.use;
    if (e.target != events::model_target || e.type != event_type::call_ended)
      continue;
    auto sent = std::find_if(models.begin(), models.end(), [&](auto& m) { return m.agent == key.first && m.call == key.second; });
    auto use = e.use; // with its cost
    if (e.reason != events::unknown_status && sent != models.end()
        && (use.input_tokens != sent->said.input_tokens || use.output_tokens != sent->said.output_tokens) && use.unreported == 0)
      find("call " + std::to_string(key.second) + " of " + key.first + " took other tokens than its model said");
    auto& reserve = reserves[key];
    auto took = use.input_tokens + use.output_tokens;
    expected[key.first] += use.unreported > 0 ? std::max(took, reserve.input_tokens + reserve.output_tokens) : took;
  }
  for (auto& m : folded.members)
    if (m.spent.tokens != expected[m.id])
      find("what " + m.id + " spent is " + std::to_string(m.spent.tokens) + " tokens, its calls took "
           + std::to_string(expected[m.id]));
  if (!(ledger::reserved(folded) == amount{}))
    find("the task has ended and something is reserved");
}

/// A run that goes on under a new number is no new run.
void world::check_continued(const ledger::state& was, const std::string& agent) {
  for (std::size_t i = 0; i < folded.members.size(); ++i) // others may have calls under way again
    if (auto wrong = test::changed_by_crash(was.members[i], folded.members[i], false);
        folded.members[i].id == agent && !wrong.empty())
      find(wrong);
  if (folded.runs_started != was.runs_started || folded.presentation_tries != was.presentation_tries)
    find("a run that goes on was counted again");
  auto kept = [](const ledger::active_run& a, const ledger::active_run& b) {
    return a.epoch == b.epoch && a.round == b.round && a.shown == b.shown && a.started_ms == b.started_ms;
  };
  for (std::size_t i = 0; i < folded.members.size(); ++i)
    if (!kept(was.members[i].run, folded.members[i].run))
      find("a run that goes on is another one: " + folded.members[i].id);
  if (!kept(was.presentation, folded.presentation))
    find("a presentation that goes on is another one");
}

std::uint64_t world::root(std::uint64_t run) const {
  for (auto i = before.find(run); i != before.end(); i = before.find(run))
    run = i->second;
  return run;
}

/// What a model is told: one result for each call it made before it is asked again, nothing of a former owner, and that a call's
/// outcome is unknown only where it may not be repeated and the user wants it told.
void world::check_talk(const model_request& r) {
  std::map<std::string, std::string> open; // calls that await their result: id -> tool
  for (auto& m : r.messages) {
    if (m.text.find("a stale ") != std::string::npos)
      find("what a former owner said was shown to " + r.agent);
    if (m.from != role::tool) {
      if (!open.empty())
        find("I6: call " + open.begin()->first + " of " + r.agent + " has no result");
      for (auto& c : m.calls)
        open.emplace(c.id, c.name);
      continue;
    }
    auto call = open.find(m.tool_call_id);
    if (call == open.end())
      return find("I6: a result for " + r.agent + " belongs to no call: " + m.tool_call_id);
    if (m.text.find("when the process that made it ended") != std::string::npos
        && (call->second != "stamp" || what.on_unknown != "tell"))
      find("a call of tool " + call->second + " of " + r.agent + " was to be made again after the crash");
    open.erase(call);
  }
  if (!open.empty())
    find("I6: call " + open.begin()->first + " of " + r.agent + " has no result");
}

std::size_t world::on_model(std::uint64_t fence, const model_request& r, std::string hash) {
  auto& agent = r.agent;
  auto run = r.run, call = r.call;
  auto name = "model call " + std::to_string(call) + " of " + agent + " (run " + std::to_string(run) + ")";
  trace("  sent: " + name + " of fence " + std::to_string(fence) + ", hash " + hash);
  auto known = begun.find({agent, call});
  if (known == begun.end() || known->second != run)
    find(name + " was made before it was durable");
  else if (owned[run] != fence)
    find(name + " is of a run from before the crash, under its old number");
  check_talk(r);
  for (auto& x : models) {
    if (x.agent != agent)
      continue;
    if (x.call == call)
      find(name + " was made twice");
    if (x.hash != hash || root(x.run) != root(run))
      continue;
    auto end = ended.find({agent, x.call});
    if (x.fence != fence && end != ended.end() && x.finished && end->second != events::unknown_status)
      find(name + " repeats call " + std::to_string(x.call) + ", whose end is durable");
    if (x.fence == fence && x.open)
      find(name + " repeats call " + std::to_string(x.call) + ", which is under way");
  }
  models.push_back({agent, run, call, std::move(hash), fence});
  return models.size() - 1;
}

void world::on_tool(const tool_invocation& x, const std::string& tool) {
  auto name = "call of tool " + tool + " of " + x.agent + " (run " + std::to_string(x.run) + ")";
  trace("  sent: " + name + " " + x.call.arguments);
  std::tuple key{x.agent, x.run, tool};
  if (++tool_calls[key] > begun_tools[key])
    find("a " + name + " was made before it was durable");
  if (done.count(x.call.arguments) > 0)
    find("a " + name + " was made again, though its end is durable");
}

bool world::works(const std::string& agent, std::uint64_t run) const {
  auto tools = open_tools.find({agent, run});
  return (tools != open_tools.end() && tools->second > 0)
         || std::any_of(models.begin(), models.end(), [&](auto& m) { return m.open && m.agent == agent && m.run == run; });
}

void world::on_effect(const std::string& arguments) {
  trace("  effect: " + arguments);
  if (++effects[arguments] > 1 && what.on_unknown != "repeat")
    find("the tool had its effect twice: " + arguments);
}

void world::check_end() {
  if (log.empty())
    return find("nothing was stored");
  auto count = [&](event_type t) { return std::count_if(log.begin(), log.end(), [t](auto& e) { return e.type == t; }); };
  if (count(event_type::task_ended) != 1 || log.back().type != event_type::task_ended)
    find("terminal events: " + std::to_string(count(event_type::task_ended)));
  if (count(event_type::presentation_started) > 1)
    find("presentations begun: " + std::to_string(count(event_type::presentation_started)));
  for (auto& e : log)
    if (e.type == event_type::call_started && ended.count({e.agent, static_cast<std::uint64_t>(e.number)}) == 0)
      find("call " + std::to_string(e.number) + " of " + e.agent + " has no end");
  for (auto& e : log) { // a result that is durable was brought by an effect
    if (e.type != event_type::call_started || e.target != "stamp" || e.said.empty())
      continue;
    auto end = ended.find({e.agent, static_cast<std::uint64_t>(e.number)});
    if (end != ended.end() && end->second == "finished" && effects[bodies[e.said.back()]] < 1)
      find("a call of the tool has an end and had no effect");
  }
  check_spent();
  auto restored = ledger::restore(log);
  if (!restored.error.empty())
    find("the log cannot be restored: " + restored.error);
  auto found = [this](const std::string& sha) -> const std::string* {
    auto i = bodies.find(sha);
    return i == bodies.end() ? nullptr : &i->second;
  };
  for (auto& e : log) {
    for (auto& sha : e.said)
      if (found(sha) == nullptr)
        find("event " + std::to_string(e.seq) + " names a body that is not stored");
    if (!e.state.empty() && found(e.state) == nullptr)
      find("event " + std::to_string(e.seq) + " names a state that is not stored");
  }
  ledger::run_check runs;
  if (auto wrong = ledger::verify(log, found, &runs); !wrong.empty())
    find("verify: " + wrong);
  for (auto& first : {runs.prompts.first, runs.states.first})
    if (!first.empty())
      find("verify: " + first);
  auto same = ledger::ask_what_if(log, found, {restored.opening.rules, {}});
  if (!same.error.empty() || same.winner != restored.state.winner || !same.notes.empty())
    find("under its own rules: '" + same.winner + "' instead of '" + restored.state.winner + "' " + same.error
         + (same.notes.empty() ? "" : same.notes.front().text));
  for (auto& m : models)
    if (m.open)
      find("model call " + std::to_string(m.call) + " of " + m.agent + " is still open outside");
  for (auto& [of, n] : open_tools)
    if (n != 0)
      find("tool calls of " + of.first + " are still open outside");
}

} // namespace conclave::sim
