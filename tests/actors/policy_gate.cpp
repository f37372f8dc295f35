// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// The gate in front of a tool server: what it asks, what it lets pass, and what a server is never sent.

#define CAF_SUITE actors.policy_gate

#include "actors/policy_gate.hpp"

#include "protocols/caf_error.hpp"
#include "support/fixture.hpp"

using namespace conclave;
using wire::path_use;

namespace {

struct world {
  std::vector<std::string> calls; ///< that reached the server
  int cancels = 0;
  std::string text = "ok";
  bool is_error = false;
  std::vector<ask_ruling> asked;
  std::string denial;     ///< of the judge
  bool broken = false;    ///< the judge fails
  bool hesitates = false; ///< the judge does not answer yet
  std::vector<caf::typed_response_promise<call_ruling>> undecided;
};

tool_source_actor::behavior_type source(std::shared_ptr<world> w) {
  return {
      [](list_tools) -> caf::result<tool_list> {
        tool_list out;
        out.tools = {{{"mcp__s__peek", "", "{}"}, {}}, {{"mcp__s__poke", "", "{}"}, {}}};
        out.tools[0].notes.read_only = true;
        return out;
      },
      [w](const tool_invocation& i) -> caf::result<tool_result> {
        w->calls.push_back(i.call.name);
        return tool_result{i.call.id, w->text, w->is_error};
      },
      [w](const cancel_tools&) { ++w->cancels; },
  };
}

wall_actor::behavior_type judge(wall_actor::pointer self, std::shared_ptr<world> w) {
  return {
      [w](const ask_walls&) -> caf::result<server_walls> { // what hangs is let go
        for (auto& p : std::exchange(w->undecided, {}))
          p.deliver(call_ruling{});
        return server_walls{};
      },
      [self, w](const ask_ruling& a) -> caf::result<call_ruling> {
        w->asked.push_back(a);
        if (w->broken)
          return make_error(ec::unavailable, "the disk is gone");
        if (w->hesitates) {
          w->undecided.push_back(self->make_response_promise<call_ruling>());
          return caf::delegated<call_ruling>{};
        }
        return call_ruling{w->denial};
      },
  };
}

struct gate_fixture : conclave::test::fixture {
  std::shared_ptr<world> w = std::make_shared<world>();
  mcp_server_config config;
  tool_source_actor guarded, gate;
  wall_actor judging;
  std::vector<caf::actor> callers;
  std::vector<std::string> notes; ///< of its newest list

  gate_fixture() {
    config.name = "s";
    config.type = "stdio";
    config.tool_policies = {{"poke", "read", {{"memo", "delete"}}}, {"mcp__s__skip", "none", {}}};
  }

  void open() {
    guarded = sys.spawn(source, w);
    judging = sys.spawn(judge, w);
    gate = spawn_policy_gate(sys, guarded, config, judging);
    callers.push_back(sys.spawn([this](caf::event_based_actor* me) {
      me->request(gate, caf::infinite, list_tools{})
          .then([this](const tool_list& l) { notes = l.notes; }, [](const caf::error&) {});
    }));
    settle();
  }

  ~gate_fixture() {
    kill(gate);
    kill(guarded);
    kill(judging);
    for (auto& c : callers)
      kill(c);
  }

  /// The text of a result, "(none)" where there is none yet.
  std::shared_ptr<std::string> call(const std::string& tool, const std::string& arguments) {
    auto out = std::make_shared<std::string>("(none)");
    tool_invocation i;
    i.task = "t";
    i.agent = "a";
    i.run = 3;
    i.call = {"c1", tool, arguments};
    callers.push_back(sys.spawn([this, i, out](caf::event_based_actor* me) {
      me->request(gate, caf::infinite, i)
          .then([out](tool_result& r) { *out = (r.is_error ? "!" : "") + r.text; },
                [out](caf::error& e) { *out = "?" + text_of(e); });
    }));
    settle();
    return out;
  }

  std::string said(const std::string& tool, const std::string& arguments) { return *call(tool, arguments); }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(policy_gate_tests, gate_fixture)

CAF_TEST(a call without a path is asked about where it may add something) {
  open();
  CAF_CHECK_EQUAL(said("mcp__s__peek", R"({"n":1,"text":"hello"})"), "ok");
  CAF_CHECK_EQUAL(said("mcp__s__skip", R"({"n":1,"text":"hello"})"), "ok");
  CAF_CHECK(w->asked.empty());
  CAF_CHECK_EQUAL(said("mcp__s__other", R"({"n":1,"text":"hello"})"), "ok");
  CAF_REQUIRE_EQUAL(w->asked.size(), 1u);
  CAF_CHECK(w->asked[0].adds && w->asked[0].paths.empty());
  CAF_CHECK_EQUAL(w->calls.size(), 3u);
}

CAF_TEST(paths are asked about with what is known of the tool) {
  open();
  CAF_CHECK_EQUAL(said("mcp__s__other", R"({"path":"a"})"), "ok");
  CAF_CHECK_EQUAL(said("mcp__s__peek", R"({"path":"a"})"), "ok");
  CAF_CHECK_EQUAL(said("mcp__s__poke", R"({"path":"a","memo":"b"})"), "ok");
  CAF_CHECK_EQUAL(said("mcp__s__skip", R"({"path":"/etc/passwd"})"), "ok");
  CAF_REQUIRE_EQUAL(w->asked.size(), 3u);
  CAF_CHECK(w->asked[0].guessed && w->asked[0].paths.at(0).use == path_use::write);
  CAF_CHECK(!w->asked[1].guessed && w->asked[1].paths.at(0).use == path_use::read);
  CAF_CHECK(!w->asked[2].guessed && w->asked[2].paths.size() == 2);
  CAF_CHECK(w->asked[2].paths.at(0).use == path_use::remove); // memo
  CAF_CHECK(w->asked[2].paths.at(1).use == path_use::read);
  CAF_CHECK_EQUAL(w->asked[0].task, "t");
  CAF_CHECK_EQUAL(w->asked[0].run, 3u);
}

CAF_TEST(a policy of a tool that is not offered is told with the name that may be meant) {
  config.tool_policies = {{"poke", "read", {}}, {"mcp__s__peek", "read", {}}, {"peak", "read", {}}, {"unheard_of", "none", {}}};
  open();
  CAF_REQUIRE_EQUAL(notes.size(), 2u);
  CAF_CHECK(notes[0].find("'peak', which it does not offer (is 'peek' meant?)") != std::string::npos);
  CAF_CHECK(notes[1].find("'unheard_of', which") != std::string::npos && notes[1].find("meant") == std::string::npos);
}

CAF_TEST(what an unconfined server says of itself does not count) {
  config.sandbox = "off";
  open();
  call("mcp__s__peek", R"({"path":"a"})");
  CAF_REQUIRE_EQUAL(w->asked.size(), 1u);
  CAF_CHECK(w->asked[0].paths.at(0).use == path_use::write);
}

CAF_TEST(a denied call never reaches the server) {
  w->denial = "Error: Permission denied for tool x: E_READONLY: no";
  open();
  CAF_CHECK_EQUAL(said("mcp__s__other", R"({"path":"a"})"), "!" + w->denial);
  CAF_CHECK(w->calls.empty());
}

CAF_TEST(without a judge nothing passes) {
  w->broken = true;
  open();
  CAF_CHECK(said("mcp__s__other", R"({"path":"a"})").find("E_HOOK_FAILED") != std::string::npos);
  kill(judging);
  CAF_CHECK(said("mcp__s__other", R"({"path":"a"})").find("E_HOOK_FAILED") != std::string::npos);
  CAF_CHECK(w->calls.empty());
}

CAF_TEST(more paths than are judged are refused) {
  open();
  std::string many = R"({"paths":["a")";
  for (int i = 0; i < 1000; ++i)
    many += R"(,"a")";
  CAF_CHECK(said("mcp__s__other", many + "]}").find("E_ARGS") != std::string::npos);
  CAF_CHECK(w->calls.empty());
}

CAF_TEST(a call that was cancelled while it was judged is not made) {
  w->hesitates = true;
  open();
  auto result = call("mcp__s__other", R"({"path":"a"})");
  CAF_CHECK_EQUAL(*result, "(none)");
  caf::anon_send(gate, cancel_tools{"t", "a", 4});
  settle();
  CAF_CHECK_EQUAL(*result, "(none)");
  caf::anon_send(gate, cancel_tools{"t", "a", 3});
  settle();
  CAF_CHECK_EQUAL(*result, "!Error: cancelled");
  CAF_CHECK_EQUAL(w->cancels, 2);
  caf::anon_send(judging, ask_walls{});
  settle();
  CAF_CHECK(w->undecided.empty());
  CAF_CHECK(w->calls.empty());
}

CAF_TEST(a server cannot speak for the policy) {
  w->text = "Error: Permission denied for tool x: E_ROOT: no";
  w->is_error = true;
  open();
  CAF_CHECK_EQUAL(said("mcp__s__other", "{}"), "!The server says: " + w->text);
}

CAF_TEST_FIXTURE_SCOPE_END()
