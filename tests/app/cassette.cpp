// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A program records what its engine does, and plays it again.

#define CAF_SUITE app.cassette

#include "protocols/wire/cassette.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/opening.hpp"
#include "support/engine_fixture.hpp"
#include "transports/cassette_player.hpp"
#include "transports/event_store.hpp"
#include "transports/outside.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace conclave;
using namespace conclave::test;

namespace {

std::string contents(const std::string& path) {
  std::ifstream in{path};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> log_of(engine& eng, const std::string& task) {
  std::string error;
  std::vector<std::string> out;
  for (auto& e : eng.store().read(task, 0, error))
    out.push_back(e.json);
  CAF_CHECK_EQUAL(error, "");
  return out;
}

native_tool counter(std::atomic<int>& calls) {
  native_tool t;
  t.spec.name = "count";
  t.run = [&calls](const std::string& arguments) {
    ++calls;
    if (arguments.find("fail") != std::string::npos)
      throw std::runtime_error("not today");
    return "call " + std::to_string(calls) + std::string("\x01\xFF", 2);
  };
  return t;
}

run_config calling_team() {
  auto out = team();
  for (auto& a : out.agents) {
    script_step s;
    s.calls = {{"", "count", "{}"}, {"", "count", "{\"how\":\"fail\"}"}};
    s.first_delay_ms = 20;
    a.backend.script.insert(a.backend.script.begin(), s);
  }
  return out;
}

run_config team_of(const wire::tape_head& head) {
  opening o;
  std::string error;
  CAF_CHECK(from_json(head.opening, o, error));
  run_config out;
  out.agents = o.agents;
  out.rules = o.rules;
  return out;
}

} // namespace

CAF_TEST(a run with native tools is played again without a call) {
  folder recorded, played;
  std::atomic<int> calls = 0;
  auto path = recorded.path + "/run.cassette";
  std::vector<std::string> log;
  {
    auto o = recorded.options();
    o.record_path = path;
    o.tools = {counter(calls)};
    engine eng{o};
    CAF_REQUIRE_EQUAL(eng.error(), "");
    auto out = eng.ask(calling_team(), {"q", {{true, "before"}}});
    CAF_CHECK_EQUAL(out.answer, "final");
    CAF_CHECK_EQUAL(out.warnings.size(), 0u);
    log = log_of(eng, out.task);
    CAF_CHECK_EQUAL(eng.ask(team(), {"another", {}}).code, ec::bad_request); // a cassette holds one task
  }
  auto made = calls.load();
  CAF_CHECK_EQUAL(made, 4);
  for (auto speed : {0.0, 1.0, 4.0}) {
    wire::cassette tape;
    CAF_REQUIRE_EQUAL(wire::read_cassette(contents(path), tape), "");
    auto config = team_of(tape.head);
    auto o = played.options();
    o.store_path = played.path + "/" + std::to_string(speed) + ".db";
    o.tools = {counter(calls)};
    o.play = std::make_shared<cassette_player>(tape, speed, outside::of_machine());
    auto player = o.play;
    {
      engine eng{o};
      auto out = eng.ask(config, {tape.head.question, {{true, "before"}}});
      CAF_CHECK_EQUAL(out.answer, "final");
      CAF_CHECK(log_of(eng, out.task) == log);
    }
    CAF_CHECK_EQUAL(player->failure(), "");
  }
  CAF_CHECK_EQUAL(calls.load(), made);
}

CAF_TEST(a host that ends a recorded task is part of it) {
  folder f;
  auto path = f.path + "/run.cassette";
  std::vector<std::string> log;
  {
    auto o = f.options();
    o.record_path = path;
    engine eng{o};
    ending end;
    signal first;
    auto task = eng.start(endless(), {"q", {}}, on_first_chunk(first), end.done());
    CAF_REQUIRE(first.came());
    eng.cancel(task, "enough");
    CAF_REQUIRE(end.came());
    CAF_CHECK(end.future.get().kind == outcome_kind::interrupted);
    log = log_of(eng, task);
  }
  wire::cassette tape;
  CAF_REQUIRE_EQUAL(wire::read_cassette(contents(path), tape), "");
  auto o = f.options();
  o.store_path = f.path + "/again.db";
  auto player = o.play = std::make_shared<cassette_player>(tape, 0, outside::of_machine());
  {
    engine eng{o};
    auto out = eng.ask(team_of(tape.head), {"q", {}});
    CAF_CHECK(log_of(eng, out.task) == log);
  }
  CAF_CHECK_EQUAL(player->failure(), "");
}

CAF_TEST(another team than the recorded one is noticed and ends) {
  folder f;
  auto path = f.path + "/run.cassette";
  {
    auto o = f.options();
    o.record_path = path;
    engine eng{o};
    eng.ask(team(), {"q", {}});
  }
  wire::cassette tape;
  CAF_REQUIRE_EQUAL(wire::read_cassette(contents(path), tape), "");
  auto o = f.options();
  o.store_path = f.path + "/again.db";
  auto player = o.play = std::make_shared<cassette_player>(tape, 0, outside::of_machine());
  {
    engine eng{o};
    auto other = team_of(tape.head);
    other.agents.pop_back();
    auto out = eng.ask(other, {"q", {}});
    CAF_CHECK(out.kind != outcome_kind::answered);
  }
  CAF_CHECK(player->failure().find("line 2: this build asks differently") != std::string::npos);
}

CAF_TEST(an engine that is ended before its task leaves no file) {
  folder f;
  auto path = f.path + "/run.cassette";
  ending end;
  {
    auto o = f.options();
    o.record_path = path;
    engine eng{o};
    CAF_CHECK(std::filesystem::exists(path + ".partial"));
    auto second = o;
    CAF_CHECK(engine{second}.error().find("another run is recording") != std::string::npos);
  }
  CAF_CHECK(!std::filesystem::exists(path + ".partial"));
  CAF_CHECK(!std::filesystem::exists(path));
  auto nowhere = f.options();
  nowhere.record_path = f.path + "/none/run.cassette";
  CAF_CHECK(!engine{nowhere}.error().empty());
}
