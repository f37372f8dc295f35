// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/agent_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/tool_waits.hpp"
#include "protocols/wire/json.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <set>

namespace conclave {

namespace {

constexpr std::size_t max_parallel = 8;
constexpr auto boss_limit = std::chrono::seconds(60);
/// What a model is given of a tool's result at most; the source has its own, higher bound.
constexpr std::size_t max_result_bytes = std::size_t{256} * 1024;

/// The same calls with the same arguments so often in a row are a loop.
constexpr std::uint32_t max_repeats = 3;

/// Whether a call failed because of its source, which a person should know. A breaker that is open was preceded by what opened it.
bool is_lost(ec code) {
  return code == ec::unavailable || code == ec::bad_reply || code == ec::bad_config || code == ec::version_mismatch;
}

} // namespace

bool agent_state::calls_known_tool(const completion& c) const {
  return std::any_of(c.calls.begin(), c.calls.end(), [this](const tool_call& call) { return tools.count(call.name) > 0; });
}

std::vector<std::string> agent_state::known_tools() const {
  std::vector<std::string> out;
  for (auto& [tool, spec] : tools)
    out.push_back(tool);
  return out;
}

std::vector<std::string> agent_state::callable_names() const {
  auto out = known_tools();
  out.insert(out.end(), {"new_answer", "vote"}); // one that is not possible now gets an answer that says so
  return out;
}

/// Carries out the calls of ours in a reply; calls of others (a verdict beside them) are judged afterwards.
bool agent_state::run_tools(const completion& c) {
  if (!calls_known_tool(c))
    return false;
  round = {};
  round.reply = c;
  for (auto& call : c.calls)
    if (tools.count(call.name) > 0)
      round.calls.push_back(call);
  round.results.resize(round.calls.size());
  round.stage.assign(round.calls.size(), 0);
  ++iterations;
  vain = 0; // a reply to go on from
  round.held = held_bytes();
  wait = waiting::tools;
  std::string asked;
  for (auto& call : round.calls)
    asked += call.name + '\n' + call.arguments + '\n';
  asked = wire::hash(asked);
  repeats = asked == last_asked ? repeats + 1 : 1;
  last_asked = std::move(asked);
  if (iterations > static_cast<std::uint32_t>(parts.order.agent.backend.max_tool_iterations))
    refuse_tools("the limit of tool calls is reached");
  else if (repeats >= max_repeats)
    refuse_tools("the same call was just made " + std::to_string(max_repeats - 1)
                 + " times, its result is above; go on from there");
  else
    next_tools();
  return true;
}

/// Every call gets its one result, none is carried out.
void agent_state::refuse_tools(const std::string& why) {
  for (std::size_t i = 0; i < round.calls.size(); ++i)
    round.results[i] = {round.calls[i].id, "Error: not carried out: " + why + ".", true};
  tools_done();
}

/// Starts what may run now: read-only calls side by side, others one at a time per source, in order.
void agent_state::next_tools() {
  auto& config = parts.order.agent.backend;
  auto running = static_cast<std::size_t>(std::count(round.stage.begin(), round.stage.end(), 1));
  std::set<std::size_t> busy; // sources with a call before this one that is not read-only
  auto limit = config.parallel_tool_calls ? max_parallel : 1;
  for (std::size_t i = 0; i < round.calls.size(); ++i) {
    auto& tool = tools.at(round.calls[i].name);
    if (round.stage[i] == 0 && running < limit && (tool.read_only || busy.count(tool.source) == 0)) {
      round.stage[i] = 1;
      ++running;
      send_tool(i);
    }
    if (round.stage[i] != 2 && !tool.read_only)
      busy.insert(tool.source);
  }
}

void agent_state::send_tool(std::size_t i) {
  auto& call = round.calls[i];
  auto n = notice(++calls, call.name);
  auto ended = n;
  n.hash = wire::hash(call.name + '\n' + call.arguments);
  self->request(parts.boss, boss_limit, std::move(n))
      .then(
          [this, now = turn, i, ended](const noted& r) {
            if (now != turn)
              return;
            if (!r.go)
              return over();
            auto& config = parts.order.agent.backend;
            auto& asked = round.calls[i];
            tool_invocation msg{task.task, task.agent, task.run, asked, config.tool_timeout_ms};
            auto& from = parts.tools[tools.at(asked.name).source];
            auto limit = tool_waits::agent_call(from.start_limit, std::chrono::milliseconds(config.tool_timeout_ms));
            self->request(from.actor, limit, std::move(msg))
                .then(
                    [this, now, i, ended](tool_result& result) {
                      std::string status = result.is_error ? "error" : "finished";
                      tool_ended(ended, status);
                      if (now == turn)
                        tool_done(i, std::move(result));
                    },
                    [this, now, i, ended, source = from.name](const caf::error& e) mutable {
                      if (is_lost(code_of(e)))
                        ended.trouble = {source, text_of(e)};
                      tool_ended(std::move(ended), to_string(code_of(e)));
                      if (now == turn)
                        tool_done(i, {round.calls[i].id, "Error: " + text_of(e), true});
                    });
          },
          [this, now = turn](const caf::error&) {
            if (now == turn)
              over();
          });
}

/// Whatever became of the run meanwhile: a call that was recorded as begun has an end.
void agent_state::tool_ended(call_notice n, std::string status) {
  n.ended = true;
  n.status = std::move(status);
  if (parts.watcher)
    parts.watcher->call_ended(n);
  self->request(parts.boss, boss_limit, std::move(n)).then([](const noted&) {}, [](const caf::error&) {});
}

void agent_state::tool_done(std::size_t i, tool_result r) {
  r.id = round.calls[i].id;
  prompts::cut(r.text, max_result_bytes);
  if (r.text.empty())
    r.text = "(no output)";
  round.held += r.text.size();
  round.results[i] = std::move(r);
  round.stage[i] = 2;
  if (auto most = parts.order.agent.backend.max_run_bytes; round.held > static_cast<std::size_t>(most)) {
    if (!make_room())
      return fail(ec::context_overflow, too_long(held_bytes(), most));
    round.held = held_bytes();
  }
  if (std::all_of(round.stage.begin(), round.stage.end(), [](std::uint8_t s) { return s == 2; }))
    tools_done();
  else
    next_tools();
}

void agent_state::tools_done() {
  auto done = std::move(round);
  round = {};
  wait = waiting::nothing;
  add_reply(done.reply);
  for (auto& r : done.results)
    add_result(std::move(r));
  auto& c = done.reply;
  auto& config = parts.order.agent.backend;
  auto others = c.calls.size() - done.calls.size();
  if (others > 0 && want == asked_for::verdict) {
    auto judged = wire::judge(c, choice(), known_tools());
    for (auto& r : judged.ignored)
      add_result(std::move(r));
    if (judged.ok) {
      std::string id;
      for (auto& call : c.calls)
        if (id.empty() && wire::is_workflow_tool(call.name))
          id = call.id;
      judged.handed_in.step = "tools";
      return hand_in(std::move(judged.handed_in), id);
    }
    return correct(std::move(judged.results), std::move(judged.correction));
  }
  for (auto& call : c.calls)
    if (tools.count(call.name) == 0)
      add_result({call.id, "Error: no tool named '" + call.name + "'.", true});
  if (iterations > static_cast<std::uint32_t>(config.max_tool_iterations))
    return fail(ec::bad_reply, "still calling tools after " + std::to_string(config.max_tool_iterations) + " rounds of them");
  if (iterations == static_cast<std::uint32_t>(config.max_tool_iterations))
    talk.push_back(
        {role::user,
         "The limit of tool calls is reached. Call no more tools; " + prompts::enforcement(task.may_answer, choice().ids),
         "",
         {},
         "",
         false,
         "",
         ""});
  call_model();
}

} // namespace conclave
