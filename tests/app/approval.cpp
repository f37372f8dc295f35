// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.approval

// A host that is asked before the changes of a task are written.

#include "app/approval.hpp"

#include "caf/test/unit_test.hpp"
#include "support/engine_fixture.hpp"
#include "support/forwarding_outside.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>
#include <thread>

using namespace conclave;
using namespace std::chrono_literals;

namespace {

struct no_threads final : test::forwarding_outside {
  std::unique_ptr<host_thread> start_thread(const std::string&, std::function<void()>) override { return nullptr; }
};

struct changing_fixture {
  test::folder home;
  std::string project = home.path + "/project";

  changing_fixture() {
    ::setenv("CONCLAVE_HOME", home.path.c_str(), 1);
    std::filesystem::create_directory(project);
    std::ofstream{project + "/old.txt"} << "old\n";
    project = std::filesystem::canonical(project).string();
  }

  /// A team whose presenter adds a file to the project.
  run_config team() const {
    auto out = test::team();
    for (auto& a : out.agents) {
      a.backend.workspace.cwd = "w";
      a.backend.workspace.context = {{project, true, {}}};
    }
    auto& script = out.agents[0].backend.script;
    auto step = script.back();
    step.text.clear();
    step.calls = {{"c9", "mcp__filesystem__write_file", R"({"path":"../target1/new.txt","content":"new\n"})"}};
    script.insert(script.end() - 1, step);
    return out;
  }
  bool written() const { return std::filesystem::exists(project + "/new.txt"); }
};

} // namespace

CAF_TEST(only a yes in time is one) {
  auto& here = *outside::of_machine();
  CAF_CHECK_EQUAL(ask_host(
                      here, [] { return true; }, 20s),
                  "");
  CAF_CHECK_EQUAL(ask_host(
                      here, [] { return false; }, 20s),
                  "the host did not approve it");
  CAF_CHECK_EQUAL(ask_host(
                      here, []() -> bool { throw std::runtime_error("no\x1b"); }, 20s),
                  "the host's approval failed: no?");
  CAF_CHECK_EQUAL(ask_host(
                      here, []() -> bool { throw 1; }, 20s),
                  "the host's approval failed");
  std::promise<void> gate, left;
  auto open = gate.get_future().share();
  CAF_CHECK_EQUAL(ask_host(
                      here,
                      [open, &left] {
                        open.wait();
                        left.set_value();
                        return true;
                      },
                      20ms),
                  "the host did not answer within 20 ms");
  gate.set_value();
  left.get_future().wait(); // what it says now is dropped
  no_threads none;
  CAF_CHECK_EQUAL(ask_host(
                      none, [] { return true; }, 20s),
                  "the system gives no thread to ask the host on");
}

CAF_TEST_FIXTURE_SCOPE(approval_tests, changing_fixture)

CAF_TEST(changes are written once the host approves them) {
  engine eng{home.options()};
  CAF_REQUIRE_EQUAL(eng.error(), "");
  auto end = eng.ask(team(), {"make it", {}});
  CAF_REQUIRE_EQUAL(end.changes.size(), 1u);
  apply_request how;
  std::vector<folder_change> shown;
  std::string text;
  auto here = std::this_thread::get_id();
  auto other_thread = false, yes = false;
  how.approve = [&](const std::vector<folder_change>& changes, const std::string& t) {
    shown = changes;
    text = t;
    other_thread = std::this_thread::get_id() != here;
    return yes;
  };
  CAF_CHECK_EQUAL(eng.apply(end.task, how), "nothing was written: the host did not approve it");
  CAF_CHECK(!written());
  CAF_CHECK(other_thread);
  CAF_CHECK(shown == end.changes);
  CAF_CHECK_EQUAL(text, "folder " + project + "\nA  new.txt\n");
  yes = true;
  CAF_CHECK_EQUAL(eng.apply(end.task, how), "");
  CAF_CHECK(written());
  CAF_CHECK_EQUAL(eng.undo(end.task), "");
  CAF_CHECK(!written());
}

CAF_TEST_FIXTURE_SCOPE_END()
