// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Workspaces in a configuration: which folders agents are given, and what is said of keys that do nothing.

#define CAF_SUITE app.load_config_workspace

#include "app/load_config_support.hpp"
#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <filesystem>
#include <fstream>

using namespace conclave;

namespace {

/// A folder `proj` with a link `link` to it.
struct workspace_fixture {
  test::scratch_folder scratch;
  std::string here = std::filesystem::canonical(scratch.path).string();

  workspace_fixture() {
    std::filesystem::create_directories(here + "/proj/sub");
    std::filesystem::create_directory_symlink("proj", here + "/link");
    ::setenv("CONCLAVE_HOME", (here + "/conclave-home").c_str(), 1);
  }

  /// A team of one with `cwd`, these lines in its backend, and these in `orchestrator`.
  static load_result team(const std::string& backend, const std::string& orchestrator = {}) {
    return load(with("cwd: work\n" + backend) + "orchestrator:\n  snapshot_storage: s\n  agent_temporary_workspace: t\n"
                + orchestrator);
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(workspace_keys, workspace_fixture)

CAF_TEST(of a folder given twice the stricter permission counts however it is named) {
  auto write = [&](const std::string& name) {
    return "{path: " + here + "/" + name + ", permission: write, protected_paths: [a]}";
  };
  auto read = [&](const std::string& name) { return "{path: " + here + "/" + name + ", permission: read, protected_paths: [b]}"; };
  for (const auto& list :
       {write("proj") + ", " + read("./proj/"), read("link") + ", " + write("proj"), write("link") + ", " + read("proj")})
    for (auto in_agent : {false, true}) {
      auto keys = "context_paths: [" + list + "]\n";
      auto r = in_agent ? team(keys) : team("", "  " + keys);
      auto context = first(r).workspace.context;
      CAF_CHECK(r.ok());
      CAF_REQUIRE_EQUAL(context.size(), 1u);
      CAF_CHECK_EQUAL(context[0].path, here + "/proj");
      CAF_CHECK(!context[0].write);
      CAF_CHECK_EQUAL(context[0].protected_paths.size(), 2u);
      CAF_CHECK_EQUAL(where(r, severity::warning),
                      strings{(in_agent ? "7 agents[0].backend." : "10 orchestrator.") + std::string{"context_paths[1]"}});
      CAF_CHECK(says(r, "`read` counts"));
    }
  auto r = team("context_paths: [" + write("proj") + "]\n", "  context_paths: [" + read("link") + "]\n");
  CAF_CHECK(!first(r).workspace.context.at(0).write);
  CAF_CHECK(says(r, "`read` counts"));
  auto same = team("context_paths: [" + write("proj") + "]\n", "  context_paths: [" + write("link") + "]\n");
  CAF_CHECK_EQUAL(first(same).workspace.context.size(), 1u);
  CAF_CHECK(first(same).workspace.context.at(0).write);
  CAF_CHECK_EQUAL(all(same), "");
}

CAF_TEST(what either spelling blocks is blocked) {
  auto r = team("enable_mcp_command_line: true\ncommand_line_blocked_commands: [a, b]\ncommand_line_blacklist_patterns: [b, c]");
  CAF_CHECK_EQUAL(all(r), "");
  CAF_CHECK_EQUAL(first(r).workspace.blocked_commands, (strings{"a", "b", "c"}));
  r = team("enable_mcp_command_line: true\ncommand_line_blacklist_patterns: [c, '(']");
  CAF_CHECK_EQUAL(where(r), strings{"8 agents[0].backend.command_line_blacklist_patterns"});
  auto allowed = "enable_mcp_command_line: true\ncommand_line_allowed_commands: [a]\ncommand_line_whitelist_patterns: ";
  CAF_CHECK_EQUAL(where(team(allowed + std::string{"[b]"})), strings{"9 agents[0].backend.command_line_whitelist_patterns"});
  CAF_CHECK_EQUAL(all(team(allowed + std::string{"[a]"})), "");
}

CAF_TEST_FIXTURE_SCOPE_END()
