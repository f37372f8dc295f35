// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE actors.workspace_in_place

// `write_mode: legacy`: who presents writes in the user's folder, as long as it presents.

#include "protocols/text.hpp"
#include "support/workspace_fixture.hpp"

using namespace conclave;
namespace fs = std::filesystem;

namespace {

struct in_place_fixture : test::workspace_fixture {
  std::string project;
  std::vector<std::string> told;

  in_place_fixture() {
    project = fs::canonical(folder.path).string() + "-project";
    parts.home = fs::canonical(folder.path).string();
    parts.place = parts.home + "/work/t/01234567";
    for (auto* name : {"src", "given", ".git"})
      fs::create_directories(project + "/" + name);
    for (auto* name : {"readme", "keep", "given/x", ".git/config", ".env"})
      std::ofstream{project + "/" + name} << "old";
    parts.config.write_mode = "legacy";
    parts.config.context = {{project, true, {"keep", "not-there"}}, {project + "/given", false, {}}};
    parts.confines = true;
    parts.tell = [this](std::string text) { told.push_back(std::move(text)); };
  }

  ~in_place_fixture() {
    std::error_code ignored;
    fs::remove_all(project, ignored);
  }

  void begin(bool present, bool as_it_is = false) {
    if (!aut)
      aut = spawn_workspace(sys, parts);
    ++run.run;
    auto there = false;
    ask<workspace_ready>(prepare_workspace{run, present, as_it_is, {}, {}}, [&there](workspace_ready&) { there = true; });
    CAF_REQUIRE(there);
  }

  /// The code of what a write of the file comes to; empty = it is there.
  std::string write_to(const std::string& name) {
    call("mcp__filesystem__write_file", "{\"path\":" + wire::quote(project + "/" + name) + ",\"content\":\"new\"}");
    CAF_REQUIRE(!results.empty());
    auto code = workspace_tools::denial_in(results.back().text);
    CAF_CHECK_EQUAL(code.empty(), !results.back().is_error);
    CAF_CHECK(code.empty() || code == "E_SIZE" || results.back().text.find(name) != std::string::npos);
    return code;
  }

  /// The paths that the newest sandbox grants in this way.
  std::vector<std::string> granted(const std::string& how) {
    command("true");
    std::vector<std::string> out;
    CAF_REQUIRE(!launchers.empty());
    for (auto& [name, value] : launchers.back()->told.front().fields)
      if (name == how && value.starts_with(project))
        out.push_back(value.substr(project.size()));
    launchers.back()->ends(launchers.back()->ids_of("run").back());
    settle_disk();
    std::sort(out.begin(), out.end());
    return out;
  }

  void keep_all(bool present) {
    ask<kept_files>(keep_workspace{run, present}, [this](kept_files& f) { kept.push_back(std::move(f)); });
  }

  void ends() {
    caf::anon_send(aut, cancel_tools{run.task, "a", run.run});
    settle_disk();
    if (!launchers.empty())
      launchers.back()->dies();
    settle_disk();
  }

  bool was_told(const std::string& what) const {
    return std::any_of(told.begin(), told.end(), [&](auto& t) { return t.find(what) != std::string::npos; });
  }
};

using names = std::vector<std::string>;

} // namespace

CAF_TEST_FIXTURE_SCOPE(in_place_tests, in_place_fixture)

CAF_TEST(before the presentation the folder is only read) {
  begin(false);
  CAF_CHECK_EQUAL(write_to("new"), "E_READONLY");
  CAF_CHECK(results.back().text.find("final phase") != std::string::npos);
  CAF_CHECK((granted("writable") == names{}));
  CAF_CHECK((granted("shared") == names{}));
  CAF_CHECK((granted("readable") == names{"", "/given"}));
  CAF_CHECK(!fs::exists(project + "/new"));
}

CAF_TEST(who presents writes and what is protected or never written stays) {
  begin(true);
  CAF_CHECK_EQUAL(write_to("new"), "");
  CAF_CHECK_EQUAL(write_to("src/new"), "");
  for (auto* name : {"keep", "not-there", "given/y"})
    CAF_CHECK_EQUAL(write_to(name), "E_PROTECTED");
  for (auto* name : {".git/config", ".git/hooks", ".env", ".env.local", "src/.git", "node_modules/x"})
    CAF_CHECK_EQUAL(write_to(name), "E_EXCLUDED");
  CAF_CHECK(fs::exists(project + "/new") && fs::exists(project + "/src/new"));
  CAF_CHECK((granted("writable") == names{""}));
  CAF_CHECK((granted("shared") == names{""}));
  CAF_CHECK((granted("readable") == names{}));
  CAF_CHECK((granted("protected") == names{"/.env", "/.git", "/given", "/keep"}));
  CAF_CHECK((granted("hidden") == names{"/.env"}));
  CAF_CHECK(told.empty());
}

CAF_TEST(with the end of the presentation nobody writes any more) {
  begin(true);
  job("write on");
  CAF_CHECK_EQUAL(write_to("new"), "");
  ends();
  CAF_CHECK(launchers[0]->closed);
  CAF_CHECK_EQUAL(write_to("late"), "E_READONLY");
  CAF_CHECK((granted("writable") == names{}));
  begin(false);
  CAF_CHECK_EQUAL(write_to("later"), "E_READONLY");
  CAF_CHECK(!fs::exists(project + "/late") && !fs::exists(project + "/later"));
}

CAF_TEST(files that are kept for a presentation end it and those of a refused answer do not) {
  begin(true);
  keep_all(false);
  CAF_CHECK_EQUAL(write_to("new"), "");
  keep_all(true);
  CAF_CHECK_EQUAL(write_to("late"), "E_READONLY");
  CAF_REQUIRE_EQUAL(kept.size(), 2u);
  CAF_CHECK_EQUAL(kept[1].why, "");
  CAF_CHECK(kept[1].changes.empty());
}

CAF_TEST(what was made under a name that is never written is told) {
  begin(true);
  fs::create_directories(project + "/src/.git");
  std::ofstream{project + "/not-there"} << "made";
  begin(true, true); // after a crash: it was not there before the presentation
  CAF_CHECK(was_told("not-there, src/.git;"));
  told.clear();
  kill(aut);
  aut = spawn_workspace(sys, parts);
  begin(true, true);
  fs::create_directories(project + "/.venv");
  keep_all(true);
  CAF_CHECK(was_told(".venv, not-there, src/.git;"));
}

CAF_TEST(git repositories by any name stay as they are and one that was made is told) {
  for (const auto* name : {"/srv.git/objects", "/srv.git/refs", "/src/new/objects", "/src/new/refs"})
    fs::create_directories(project + name);
  std::ofstream{project + "/srv.git/HEAD"} << "ref: refs/heads/main";
  begin(true);
  for (const auto* name : {"HEAD", "srv.git/hooks/post-receive", "srv.git/config"})
    CAF_CHECK_EQUAL(write_to(name), "E_EXCLUDED");
  CAF_CHECK((granted("protected") == names{"/.env", "/.git", "/given", "/keep", "/srv.git"}));
  std::ofstream{project + "/src/new/HEAD"} << "ref: refs/heads/main"; // by a command
  keep_all(true);
  CAF_CHECK(was_told("as a git repository, or closed to a look: src/new;"));
  told.clear();
  ends();
  begin(true);
  CAF_CHECK((granted("protected") == names{"/.env", "/.git", "/given", "/keep", "/src/new", "/srv.git"}));
  for (const auto* name : {"/objects", "/refs"})
    fs::create_directories(project + name);
  std::ofstream{project + "/HEAD"} << "ref: refs/heads/main";
  keep_all(true);
  CAF_CHECK(was_told("closed to a look: .;"));
}

CAF_TEST(without walls it is told what nothing keeps commands from) {
  parts.tier = sandbox_tier::off;
  begin(false);
  CAF_CHECK(told.empty());
  begin(true);
  CAF_CHECK(was_told("run unconfined and write in place"));
}

CAF_TEST(the folder may grow by as much as another may hold) {
  parts.limits.files = 20;
  for (int i = 0; i < 30; ++i)
    std::ofstream{project + "/src/" + std::to_string(i)} << i;
  begin(true);
  CAF_CHECK_EQUAL(write_to("new"), "");
  for (int i = 0; i < 20; ++i)
    std::ofstream{project + "/src/more" + std::to_string(i)} << i;
  CAF_CHECK_EQUAL(write_to("one-more"), "E_SIZE");
  CAF_CHECK(said("when the presentation began: 20 more are allowed"));
  begin(false);
  CAF_CHECK_EQUAL(write_to("x"), "E_READONLY");
}

CAF_TEST_FIXTURE_SCOPE_END()
