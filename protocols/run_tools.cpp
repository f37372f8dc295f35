// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Rounds of tool calls, and the rules of what may be called.

#include "protocols/cost.hpp"
#include "protocols/run_mover.hpp"
#include "protocols/run_results.hpp"
#include "protocols/tool_result.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_tools.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace conclave::run {

namespace {

/// The same calls with the same arguments so often in a row are a loop.
constexpr std::uint32_t max_repeats = 3;

std::uint32_t most_rounds(const setting& with) {
  return static_cast<std::uint32_t>(std::max(with.agent.backend.max_tool_iterations, 0));
}

policy_ruling denied(std::string why, ec code = ec::denied) {
  return {policy_answer::deny, std::move(why), code};
}

policy_ruling not_in_vain(const setting&, const state& s) {
  auto& m = s.memory;
  if (m.vain < max_vain_requests)
    return {};
  return denied("no usable reply to " + std::to_string(m.vain) + " requests in this round, so that no more are sent in it"
                    + (m.vain_error.empty() ? "" : "; the last: " + m.vain_error),
                m.vain_code);
}

usage may_use(const setting& with, const state& s, const model_request& r) {
  return reserve_for(r, s.talk, backend_at(with.agent, s.memory.backend));
}

policy_ruling within_rounds(const setting& with, const state& s, const tool_call&) {
  return s.iterations > most_rounds(with) ? denied("the limit of tool calls is reached") : policy_ruling{};
}

policy_ruling not_a_loop(const setting&, const state& s, const tool_call&) {
  return s.repeats >= max_repeats ? denied("the same call was just made " + std::to_string(max_repeats - 1)
                                           + " times, its result is above; go on from there")
                                  : policy_ruling{};
}

/// Its files are there to be read, also while it plans. A server of the user's that stands for ours is as any other.
bool is_of_workspace(const setting& with, const std::string& tool) {
  auto& rows = workspace_tools::table();
  auto& servers = with.agent.backend.mcp_servers;
  auto is_ours = [&](const workspace_tools::tool_row& r) {
    return std::none_of(servers.begin(), servers.end(), [&](auto& s) { return s.name == r.server; });
  };
  return !with.agent.backend.workspace.cwd.empty()
         && std::any_of(rows.begin(), rows.end(), [&](auto& r) { return workspace_tools::public_name(r) == tool && is_ours(r); });
}

/// While agents plan, what they would do with their tools is for them to describe.
policy_ruling only_plans(const setting& with, const state& s, const tool_call& c) {
  auto tool = with.tools.find(c.name);
  auto reads = tool != with.tools.end() && tool->second.read_only && (s.task.planning_reads || is_of_workspace(with, c.name));
  if (!s.task.planning || c.name == read_result_name || reads)
    return {};
  auto no =
      denied("E_PLANNING, blocked_by: planning_mode; describe instead what you would do with this tool, and with what arguments");
  no.status = "denied:E_PLANNING";
  return no;
}

policy_ruling bound_result(const setting&, const state&, const tool_call&, tool_result& r) {
  admit(r); // its node did so, if it is one to trust
  if (r.text.empty())
    r.text = "(no output)";
  return {};
}

std::string no_such_tool(const std::string& name) {
  return "Error: there is no tool named '" + name + "' any more.";
}

bool is_held_result(const pending_call& p) {
  return p.stage == call_stage::on_hold && p.number != 0;
}

/// What the reply asks for, to see whether it is the same again.
std::string hash_of(const std::vector<pending_call>& calls) {
  std::string asked;
  for (auto& p : calls)
    asked += p.call.name + '\n' + p.call.arguments + '\n';
  return wire::hash(asked);
}

} // namespace

const std::vector<policy>& policies() {
  static const std::vector<policy> all = {
      {"requests in vain", not_in_vain, nullptr, nullptr}, {"planning mode", nullptr, only_plans, nullptr},
      {"budget", nullptr, nullptr, nullptr, may_use},      {"rounds of tool calls", nullptr, within_rounds, nullptr},
      {"repetition", nullptr, not_a_loop, nullptr},        {"size of results", nullptr, nullptr, bound_result},
  };
  return all;
}

/// Carries out the calls of ours in a reply, of a tool that is gone as well: its result says so. Calls of others (a verdict beside
/// them) are judged afterwards.
bool mover::run_tools(completion& c) {
  std::vector<pending_call> ours;
  for (std::size_t i = 0; i < c.calls.size(); ++i)
    if (with.tools.count(c.calls[i].name) + with.gone.count(c.calls[i].name) > 0) {
      ours.emplace_back();
      ours.back().at = static_cast<std::uint32_t>(i);
      ours.back().call = c.calls[i];
    }
  if (ours.empty())
    return false;
  s.pending = std::move(ours);
  s.reply = std::move(c);
  ++s.iterations;
  s.memory.vain = 0; // a reply to go on from
  s.held = held_bytes();
  s.stage = stage::tools;
  auto asked = hash_of(s.pending);
  s.repeats = asked == s.last_asked ? s.repeats + 1 : 1;
  s.last_asked = std::move(asked);
  next_tools();
  return true;
}

/// Its one result without being carried out.
void mover::settle(pending_call& p, std::string error) {
  p.number = 0;
  p.stage = call_stage::done;
  p.result = {p.call.id, std::move(error), true};
}

/// Announces a call, unless a rule is against it that leaves no trace in the log.
void mover::begin_tool(pending_call& p) {
  auto tool = with.tools.find(p.call.name);
  if (s.task.planning && !may_begin(p)) // whatever tool it is
    return;
  if (tool == with.tools.end() && p.refused.empty()) {
    out.push_back(tell{"the tool '" + p.call.name + "' is gone: its call got an error result"});
    return settle(p, no_such_tool(p.call.name));
  }
  if (!s.task.planning && !may_begin(p))
    return;
  auto effect = p.refused.empty() ? tool->second.effect() : call_effect::none; // it is not made
  p.number = ++s.calls;
  p.stage = call_stage::announced;
  if (p.first == 0)
    p.first = p.number;
  next.begun.push_back({p.number, p.call.name, wire::hash(p.call.name + '\n' + p.call.arguments), p.call.arguments, effect});
}

/// Starts what may run now: read-only calls side by side, others one at a time and in order, or in order per source where the user
/// has it so. While a report awaits its ruling nothing is begun.
void mover::next_tools() {
  if (s.awaited != 0)
    return;
  auto& config = with.agent.backend;
  std::set<std::size_t> busy; // sources with a call before this one that is not read-only
  std::size_t running = 0, open = 0;
  for (auto& p : s.pending) // a call on hold keeps its place
    running += p.stage == call_stage::under_way || (p.stage == call_stage::on_hold && !is_held_result(p)) ? 1 : 0;
  auto limit = config.parallel_tool_calls ? static_cast<std::size_t>(std::max(config.max_concurrent_tools, 1)) : 1;
  auto in_turn = [&](std::size_t source) { return config.concurrent_tool_execution ? busy.count(source) == 0 : busy.empty(); };
  for (auto& p : s.pending) {
    auto tool = with.tools.find(p.call.name);
    auto read_only = tool == with.tools.end() || tool->second.read_only;
    if (p.stage == call_stage::waiting && running < limit && (read_only || in_turn(tool->second.source))) {
      begin_tool(p);
      running += p.stage == call_stage::done ? 0 : 1;
    }
    read_only = read_only || !p.refused.empty();
    if (p.stage != call_stage::done) {
      ++open;
      if (!read_only && !is_held_result(p))
        busy.insert(tool->second.source);
    }
  }
  if (!next.begun.empty())
    flush(true);
  else if (open == 0)
    tools_done();
}

void mover::send_tools() {
  s.stage = stage::tools;
  for (auto& p : s.pending)
    if (p.stage == call_stage::announced && !p.refused.empty()) {
      p.stage = call_stage::under_way;
      out.push_back(refuse_tool{p.number, p.result, p.refused});
    } else if (p.stage == call_stage::announced) {
      auto tool = with.tools.find(p.call.name);
      p.stage = tool == with.tools.end() ? call_stage::done : call_stage::under_way;
      if (p.stage == call_stage::under_way) {
        out.push_back(send_tool{p.number, s.task.run, tool->second.source, p.call, key_of(s.task, p.first)});
        continue;
      }
      p.result = {p.call.id, no_such_tool(p.call.name), true}; // gone since it was announced
      next.ended.push_back({p.number, p.call.name, to_string(ec::unavailable), {}, {}, p.result, {}});
    }
  next_tools(); // what ended meanwhile may have made way
}

/// What was announced may not begin: the model is told.
void mover::refuse_tools(const std::string& reason) {
  s.stage = stage::tools;
  for (auto& p : s.pending)
    if (p.stage == call_stage::announced)
      settle(p, "Error: not carried out: " + reason + ".");
  next_tools();
}

void mover::on(tools_changed) {
  if (s.stage == stage::listing)
    return judge_model(0);
  if (s.stage == stage::tools)
    next_tools();
}

void mover::on(tool_done x) {
  if (ended_late(x.call, x.status, nullptr, &x.result, x.trouble))
    return;
  auto p = std::find_if(s.pending.begin(), s.pending.end(),
                        [&](auto& c) { return c.stage == call_stage::under_way && c.number == x.call; });
  if (p == s.pending.end())
    return;
  p->result = std::move(x.result);
  p->result.id = p->call.id;
  p->stage = call_stage::done;
  judge_result(*p, 0);
  next.ended.push_back({x.call, p->call.name, std::move(x.status), {}, {}, p->result, std::move(x.trouble)});
  if (p->stage == call_stage::done)
    shorten_result(*p);
  s.held += p->result.text.size() + size_of(p->result.parts);
  if (auto most = with.agent.backend.max_run_bytes; s.held > static_cast<std::size_t>(most)) {
    if (!make_room())
      return no_room();
    s.held = held_bytes();
  }
  next_tools();
}

/// Every call of ours has its result: they and the reply join the conversation.
void mover::tools_done() {
  auto done = std::exchange(s.pending, {});
  auto c = std::exchange(s.reply, {});
  s.held = 0;
  std::set<std::size_t> ours;
  std::vector<std::string> carried_out;
  for (auto& p : done) {
    ours.insert(p.at);
    carried_out.push_back(p.call.name);
  }
  add_reply(c);
  for (auto& p : done) {
    shorten_result(p);
    add_result(std::move(p.result));
  }
  if (ours.size() < c.calls.size() && s.want == asked_for::verdict)
    return judge_reply(c, carried_out);
  for (std::size_t i = 0; i < c.calls.size(); ++i)
    if (ours.count(i) == 0)
      add_result({c.calls[i].id, "Error: no tool named '" + c.calls[i].name + "'.", true});
  if (s.iterations > most_rounds(with))
    return fail(ec::bad_reply, "still calling tools after " + std::to_string(most_rounds(with)) + " rounds of them");
  if (s.iterations == most_rounds(with))
    ask_user("The limit of tool calls is reached. Call no more tools; " + prompts::enforcement(s.task.may_answer, choice().ids));
  call_model();
}

} // namespace conclave::run
