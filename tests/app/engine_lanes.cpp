// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A host that blocks in a callback keeps nothing waiting but its own callbacks.

#define CAF_SUITE app.engine_lanes

#include "app/engine.hpp"
#include "caf/test/unit_test.hpp"
#include "support/verified_store.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

using namespace conclave;
namespace fs = std::filesystem;

namespace {

std::string contents(const fs::path& p) {
  std::ifstream in{p};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

} // namespace

CAF_TEST(the log files are complete although the host still blocks in its first event) {
  auto name = (fs::temp_directory_path() / "conclave-lanes-XXXXXX").string();
  fs::path folder = ::mkdtemp(name.data());
  ::setenv("CONCLAVE_HOME", (folder / "home").c_str(), 1);
  {
    engine_options o;
    o.store_path = folder / "tasks.db";
    o.log_root = folder / "logs";
    engine eng{o};
    CAF_REQUIRE_EQUAL(eng.error(), "");
    run_config team;
    agent_config a;
    a.id = "a";
    a.backend.type = "scripted";
    a.backend.script.resize(3);
    a.backend.script[0].calls = {{"", "new_answer", "{\"content\":\"x\"}"}};
    a.backend.script[1].calls = {{"", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"fine\"}"}};
    a.backend.script[2].text = "final";
    team.agents = {a};
    std::promise<void> go;
    std::promise<outcome> done;
    auto blocked = go.get_future().share();
    listener l;
    std::size_t events = 0, seen = 0;
    l.on_event = [&](const event&) {
      blocked.wait();
      ++events;
    };
    auto id = eng.start(team, {"q", {}}, l, [&](outcome out) {
      seen = events;
      done.set_value(std::move(out));
    });
    auto log = folder / "logs" / id;
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (contents(log / "status.json").find("\"is_complete\": true") == std::string::npos
           && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto text = contents(log / "events.jsonl");
    CAF_CHECK(text.find("\"task_ended\"") != std::string::npos);
    CAF_CHECK(contents(log / "status.json").find("\"is_complete\": true") != std::string::npos);
    auto future = done.get_future();
    CAF_CHECK(future.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
    go.set_value();
    auto out = future.get();
    CAF_CHECK_EQUAL(out.answer, "final");
    CAF_CHECK_EQUAL(out.warnings.size(), 0u);
    CAF_CHECK_EQUAL(seen, static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'))); // after the last event, as ever
  }
  std::error_code ignored;
  test::verify_store(folder / "tasks.db");
  fs::remove_all(folder, ignored);
}
