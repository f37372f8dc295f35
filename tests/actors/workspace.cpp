// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.workspace

// What goes with an answer, and what has to have ended before that.

#include "protocols/caf_error.hpp"
#include "support/workspace_fixture.hpp"

using namespace conclave;

namespace {

constexpr std::size_t max_held = std::size_t{2} << 20; ///< bytes of the output of all jobs of a run

} // namespace

CAF_TEST_FIXTURE_SCOPE(workspace_tests, test::workspace_fixture)

CAF_TEST(no snapshot is taken before the last job has ended) {
  start();
  job("serve");
  job("watch");
  CAF_REQUIRE_EQUAL(launchers.size(), 1u);
  auto& box = *launchers[0];
  write("a", 1);
  keep();
  CAF_CHECK((box.ids_of("kill") == std::vector<std::int64_t>{1, 2}));
  CAF_CHECK(kept.empty() && !box.closed);
  box.ends(2, "killed", 137);
  settle_disk();
  CAF_CHECK(kept.empty()); // the other still may write
  write("b", 2);
  box.ends(1, "killed", 137);
  settle_disk();
  CAF_REQUIRE_EQUAL(kept.size(), 1u);
  CAF_CHECK_EQUAL(kept[0].why, "");
  CAF_CHECK_EQUAL(kept[0].files, 2);
  CAF_CHECK_EQUAL(kept[0].bytes, 3);
  CAF_CHECK(box.closed);
}

CAF_TEST(a job whose launcher dies holds no snapshot up) {
  start();
  job("serve");
  write("a", 1);
  keep();
  CAF_CHECK(kept.empty());
  launchers[0]->dies();
  settle_disk();
  CAF_REQUIRE_EQUAL(kept.size(), 1u);
  CAF_CHECK_EQUAL(kept[0].files, 1);
}

CAF_TEST(a cancel while the last job ends is an answer without files) {
  start();
  job("serve");
  keep();
  caf::anon_send(aut, cancel_tools{run.task, "a", run.run});
  settle_disk();
  CAF_REQUIRE_EQUAL(kept.size(), 1u);
  CAF_CHECK_EQUAL(kept[0].why, "cancelled");
  CAF_CHECK(kept[0].snapshot.empty());
  launchers[0]->ends(1, "killed", 137); // too late to matter
  settle_disk();
  CAF_CHECK_EQUAL(kept.size(), 1u);
}

CAF_TEST(a run begins when the commands of the one before have ended) {
  start();
  command("write on");
  job("write on");
  write("a", 1);
  caf::anon_send(aut, cancel_tools{run.task, "a", run.run});
  ++run.run;
  ask_to_prepare();
  CAF_CHECK(launchers.at(0)->closed && !ready);
  CAF_CHECK(std::filesystem::exists(path("a"))); // what they write goes into no other run's workspace
  launchers[0]->ends(1, "killed", 137);
  settle_disk();
  CAF_CHECK(!ready);
  launchers[0]->ends(2, "killed", 137);
  settle_disk();
  CAF_CHECK(ready && !std::filesystem::exists(path("a")));
}

CAF_TEST(folders go when the commands in them have ended) {
  start();
  command("write on");
  auto cleared = false;
  ask<workspace_cleared>(clear_workspace{}, [&cleared](workspace_cleared& c) { cleared = c.fault.empty(); });
  CAF_CHECK(!cleared && std::filesystem::exists(parts.place));
  launchers.at(0)->dies();
  settle_disk();
  CAF_CHECK(cleared && !std::filesystem::exists(parts.place));
}

CAF_TEST(folders of an agent that had nothing to do after a crash go with its task) {
  std::filesystem::create_directories(parts.place + "/work/sub"); // of the process before
  aut = spawn_workspace(sys, parts);
  std::vector<std::string> faults;
  ask<workspace_cleared>(clear_workspace{}, [&faults](workspace_cleared& c) { faults.push_back(c.fault); });
  CAF_CHECK((faults == std::vector<std::string>{""}));
  CAF_CHECK(!std::filesystem::exists(folder.path + "/work/t"));
}

CAF_TEST(jobs that ended leave no more than a bound behind) {
  start();
  constexpr std::uint64_t size = 1'000'000, rounds = 10;
  const std::string much(size, 'x');
  auto held = [this](std::uint64_t job) { // bytes of it that can still be read
    std::uint64_t first = 0, next = 0, sum = 0;
    do {
      first = next;
      call("mcp__command_line__read_output",
           "{\"job\":\"job" + std::to_string(job) + "\",\"offset\":" + std::to_string(next) + "}");
      auto& text = results.back().text;
      auto at = text.find("\"stdout\":\"") + 10;
      sum += text.find('"', at) - at;
      next = std::stoul(text.substr(text.find("\"next_offset\":") + 14));
      CAF_CHECK_EQUAL(said("its output is no longer kept"), said("\"truncated\":true"));
    } while (next > first);
    CAF_CHECK_EQUAL(next, 2 * size);
    return sum;
  };
  for (std::uint64_t i = 1; i <= rounds; ++i) {
    job("write much");
    auto& box = *launchers.at(0);
    auto id = static_cast<std::int64_t>(i);
    call("mcp__command_line__read_output", "{\"job\":\"job" + std::to_string(i) + "\",\"offset\":900000000}");
    box.wrote(id, much);
    box.ends(id, "exit", 3, much);
    settle_disk();
    CAF_REQUIRE_EQUAL(results.size(), 2 * i);
  }
  std::uint64_t sum = 0;
  for (std::uint64_t i = 1; i <= rounds; ++i)
    sum += held(i);
  CAF_CHECK(sum <= max_held);
  CAF_CHECK(sum > max_held / 2);
  CAF_CHECK_EQUAL(held(rounds), 2 * size);
  CAF_CHECK(said("\"exit_code\":3"));
}

CAF_TEST(an empty file is an empty text and nothing that was given up) {
  start();
  write("empty", 0);
  call("mcp__filesystem__read_text_file", R"({"path":"empty"})");
  CAF_REQUIRE_EQUAL(results.size(), 1u);
  CAF_CHECK(!results[0].is_error && results[0].text.empty() && errors.empty());
}

CAF_TEST(output of few jobs is asked for at a time) {
  start();
  for (auto name : {"one", "two", "three", "four", "five"})
    job(name);
  for (auto n : {1, 2, 3, 4, 5})
    call("mcp__command_line__read_output", "{\"job\":\"job" + std::to_string(n) + "\"}");
  auto& box = *launchers.at(0);
  using ids = std::vector<std::int64_t>;
  CAF_CHECK((box.ids_of("read") == ids{1, 2, 3}));
  box.wrote(2, "second");
  settle_disk();
  CAF_CHECK(results.size() == 6 && said("second"));
  CAF_CHECK((box.ids_of("read") == ids{1, 2, 3, 4}));
  box.ends(1, "exit", 0, "first"); // who waits for it is told too
  settle_disk();
  CAF_REQUIRE_EQUAL(results.size(), 7u);
  CAF_CHECK((box.ids_of("read") == ids{1, 2, 3, 4, 5}));
  call("mcp__command_line__read_output", R"({"job":"job2"})");
  caf::anon_send(aut, cancel_tools{run.task, "a", run.run}); // under way or waiting, all are told
  settle_disk();
  CAF_CHECK_EQUAL(results.size(), 7u);
  CAF_REQUIRE_EQUAL(errors.size(), 4u);
  for (auto& e : errors)
    CAF_CHECK_EQUAL(code_of(e), ec::cancelled);
}

CAF_TEST(a job that could not begin is none) {
  start();
  call("mcp__command_line__execute_command_background", R"({"command":"say"})");
  CAF_CHECK_EQUAL(results.size(), 0u);
  launchers.at(0)->ends(1, "failed");
  settle_disk();
  CAF_REQUIRE_EQUAL(results.size(), 1u);
  CAF_CHECK(results.back().is_error && said("E_SANDBOX"));
  call("mcp__command_line__execute_command_background", R"({"command":"say"})");
  launchers.at(0)->dies();
  settle_disk();
  CAF_REQUIRE_EQUAL(results.size(), 2u);
  CAF_CHECK(results.back().is_error && said("E_SANDBOX: the launcher of the sandbox ended"));
}

CAF_TEST(a job that ended long ago is told from one that never was) {
  start();
  constexpr int known = 256;
  for (int i = 1; i <= known + 1; ++i) {
    job("say");
    launchers.at(0)->ends(i, "exit", 0, "said");
    settle_disk();
  }
  call("mcp__command_line__read_output", R"({"job":"job2"})");
  CAF_CHECK(said("\"stdout\":\"said\""));
  for (auto tool : {"read_output", "kill"}) {
    call(std::string("mcp__command_line__") + tool, R"({"job":"job1"})");
    CAF_CHECK(results.back().is_error && said("ended long ago"));
    for (auto no : {"job258", "job0", "job", "job1x", "jo", "x"}) {
      call(std::string("mcp__command_line__") + tool, std::string(R"({"job":")") + no + "\"}");
      CAF_CHECK(results.back().is_error && !said("ended long ago"));
    }
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
