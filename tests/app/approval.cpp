// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.approval

// A host that is asked before the changes of a task are written.

#include "app/approval.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/events.hpp"
#include "support/engine_fixture.hpp"
#include "support/forwarding_outside.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
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
  std::string project = home.path + "/project", own; ///< a folder of the user's; where conclave keeps its files

  changing_fixture() {
    own = std::filesystem::canonical(home.path).string() + "/home";
    std::filesystem::create_directory(own);
    ::setenv("CONCLAVE_HOME", own.c_str(), 1);
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

CAF_TEST(a question that is given up is a no and so is one asked later) {
  auto& here = *outside::of_machine();
  host_question q;
  auto asked = std::make_shared<std::promise<void>>(), gate = std::make_shared<std::promise<void>>();
  std::thread other([&] {
    asked->get_future().wait();
    q.give_up("the task was cancelled");
    q.give_up("again");
  });
  auto ask = [&] {
    return q.ask(
        here,
        [asked, gate] {
          asked->set_value();
          gate->get_future().wait();
          return true;
        },
        20s);
  };
  CAF_CHECK_EQUAL(ask(), "the task was cancelled");
  CAF_CHECK_EQUAL(ask(), "the task was cancelled");
  other.join();
  gate->set_value();
  host_question none;
  none.give_up("");
  CAF_CHECK_EQUAL(none.ask(
                      here, [] { return true; }, 20s),
                  "it was given up");
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
  how.on_drift = "overwrite";
  CAF_CHECK_EQUAL(eng.apply(end.task, how),
                  "on_drift: 'overwrite' is none of fail, skip and prefer_presenter. Nothing was written");
  CAF_CHECK(!written());
  how.on_drift = "skip";
  CAF_CHECK_EQUAL(eng.apply(end.task, how), "");
  CAF_CHECK(written());
  CAF_CHECK_EQUAL(eng.undo(end.task), "");
  CAF_CHECK(!written());
  CAF_CHECK_EQUAL(eng.undo(end.task), ""); // nothing more
  CAF_CHECK_EQUAL(eng.undo("nobody"), "there is no task nobody");
  CAF_CHECK_EQUAL(eng.undo("../" + end.task), "there is no task ../" + end.task);
  auto bogus = team();
  for (auto& a : bogus.agents)
    a.backend.workspace.on_drift = "overwrite";
  CAF_CHECK_NOT_EQUAL(eng.ask(bogus, {"make it", {}}).error.find("drift_conflict_policy"), std::string::npos);
  std::vector<event> behind; // a reader of later reads it, too
  test::signal over;
  listener l;
  l.on_event = [&behind, p = over.promise, ended = false](const event& e) mutable {
    if (ended)
      behind.push_back(e);
    ended = ended || e.type == event_type::task_ended;
    if (behind.size() == 2 && e.type == event_type::changes_undone)
      p->set_value();
  };
  {
    auto reader = eng.watch({end.task, 0}, l);
    CAF_REQUIRE(over.came());
  }
  CAF_REQUIRE_EQUAL(behind.size(), 2u);
  CAF_CHECK(behind[0].type == event_type::changes_applied && behind[1].type == event_type::changes_undone);
  auto d = events::delivery_of(behind[0]);
  CAF_CHECK_EQUAL(d.folder, project);
  CAF_CHECK_EQUAL(d.paths, 1u);
  CAF_CHECK(d == events::delivery_of(behind[1]));
}

CAF_TEST(whoever starts a task may approve its changes before it is done) {
  engine eng{home.options()};
  CAF_REQUIRE_EQUAL(eng.error(), "");
  std::string text;
  outcome seen;
  auto yes = false, was_there = false;
  auto times = 0;
  listener l;
  l.approve = [&](const outcome& end, const std::string& t) {
    ++times;
    seen = end;
    text = t;
    was_there = written();
    return yes;
  };
  auto no = eng.ask(team(), {"make it", {}}, l);
  CAF_CHECK_EQUAL(times, 1);
  CAF_CHECK_EQUAL(text, "folder " + project + "\nA  new.txt\n");
  CAF_CHECK_EQUAL(seen.answer, "final");
  CAF_CHECK_EQUAL(seen.task, no.task);
  CAF_CHECK(no.warnings.empty()); // the host knows what it said
  CAF_CHECK(!written());
  std::string error;
  CAF_CHECK_EQUAL(eng.changes(no.task, error).names, text);
  CAF_CHECK_EQUAL(error, "");
  yes = true;
  std::vector<event> told;
  l.on_event = [&told](const event& e) { told.push_back(e); };
  auto end = eng.ask(team(), {"make it", {}}, l);
  CAF_CHECK(end.warnings.empty());
  CAF_CHECK(!was_there);
  CAF_REQUIRE(told.size() > 2); // it hears of it before `done`, behind the end of the task
  CAF_CHECK(told[told.size() - 2].type == event_type::task_ended);
  CAF_CHECK(told.back().type == event_type::changes_applied);
  CAF_CHECK_EQUAL(told.back().target, project);
  CAF_CHECK_EQUAL(told.back().task, end.task);
  CAF_CHECK_EQUAL(told.back().seq, told.size());
  l.on_event = [](const event& e) {
    if (is_delivery(e.type))
      throw std::runtime_error("no screen");
  };
  CAF_CHECK_EQUAL(eng.undo(end.task), "");
  end = eng.ask(team(), {"make it", {}}, l);
  CAF_REQUIRE_EQUAL(end.warnings.size(), 1u);
  CAF_CHECK_EQUAL(end.warnings[0], "the host's on_event threw: no screen");
  CAF_CHECK(written()); // before `done`
  CAF_CHECK_EQUAL(eng.undo(end.task), "");
  CAF_CHECK(!written());
  times = 0;
  CAF_CHECK(eng.ask(test::team(), {"say something", {}}, l).kind == outcome_kind::answered);
  CAF_CHECK_EQUAL(times, 0); // nothing is proposed
}

CAF_TEST(an approval that throws or is late or cannot be followed is told) {
  engine eng{home.options()};
  listener l;
  l.approve = [](const outcome&, const std::string&) -> bool { throw std::runtime_error("no screen"); };
  auto end = eng.ask(team(), {"make it", {}}, l);
  CAF_CHECK(end.kind == outcome_kind::answered);
  CAF_REQUIRE_EQUAL(end.warnings.size(), 1u);
  CAF_CHECK_EQUAL(end.warnings[0], "changes: nothing was written: the host's approval failed: no screen");
  std::promise<void> gate, left;
  l.approve = [open = gate.get_future().share(), &left](const outcome&, const std::string&) {
    open.wait();
    left.set_value();
    return true;
  };
  l.approve_within = 20ms;
  end = eng.ask(team(), {"make it", {}}, l);
  CAF_REQUIRE_EQUAL(end.warnings.size(), 1u);
  CAF_CHECK_EQUAL(end.warnings[0], "changes: nothing was written: the host did not answer within 20 ms");
  gate.set_value();
  left.get_future().wait();
  CAF_CHECK(!written());
  l.approve_within = 20s;
  l.approve = [this](const outcome&, const std::string&) {
    std::ofstream{project + "/new.txt"} << "mine\n";
    return true;
  };
  end = eng.ask(team(), {"make it", {}}, l);
  CAF_REQUIRE_EQUAL(end.warnings.size(), 1u);
  CAF_CHECK_EQUAL(end.warnings[0].find("changes: "), 0u);
  CAF_CHECK_NOT_EQUAL(end.warnings[0].find("Nothing was written there"), std::string::npos);
}

CAF_TEST(an engine that is stopped waits for no approval and writes nothing) {
  auto asked = std::make_shared<std::promise<void>>(), gate = std::make_shared<std::promise<void>>();
  auto left = std::make_shared<std::promise<void>>();
  test::ending end;
  {
    engine eng{home.options()};
    listener l;
    l.approve = [asked, gate, left](const outcome&, const std::string&) {
      asked->set_value();
      gate->get_future().wait();
      left->set_value();
      return true;
    };
    eng.start(team(), {"make it", {}}, l, end.done());
    asked->get_future().wait();
  }
  CAF_REQUIRE(end.came());
  auto o = end.future.get();
  CAF_CHECK(o.kind == outcome_kind::answered);
  CAF_REQUIRE_EQUAL(o.warnings.size(), 1u);
  CAF_CHECK_EQUAL(o.warnings[0], "changes: nothing was written: the engine is being stopped");
  gate->set_value();
  left->get_future().wait();
  CAF_CHECK(!written());
}

CAF_TEST(a folder that agents may not have is refused however a host names it) {
  engine eng{home.options()};
  std::filesystem::create_directory_symlink(own, project + "/link");
  auto refused = [&](const std::string& path) {
    auto with = team();
    for (auto& a : with.agents)
      a.backend.workspace.context[0].path = path;
    auto end = eng.ask(with, {"make it", {}});
    CAF_CHECK(end.code == ec::bad_config);
    return end.error;
  };
  auto said = "keeps its own files";
  CAF_CHECK_NOT_EQUAL(refused(project + "/link").find(said), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused(home.path).find(said), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused("/").find("whole file system"), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused(project + "/none").find("is not there"), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused("project").find("no absolute path"), std::string::npos);
}

CAF_TEST(a workspace that a host names by an absolute path is judged as that of a file) {
  engine eng{home.options()};
  auto refused = [&](const std::string& cwd) {
    auto with = team();
    with.agents[0].backend.workspace.cwd = cwd;
    auto end = eng.ask(with, {"make it", {}});
    CAF_CHECK(end.code == ec::bad_config);
    return end.error;
  };
  CAF_CHECK_NOT_EQUAL(refused(project + "/sub").find("overlaps with '" + project + "' of `context_paths`"), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused(own).find("keeps its own files"), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused("/").find("whole file system"), std::string::npos);
  CAF_CHECK_NOT_EQUAL(refused(std::filesystem::current_path().string()).find("where conclave was started"), std::string::npos);
  auto with = team();
  for (auto& a : with.agents)
    a.backend.workspace.cwd = home.path + "/shared";
  CAF_CHECK_NOT_EQUAL(eng.ask(with, {"make it", {}}).error.find("is the `cwd` of agent"), std::string::npos);
}

CAF_TEST(a folder in which git keeps its own is given to be read alone) {
  engine eng{home.options()};
  for (const auto* name : {"/bare/objects", "/bare/refs"})
    std::filesystem::create_directories(project + name);
  std::ofstream{project + "/bare/HEAD"} << "ref: refs/heads/main\n";
  auto error = [&](bool write) {
    auto with = test::team();
    for (auto& a : with.agents) {
      a.backend.workspace.cwd = "w";
      a.backend.workspace.context = {{project + "/bare", write, {}}};
    }
    return eng.ask(with, {"read it", {}}).error;
  };
  CAF_CHECK_NOT_EQUAL(error(true).find("is a git repository itself"), std::string::npos);
  CAF_CHECK_EQUAL(error(false), "");
}

CAF_TEST(a folder that a host gives twice is not written unless both say so) {
  engine eng{home.options()};
  std::filesystem::create_directory_symlink(project, project + "-link");
  auto with = team();
  for (auto& a : with.agents)
    a.backend.workspace.context.push_back({project + "-link", false, {}});
  auto end = eng.ask(with, {"make it", {}});
  CAF_CHECK(end.changes.empty());
  CAF_CHECK(!written());
}

CAF_TEST(a tool of the host works on the files of the agent that calls it) {
  std::map<std::string, std::string> told;
  workspace_handle stolen;
  native_tool tool;
  tool.spec = {"work", "works on your files", ""};
  tool.run_with_files = [&](const std::string&, workspace_handle files) {
    auto said = [](const std::function<void()>& use) {
      try {
        use();
      } catch (const workspace_error& e) {
        return e.code();
      }
      return std::string{"done"};
    };
    stolen = files;
    told["write"] = said([&] { files.write("sub/made.bin", std::string("\0\xff", 2)); });
    told["read"] = said([&] {
      if (files.read("sub/made.bin") != std::string("\0\xff", 2))
        throw workspace_error("wrong", "bytes");
    });
    told["list"] = files.list("sub").size() == 1 && files.list("sub")[0].name == "made.bin" && files.list("sub")[0].bytes == 2
                       ? "done"
                       : "wrong";
    told["outside"] = said([&] { files.read("/etc/passwd"); });
    told["up"] = said([&] { files.read("../../../../tasks.db"); });
    told["granted"] = said([&] { files.read(project + "/old.txt"); });
    told["original"] = said([&] { files.write(project + "/made.txt", "x"); });
    told["git"] = said([&] { files.write("../target1/.git/config", "x"); });
    told["unread"] = said([&] { files.write("drafted.txt", "x"); });
    told["large"] = said([&] { files.write("large", std::string(workspace_handle::max_bytes + 1, 'x')); });
    files.read("drafted.txt");
    told["read first"] = said([&] { files.write("drafted.txt", "x"); });
    return std::string{"worked"};
  };
  auto options = home.options();
  options.tools = {tool};
  engine eng{std::move(options)};
  CAF_REQUIRE_EQUAL(eng.error(), "");
  auto with = team();
  with.agents.resize(1);
  auto& script = with.agents[0].backend.script;
  auto step = [](const char* name, const char* arguments) {
    script_step s;
    s.calls = {{"c8", name, arguments}};
    return s;
  };
  // The run that drafted it made it; the presentation, in which the tool is called, finds it unread.
  script.insert(script.begin(), step("mcp__filesystem__write_file", R"({"path":"drafted.txt","content":"a\n"})"));
  script.insert(script.end() - 2, step("work", "{}"));
  auto end = eng.ask(with, {"make it", {}});
  CAF_REQUIRE(end.kind == outcome_kind::answered);
  std::map<std::string, std::string> expected = {{"write", "done"},          {"read", "done"},      {"list", "done"},
                                                 {"outside", "E_OUTSIDE"},   {"up", "E_OUTSIDE"},   {"granted", "done"},
                                                 {"original", "E_READONLY"}, {"git", "E_EXCLUDED"}, {"unread", "E_UNREAD"},
                                                 {"large", "E_SIZE"},        {"read first", "done"}};
  for (auto& [what, code] : expected)
    CAF_CHECK_EQUAL(what + " " + told[what], what + " " + code);
  CAF_CHECK(!std::filesystem::exists(project + "/made.txt"));
  try {
    stolen.read("sub/made.bin");
    CAF_FAIL("a handle outlived its run");
  } catch (const workspace_error& e) {
    CAF_CHECK_NOT_EQUAL(std::string{e.what()}.find("is over"), std::string::npos);
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
