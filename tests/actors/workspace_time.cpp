// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.workspace_time

// Calls of file tools that take too long. What they do is under way on a thread meanwhile, so the scheduler is the real one.

#include "actors/workspace.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/workspace_paths.hpp"
#include "support/fixture.hpp"
#include "support/scratch_folder.hpp"

#include <caf/all.hpp>

#include <filesystem>
#include <fstream>

using namespace conclave;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct time_fixture {
  test::scratch_folder folder;
  test::threads_config cfg;
  caf::actor_system sys{cfg};
  caf::scoped_actor me{sys};
  workspace_parts parts;
  workspace_actor aut;
  run_ref run{"t", 1, 7};

  time_fixture() {
    parts.outside = outside::of_machine();
    parts.lanes = parts.outside->open_lanes("disk", disk_threads);
    parts.home = folder.path;
    parts.place = folder.path + "/work/t/01234567";
    parts.task = "t";
    parts.config.cwd = "w";
    parts.limits.keep_free = 0;
  }
  ~time_fixture() { caf::anon_send_exit(aut, caf::exit_reason::user_shutdown); }

  void start(milliseconds time) {
    parts.file_time = time;
    aut = spawn_workspace(sys, parts);
    auto ready = false;
    me->request(aut, seconds(30), prepare_workspace{run, false, false, {}, {}})
        .receive([&](workspace_ready&) { ready = true; }, [](caf::error&) {});
    CAF_REQUIRE(ready);
    for (auto* name : {"a", "b"}) { // a second's work, or nearly, and no room
      auto path = workspace_paths::work(parts.place) + "/" + name + "/big";
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
      std::ofstream{path}.close();
      std::filesystem::resize_file(path, std::uintmax_t{1} << 30);
    }
  }

  tool_invocation asks(const std::string& tool, const std::string& arguments) const {
    tool_invocation i;
    i.task = run.task;
    i.agent = "a";
    i.run = run.run;
    i.call = {"c", tool, arguments};
    return i;
  }
  tool_invocation compares() const { return asks("mcp__workspace_tools__compare_directories", R"({"dir1":"a","dir2":"b"})"); }
  tool_result call(const tool_invocation& i) {
    tool_result out;
    me->request(aut, seconds(60), i).receive([&](tool_result& r) { out = std::move(r); }, [](caf::error&) { CAF_FAIL("error"); });
    return out;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(workspace_time_tests, time_fixture)

CAF_TEST(a call of a file tool ends when its time is over and the next one has its own) {
  start(milliseconds(5));
  auto late = false;
  for (int i = 0; i < 20 && !late; ++i) { // one that a busy machine lets end first is no fault
    auto r = call(compares());
    late = r.is_error && r.text.find("E_TIMEOUT") != std::string::npos;
    CAF_CHECK(late || !r.is_error);
  }
  CAF_CHECK(late);
  auto written = false;
  for (int i = 0; i < 20 && !written; ++i)
    written = !call(asks("mcp__filesystem__write_file", R"({"path":"x","content":"x"})")).is_error;
  CAF_CHECK(written && std::filesystem::exists(workspace_paths::work(parts.place) + "/x"));
}

CAF_TEST(the end of a run ends its calls before their time is over) {
  start(seconds(600));
  auto cancelled = false;
  for (int i = 0; i < 20 && !cancelled; ++i) {
    auto asked = me->request(aut, seconds(60), compares());
    me->send(aut, cancel_tools{run.task, "a", run.run});
    asked.receive([](tool_result&) {}, [&](caf::error& e) { cancelled = code_of(e) == ec::cancelled; });
  }
  CAF_CHECK(cancelled);
}

CAF_TEST_FIXTURE_SCOPE_END()
