// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.workspace_bounds

// What the folders of an agent may hold: looked at before they are filled, and while commands fill them.

#include "protocols/caf_error.hpp"
#include "support/workspace_fixture.hpp"

using namespace conclave;
using namespace std::chrono_literals;

namespace {

struct bounds_fixture : test::workspace_fixture {
  bounds_fixture() {
    parts.limits.bytes = 1'000;
    parts.limits.files = 20;
    parts.limits.depth = 4;
    start();
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(bounds_tests, bounds_fixture)

CAF_TEST(a command that writes too much is ended and told why) {
  command("fill");
  CAF_REQUIRE_EQUAL(launchers.size(), 1u);
  auto& box = *launchers[0];
  write("big", 900);
  wait(2s);
  CAF_CHECK(box.ids_of("kill").empty());
  write("more", 200);
  wait(1s);
  CAF_CHECK(box.ids_of("kill").empty()); // not looked at yet
  wait(1s);
  CAF_REQUIRE_EQUAL(box.ids_of("kill").size(), 1u);
  CAF_CHECK(results.empty()); // it has not ended yet
  box.ends(1, "killed", 137);
  settle_disk();
  CAF_REQUIRE_EQUAL(results.size(), 1u);
  CAF_CHECK(results[0].is_error);
  CAF_CHECK(said("E_SIZE"));
  CAF_CHECK(said("holds 1100 bytes, and 1000 are allowed"));
  CAF_CHECK(said("\"success\":false"));
  wait(10s);
  CAF_CHECK_EQUAL(box.ids_of("kill").size(), 1u);
  remove("more"); // and the run goes on
  command("again");
  CAF_CHECK_EQUAL(box.ids_of("run").size(), 2u);
}

CAF_TEST(files and depth count as bytes do) {
  command("many");
  auto& box = *launchers.at(0);
  for (int i = 0; i < 21; ++i)
    write("f" + std::to_string(i), 0);
  wait(2s);
  CAF_CHECK_EQUAL(box.ids_of("kill").size(), 1u);
  box.ends(1, "killed", 137);
  settle_disk();
  CAF_CHECK(said("holds 21 files and folders, and 20 are allowed"));
  for (int i = 0; i < 21; ++i)
    remove("f" + std::to_string(i));
  command("deep");
  std::filesystem::create_directories(path("1/2/3/4/5"));
  wait(2s);
  box.ends(2, "killed", 137);
  settle_disk();
  CAF_CHECK(said("nested deeper than 4 folders"));
}

CAF_TEST(what a closed folder and the private home hold counts) {
  command("hide");
  write("closed/big", 1'100);
  std::filesystem::permissions(path("closed"), std::filesystem::perms::none);
  wait(2s);
  CAF_CHECK_EQUAL(launchers.at(0)->ids_of("kill").size(), 1u);
  launchers[0]->ends(1, "killed", 137);
  settle_disk();
  remove("closed");
  command("fill home");
  std::ofstream{workspace_paths::home(parts.place) + "/big"} << std::string(1'100, 'x');
  wait(2s);
  CAF_CHECK_EQUAL(launchers[0]->ids_of("kill").size(), 2u);
}

CAF_TEST(a job in the background is ended too and says so) {
  job("serve");
  auto& box = *launchers.at(0);
  write("big", 1'100);
  wait(2s);
  CAF_CHECK_EQUAL(box.ids_of("kill").size(), 1u);
  box.ends(1, "killed", 137);
  settle_disk();
  call("mcp__command_line__read_output", R"({"job":"job1"})");
  CAF_CHECK(said("E_SIZE"));
  CAF_CHECK(said("\"running\":false"));
}

CAF_TEST(in folders that are too full only what removes goes on) {
  command("fill");
  auto& box = *launchers.at(0);
  write("big", 1'100);
  wait(2s);
  write("last", 50); // before the kill came through
  box.ends(1, "killed", 137);
  settle_disk();
  call("mcp__filesystem__write_file", R"({"path":"a.txt","content":"x"})");
  CAF_CHECK(results.back().is_error && said("E_SIZE"));
  CAF_CHECK(!std::filesystem::exists(path("a.txt")));
  call("mcp__filesystem__list_directory", R"({"path":"."})");
  CAF_CHECK(!results.back().is_error);
  command("rm big"); // begins
  CAF_CHECK_EQUAL(box.ids_of("run").size(), 2u);
  wait(2s);
  CAF_CHECK_EQUAL(box.ids_of("kill").size(), 1u); // and may take its time
  write("more", 10);
  wait(2s);
  CAF_CHECK_EQUAL(box.ids_of("kill").size(), 2u); // not that
  box.ends(2, "killed", 137);
  settle_disk();
  command("fill once more");
  CAF_CHECK(said("E_SIZE"));
  CAF_CHECK_EQUAL(box.ids_of("run").size(), 2u);
  remove("more"); // with a file tool
  command("rm big");
  CAF_CHECK_EQUAL(box.ids_of("run").size(), 3u);
  remove("big");
  box.ends(3);
  settle_disk();
  CAF_CHECK(!results.back().is_error);
  call("mcp__filesystem__write_file", R"({"path":"a.txt","content":"x"})");
  CAF_CHECK(!results.back().is_error);
}

CAF_TEST(a tool server that writes too much is ended and told why) {
  auto whys = std::make_shared<std::vector<std::string>>();
  auto server = sys.spawn([whys](confined_server_actor::pointer) -> confined_server_actor::behavior_type {
    return {[whys](const end_server& e) {
      whys->push_back(e.why);
      return server_ended{};
    }};
  });
  auto starts = [&] {
    callers.push_back(sys.spawn([to = walls_of(aut), server](caf::event_based_actor* me) {
      me->request(to, caf::infinite, ask_walls{"notes", server}).then([](const server_walls&) {}, [](const caf::error&) {});
    }));
    settle_disk();
  };
  starts();
  wait(10s);
  CAF_CHECK(whys->empty());
  write("big", 1'100);
  wait(1900ms);
  CAF_CHECK(whys->empty());
  wait(100ms);
  CAF_REQUIRE_EQUAL(whys->size(), 1u);
  CAF_CHECK((*whys)[0].find("E_SIZE: ended because") == 0
            && (*whys)[0].find("holds 1100 bytes, and 1000 are allowed") != std::string::npos);
  wait(60s); // it is not there any more
  CAF_CHECK_EQUAL(whys->size(), 1u);
  starts();
  wait(2s); // what only removes goes on
  CAF_CHECK_EQUAL(whys->size(), 1u);
  write("more", 10);
  wait(2s);
  CAF_CHECK_EQUAL(whys->size(), 2u);
  remove("big");
  starts();
  caf::anon_send(aut, cancel_tools{run.task, "a", run.run}); // its run ends, and it stays
  settle_disk();
  write("big", 1'100);
  wait(2s);
  CAF_CHECK_EQUAL(whys->size(), 3u);
  kill(server);
}

CAF_TEST(nothing is looked at while no command runs) {
  command("quick");
  launchers.at(0)->ends(1);
  settle_disk();
  wait(2s); // the timer that was set
  auto before = sched.clock().schedule().size();
  wait(60s);
  CAF_CHECK_EQUAL(sched.clock().schedule().size(), before);
  CAF_CHECK_EQUAL(before, 0u);
}

CAF_TEST(the end of a run leaves its timer without effect) {
  command("fill");
  write("big", 1'100);
  ++run.run;
  ask_to_prepare(); // the command of the run before is cancelled; the workspace is empty again
  launchers[0]->ends(1, "killed", 137);
  settle_disk();
  CAF_REQUIRE(ready);
  CAF_REQUIRE_EQUAL(errors.size(), 1u);
  CAF_CHECK_EQUAL(code_of(errors[0]), ec::cancelled);
  command("next");
  CAF_REQUIRE_EQUAL(launchers.size(), 2u);
  wait(1900ms);
  write("big", 1'100);
  wait(50ms);
  CAF_CHECK(launchers[1]->ids_of("kill").empty());
  wait(50ms);
  CAF_CHECK_EQUAL(launchers[1]->ids_of("kill").size(), 1u);
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST_FIXTURE_SCOPE(reserve_tests, test::workspace_fixture)

CAF_TEST(a disk below its reserve ends what fills it) {
  parts.limits.keep_free = std::uint64_t{1} << 60; // no disk has that
  start();
  command("ls"); // what adds nothing may go on
  auto& box = *launchers.at(0);
  wait(4s);
  CAF_CHECK(box.ids_of("kill").empty());
  write("a", 10);
  wait(2s);
  CAF_CHECK_EQUAL(box.ids_of("kill").size(), 1u);
  box.ends(1, "killed", 137);
  settle_disk();
  CAF_CHECK(said("E_SIZE") && said("MiB are free on the disk"));
}

CAF_TEST_FIXTURE_SCOPE_END()
