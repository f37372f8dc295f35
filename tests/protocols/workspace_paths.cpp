// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols_workspace_paths
#include "protocols/workspace_paths.hpp"

#include "support/run_driver.hpp"

#include <caf/test/dsl.hpp>

using namespace conclave;
using namespace conclave::workspace_paths;
using namespace conclave::test;

namespace {

const std::string ann = "/home/u/c/work/t1/0a1b2c3d", bob = "/home/u/c/work/t1/99999999";

workspace_config with_folder() {
  workspace_config out;
  context_path c;
  c.path = "/home/u/project";
  c.write = true;
  out.context = {c};
  return out;
}

std::string of_ann(const std::string& text) {
  return neutral(text, ann, 1, with_folder());
}

} // namespace

CAF_TEST(each reader finds a file where it is shown to that reader) {
  auto kept = of_ann("see " + ann + "/work/a.txt, (" + ann + "/work). Of agent10: " + ann + "/view/agent10/b");
  CAF_CHECK_EQUAL(kept, "see workspace://agent1/a.txt, (workspace://agent1). Of agent10: workspace://agent10/b");
  CAF_CHECK_EQUAL(expanded(kept, bob),
                  "see " + bob + "/view/agent1/a.txt, (" + bob + "/view/agent1). Of agent10: " + bob + "/view/agent10/b");
  CAF_CHECK_EQUAL(expanded(of_ann("file://" + ann + "/work/index.html"), bob), "file://" + bob + "/view/agent1/index.html");
}

CAF_TEST(a copy of a folder is told as that folder) {
  CAF_CHECK_EQUAL(of_ann(ann + "/target1/a and " + ann + "/target1"), "/home/u/project/a and /home/u/project");
  CAF_CHECK_EQUAL(of_ann(ann + "/target2/a"), "private://agent1/target2/a"); // there is none
}

CAF_TEST(without a presenter folders are changed from the start and never in place) {
  run_config c;
  c.agents.resize(3);
  for (auto& a : c.agents) {
    a.backend.workspace = with_folder();
    a.backend.workspace.cwd = "w";
  }
  c.agents[1].backend.workspace.write_mode = "legacy";
  c.agents[2].backend.workspace.context.front().write = false;
  auto presented = c;
  without_presenter(presented);
  CAF_CHECK(presented == c);
  c.rules.strategy = ledger::strategy::winner_reuse;
  c.rules.skip_coordination = true; // then the first agent presents
  presented = c;
  without_presenter(presented);
  CAF_CHECK(presented == c);
  c.rules.skip_coordination = false;
  without_presenter(c);
  auto& w = c.agents[0].backend.workspace;
  CAF_CHECK(w.write_from_start && w.context.front().write);
  CAF_CHECK_EQUAL(changed(ann, w, 0), ann + "/work/target1");
  CAF_CHECK(!c.agents[1].backend.workspace.context.front().write && !c.agents[1].backend.workspace.write_from_start);
  CAF_CHECK(!c.agents[2].backend.workspace.write_from_start);
}

CAF_TEST(only whole components are places) {
  for (std::string text : {"/home/u/c/work/t1/0a1b2c3d4/work/a", "/home/u/c/work/t1/0a1b2c3d-1/x", "/home/u/c/work/t1", "work/a"})
    CAF_CHECK_EQUAL(of_ann(text), text);
  auto kept = of_ann(ann + "/work1/a " + ann + "/work10");
  CAF_CHECK_EQUAL(kept, "private://agent1/work1/a private://agent1/work10");
  CAF_CHECK_EQUAL(expanded(kept, bob), kept);
}

CAF_TEST(nothing that leads below the place of an agent is told to others) {
  for (auto& text :
       {ann, ann + "/", ann + "/home/.cache", ann + "/servers/x", "/mnt" + ann + "/work/a", "x=" + ann + "/work", "//" + ann,
        ann + "/view", ann + "/view/x", "file://" + ann + "/home", ann + "." + ann + ",", ann + "/work" + ann + "/work"})
    CAF_CHECK(of_ann(text).find(ann) == std::string::npos);
  CAF_CHECK_EQUAL(of_ann("HOME is " + ann + "/home."), "HOME is private://agent1/home.");
  CAF_CHECK_EQUAL(of_ann("tar: " + ann.substr(1) + "/work/a"), "tar: workspace://agent1/a");
  CAF_CHECK_EQUAL(of_ann("my" + ann.substr(1) + "/work/a"), "my" + ann.substr(1) + "/work/a");
}

CAF_TEST(slashes may stand twice) {
  CAF_CHECK_EQUAL(of_ann("in /home//u/c/./work/t1/0a1b2c3d//work//a.txt, as//ever"), "in workspace://agent1/a.txt, as//ever");
  CAF_CHECK_EQUAL(of_ann("file://" + ann + "//work/./b (" + ann + "/work///c)"),
                  "file://workspace://agent1/b (workspace://agent1/c)");
  CAF_CHECK_EQUAL(of_ann("https://x.example//0a1b2c3d//y"), "https://x.example//0a1b2c3d//y");
  CAF_CHECK_EQUAL(of_ann(ann + "//work/a,https://x.example//y " + ann + "/work//b|c//d"),
                  "workspace://agent1/a,https://x.example//y workspace://agent1/b|c//d");
  std::string many; // in one word: each is looked at for itself
  for (int i = 0; i < 20'000; ++i)
    many += "//0a1b2c3d";
  CAF_CHECK_EQUAL(of_ann(many), many);
}

CAF_TEST(slashes may be written as in JSON) {
  std::string escaped;
  for (auto c : ann + "/work/a/b")
    escaped += c == '/' ? std::string{"\\/"} : std::string(1, c);
  CAF_CHECK_EQUAL(of_ann("{\"path\": \"" + escaped + "\", \"re\": \"a\\/b\"}"),
                  "{\"path\": \"workspace://agent1/a/b\", \"re\": \"a\\/b\"}");
}

CAF_TEST(a neutral text can be read as if another had written it) {
  CAF_CHECK_EQUAL(as_of("workspace://agent1/a private://agent1 workspace://agent10/b workspace://agent2/c", 1, 3),
                  "workspace://agent3/a private://agent3 workspace://agent10/b workspace://agent2/c");
  CAF_CHECK_EQUAL(as_of("workspace://agent1/a", 1, 1), "workspace://agent1/a");
}

CAF_TEST(reasons of votes speak of files as answers do) {
  run_driver x;
  x.with.number = 2;
  auto judging = run_driver::task(7, true);
  x.put(run::started{judging});
  backend_info info;
  info.step = "tools";
  x.put(run::prepared{7, info, bob});
  x.rule();
  x.reply(calls(
      {{"v", "vote", "{\"agent_id\":\"agent1\",\"reason\":\"I read " + bob + "/view/agent1/a, tried " + bob + "/work/b\"}"}}));
  CAF_CHECK_EQUAL(x.the<run::report>().handed_in.reason, "I read workspace://agent1/a, tried workspace://agent2/b");
  x.rule();

  run_driver y;
  auto present = run_driver::task(8, true);
  present.kind = run_kind::present;
  present.votes = 1;
  present.vote_reasons = {"I read workspace://agent1/a, tried workspace://agent2/b"};
  y.put(run::started{present});
  y.put(run::prepared{8, info, ann});
  y.rule();
  auto said = y.the<run::send_model>().request.messages.back().text;
  CAF_CHECK(said.find("| I read " + ann + "/view/agent1/a, tried " + ann + "/view/agent2/b") != std::string::npos);
}
