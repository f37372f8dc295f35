// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_tools.hpp"

#include "protocols/events.hpp"
#include "protocols/opening.hpp"
#include "protocols/run_results.hpp"
#include "protocols/run_state.hpp"
#include "protocols/wire/json.hpp"
#include "transports/event_store.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace conclave {

namespace {

struct reading {
  event_store& store;
  const std::string& task;
  task_tools out;
  std::map<std::string, std::string> bodies;
  std::map<std::pair<std::string, std::uint64_t>, std::size_t> place; ///< of a call, by agent and number

  const std::string* body(const std::string& sha) {
    auto known = bodies.find(sha);
    if (known == bodies.end())
      for (auto& b : store.bodies(task, {sha}, out.error))
        known = bodies.emplace(b.sha, std::move(b.bytes)).first;
    return known == bodies.end() ? nullptr : &known->second;
  }

  void fail(std::uint64_t seq, const std::string& why) {
    if (out.error.empty())
      out.error = "event " + std::to_string(seq) + ": " + why;
  }

  void sources_of(const opening& o) {
    for (auto& a : o.agents) {
      auto& b = a.backend;
      for (auto& s : b.mcp_servers)
        out.sources.push_back({a.id, "mcp", s.name, 0, 0});
      for (auto& name : b.native_tools)
        out.sources.push_back({a.id, "native", name, 0, 0});
    }
  }

  /// A tool of no source that the opening names is one that the host gave to all, or our own.
  tool_source_use& source_of(const std::string& agent, const std::string& tool) {
    auto is = [&](const tool_source_use& s) {
      return s.agent == agent
             && (s.kind == "mcp" ? tool.starts_with("mcp__" + s.name + "__")
                                 : tool == (s.kind == "built_in" ? run::read_result_name : s.name));
    };
    auto i = std::find_if(out.sources.begin(), out.sources.end(), is);
    if (i != out.sources.end())
      return *i;
    auto own = tool == run::read_result_name;
    out.sources.push_back({agent, own ? "built_in" : tool.starts_with("mcp__") ? "mcp" : "native", own ? "conclave" : tool, 0, 0});
    return out.sources.back();
  }

  void take(const event& e) {
    if (e.type != event_type::call_started && e.type != event_type::call_ended)
      return;
    auto call = events::call_of(e);
    if (call.model)
      return;
    if (e.type == event_type::call_started)
      return begin(e, call);
    auto known = place.find({e.agent, call.number});
    if (known == place.end())
      return fail(e.seq, "a call ends that did not begin");
    auto& x = out.calls[known->second];
    x.status = call.status;
    x.ended_ms = e.time_ms;
    std::string why;
    auto find = [this](const std::string& sha) { return body(sha); };
    if (!e.said.empty() && !run::find_result(e.said.front(), find, x.result, why))
      fail(e.seq, why);
    if (x.status != "finished")
      ++source_of(x.agent, x.tool).failed;
  }

  void begin(const event& e, const events::call& call) {
    auto& source = source_of(e.agent, e.target);
    ++source.calls;
    tool_use x;
    x.agent = e.agent;
    x.run = e.run;
    x.call = call.number;
    x.tool = e.target;
    x.source = source.name;
    x.effect = call.effect;
    x.begun_ms = e.time_ms;
    if (auto* text = e.said.empty() ? nullptr : body(e.said.back()))
      x.arguments = *text;
    else
      fail(e.seq, "the arguments of the call are not in the store");
    place[{e.agent, call.number}] = out.calls.size();
    out.calls.push_back(std::move(x));
  }
};

} // namespace

task_tools tools_of(event_store& store, const std::string& task) {
  reading r{store, task, {}, {}, {}};
  auto log = store.read(task, 0, r.out.error);
  if (log.empty() && r.out.error.empty())
    r.out.error = "there is no task " + task;
  for (auto& stored : log) {
    event e;
    opening o;
    std::string why;
    if (!wire::from_json(stored.json, e))
      r.fail(stored.seq, "it cannot be read");
    else if (e.type != event_type::task_opened)
      r.take(e);
    else if (from_json(e.detail, o, why))
      r.sources_of(o);
    else
      r.fail(e.seq, why);
    r.bodies.clear(); // none is asked for again
  }
  return std::move(r.out);
}

} // namespace conclave
