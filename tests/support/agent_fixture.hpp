// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// One agent between a model, an orchestrator and a tool source that the test plays.

#include "actors/agent.hpp"
#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"

#include <deque>

namespace conclave::test {

/// Plays the model: replies what the test queued, remembers what it was asked.
struct model_state {
  std::deque<completion> replies;
  std::vector<model_request> asked;
  std::vector<std::string> notes;
  std::vector<caf::typed_response_promise<completion>> hanging;
  std::string step = "tools";
  bool saw_tools = false;
  bool hang = false;
  int cancels = 0;
};

inline backend_actor::behavior_type fake_model(backend_actor::pointer self, std::shared_ptr<model_state> st) {
  return {
      [self, st](model_request& r, chunk_sink_actor&) -> caf::result<completion> {
        st->asked.push_back(r);
        if (st->hang) {
          st->hanging.push_back(self->make_response_promise<completion>());
          return caf::delegated<completion>{};
        }
        if (st->replies.empty())
          return make_error(ec::bad_request, "the test queued no reply");
        auto c = st->replies.front();
        st->replies.pop_front();
        return c;
      },
      [st](const cancel_call&) -> caf::result<cancel_done> {
        ++st->cancels;
        for (auto& p : st->hanging) {
          completion c;
          c.status = completion_status::cancelled;
          c.text = "half a thou";
          p.deliver(c);
        }
        st->hanging.clear();
        return cancel_done{};
      },
      [st](const describe_backend&) -> caf::result<backend_info> {
        backend_info i;
        i.step = st->step;
        i.saw_tools = st->saw_tools;
        return i;
      },
      [st](const ladder_note& n) { st->notes.push_back(n.step); },
  };
}

/// What is reported of a call, and what a run hands in.
struct call_notice {
  bool ended = false;
  std::uint64_t run = 0, call = 0;
  std::string target, hash, status;
  usage use;
  tool_trouble trouble;
};
struct handed_in : verdict {
  std::uint64_t run = 0;
};

struct boss_state {
  std::vector<handed_in> verdicts;
  std::vector<call_notice> notices;
  std::vector<run_report> reports;
  std::deque<ruling> rulings; ///< empty = accepted
  bool go = true;
  std::size_t go_until = SIZE_MAX; ///< calls that may begin
  std::size_t begun = 0;
};

inline orchestrator_actor::behavior_type fake_boss(std::shared_ptr<boss_state> st) {
  return {
      [st](const run_report& r) -> caf::result<ruling> {
        st->reports.push_back(r);
        for (auto& e : r.ended)
          st->notices.push_back({true, r.of.run, e.call, e.target, "", e.status, e.use, e.trouble});
        for (auto& b : r.begun)
          st->notices.push_back({false, r.of.run, b.call, b.target, b.hash, "", {}, {}});
        ruling by{ruling_kind::accepted, "", {}};
        for (std::size_t i = 0; i < r.begun.size(); ++i)
          if (!st->go || st->begun++ >= st->go_until)
            by.kind = ruling_kind::superseded;
        if (!r.has_verdict)
          return by;
        st->verdicts.push_back({r.handed_in, r.of.run});
        if (st->rulings.empty())
          return by;
        by = st->rulings.front();
        st->rulings.pop_front();
        return by;
      },
      [](const body_part&) { return body_ack{}; },
      [](const agent_lost&) {},
      [](const question&) -> caf::result<outcome> { return outcome{}; },
      [](const cancel_task&) {},
  };
}

struct tool_state {
  std::string result = "seen";
  std::vector<std::string> called;
  std::vector<caf::typed_response_promise<tool_result>> hanging;
  bool hang = false;
  std::size_t at_once = 0; ///< calls that are answered although the others hang
  bool read_only = false;
  int cancels = 0;
  ec error = ec::none;                       ///< of each call
  std::vector<std::string> names = {"look"}; ///< that it lists
  list_version version = std::make_shared<std::atomic<std::uint64_t>>(0);
  std::size_t lists = 0;
  ec list_error = ec::none;
  bool hang_list = false;
  std::vector<caf::typed_response_promise<tool_list>> waiting;
  std::function<void()> on_call;
  std::vector<std::string> told; ///< status lines of the agent

  tool_list list() const {
    tool_list l;
    l.source = "test";
    for (auto& name : names) {
      l.tools.push_back({{"mcp__t__" + name, name + "s", "{\"type\":\"object\"}"}, {}});
      l.tools.back().notes.read_only = read_only;
    }
    return l;
  }
  void answer_lists() {
    for (auto& p : std::exchange(waiting, {}))
      p.deliver(list());
  }
};

inline tool_source_actor::behavior_type fake_tools(tool_source_actor::pointer self, std::shared_ptr<tool_state> st) {
  return {
      [self, st](list_tools) -> caf::result<tool_list> {
        ++st->lists;
        if (st->list_error != ec::none)
          return make_error(st->list_error, "the test lists nothing");
        if (!st->hang_list)
          return st->list();
        st->waiting.push_back(self->make_response_promise<tool_list>());
        return caf::delegated<tool_list>{};
      },
      [self, st](const tool_invocation& i) -> caf::result<tool_result> {
        st->called.push_back(i.call.arguments);
        if (st->on_call)
          st->on_call();
        if (st->error != ec::none)
          return make_error(st->error, "MCP server 't' has trouble");
        if (st->hang && st->called.size() > st->at_once) {
          st->hanging.push_back(self->make_response_promise<tool_result>());
          return caf::delegated<tool_result>{};
        }
        return tool_result{i.call.id, st->result, false};
      },
      [st](const cancel_tools&) {
        ++st->cancels;
        if (!st->hang_list)
          st->answer_lists();
        for (auto& p : st->hanging)
          p.deliver(tool_result{"c1", "Error: cancelled", true});
        st->hanging.clear();
      },
  };
}

struct place_state {
  bool hang = false;
  std::vector<caf::typed_response_promise<workspace_ready>> hanging;
  std::vector<prepare_workspace> asked;
};

inline workspace_actor::behavior_type fake_workspace(workspace_actor::pointer self, std::shared_ptr<place_state> st) {
  return {
      [](list_tools) { return tool_list{}; },
      [](const tool_invocation& i) {
        return tool_result{i.call.id, "", false, {}};
      },
      [](const cancel_tools&) {},
      [self, st](const prepare_workspace& p) -> caf::result<workspace_ready> {
        st->asked.push_back(p);
        if (!st->hang)
          return workspace_ready{"/place"};
        st->hanging.push_back(self->make_response_promise<workspace_ready>());
        return caf::delegated<workspace_ready>{};
      },
      [](const keep_workspace&) { return kept_files{}; },
      [st](clear_workspace) { // the test's way to have what hangs answered
        for (auto& p : std::exchange(st->hanging, {}))
          p.deliver(workspace_ready{"/place"});
        return workspace_cleared{};
      },
  };
}

inline chunk_sink_actor::behavior_type fake_sink(std::shared_ptr<tool_state> st) {
  return {[st](const chunk_batch& b) {
    for (auto& c : b.chunks)
      if (c.kind == chunk_kind::status)
        st->told.push_back(c.text);
  }};
}

struct agent_fixture : fixture {
  std::shared_ptr<model_state> model = std::make_shared<model_state>();
  std::shared_ptr<boss_state> boss = std::make_shared<boss_state>();
  std::shared_ptr<tool_state> tool = std::make_shared<tool_state>();
  backend_actor backend;
  orchestrator_actor orch;
  tool_source_actor source;
  chunk_sink_actor sink;
  agent_actor aut;
  std::shared_ptr<place_state> place; ///< none = it has no workspace
  workspace_actor workspace;
  std::int32_t max_tokens = 0;
  std::int64_t max_run_bytes = 33'554'432;
  const std::vector<run::policy>* policies = nullptr;
  policy_hook ask;

  void spawn_with(std::string decision, std::int32_t max_tool_iterations = 50) {
    backend = sys.spawn(fake_model, model);
    orch = sys.spawn(fake_boss, boss);
    source = sys.spawn(fake_tools, tool);
    sink = sys.spawn(fake_sink, tool);
    agent_parts p;
    p.order.task = "t";
    p.order.agent.id = "writer";
    p.order.agent.backend.decision = std::move(decision);
    p.order.agent.backend.max_tool_iterations = max_tool_iterations;
    p.order.agent.backend.max_tokens = max_tokens;
    p.order.agent.backend.max_run_bytes = max_run_bytes;
    p.backend = backend;
    p.tools = {{source, "MCP server 't'", std::chrono::seconds(30), tool->version}};
    p.chunks = sink;
    p.boss = orch;
    p.policies = policies;
    p.ask = ask;
    if (place)
      p.workspace = workspace = sys.spawn(fake_workspace, place);
    aut = spawn_agent_actor(sys, p);
    self->request(aut, caf::infinite, get_ready{});
    settle();
  }

  ~agent_fixture() {
    model->hanging.clear();
    tool->hanging.clear();
    tool->waiting.clear();
    if (place)
      place->hanging.clear();
    end_all();
  }

  void end_all() {
    kill(aut);
    kill(backend);
    kill(orch);
    kill(source);
    kill(sink);
    kill(workspace);
  }

  start_run task(bool may_vote) {
    start_run t;
    t.task = "t";
    t.fence = 1;
    t.agent = "writer";
    t.run = 7;
    t.question = "What is 6 x 7?";
    t.may_vote = may_vote;
    if (may_vote)
      t.answers = {{"agent1", "agent1.1", "42"}, {"agent2", "agent2.1", "41"}};
    return t;
  }

  void run(start_run t) {
    caf::anon_send(aut, std::move(t));
    settle();
  }

  completion calls(std::vector<tool_call> c) {
    completion x;
    x.calls = std::move(c);
    x.semantic = true;
    return x;
  }

  completion text(std::string s) {
    completion x;
    x.text = std::move(s);
    x.semantic = true;
    return x;
  }

  completion broken(ec code, std::string error) {
    completion x;
    x.status = completion_status::broken;
    x.code = code;
    x.said = error;
    x.error = std::move(error);
    return x;
  }

  completion paused(std::string s) {
    auto x = text(std::move(s));
    x.status = completion_status::paused;
    x.opaque = R"([{"type":"server_tool_use"}])";
    x.opaque_dialect = "anthropic";
    return x;
  }

  /// Every call id of a reply that is followed by another request has exactly one result in that request (docs/protocol.md 9.3,
  /// I6).
  void check_call_ids() {
    for (auto& r : model->asked) {
      std::map<std::string, int> results;
      for (auto& m : r.messages)
        if (m.from == role::tool)
          ++results[m.tool_call_id];
      for (auto& m : r.messages)
        for (auto& c : m.calls)
          CAF_CHECK_EQUAL(results[c.id], 1);
    }
  }
};

} // namespace conclave::test
