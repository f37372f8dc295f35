// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.workspace

// What goes with an answer, and what has to have ended before that.

#include "support/workspace_fixture.hpp"

using namespace conclave;

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

CAF_TEST_FIXTURE_SCOPE_END()
