// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Workspaces in a configuration: which folders agents are given, and what is said of keys that do nothing.

#define CAF_SUITE app.load_config_workspace

#include "app/config_view.hpp"
#include "app/load_config_support.hpp"
#include "caf/test/unit_test.hpp"
#include "support/scratch_folder.hpp"

#include <algorithm>
#include <cstdlib>
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
  auto both = first(r);
  CAF_CHECK(!both.workspace.context.at(0).write);
  CAF_CHECK(says(r, "`read` counts"));
  r = team("context_paths: [" + read("proj") + "]\n", "  context_paths: [" + write("link") + "]\n"); // who is meant to have less
  CAF_CHECK(!first(r).workspace.context.at(0).write);
  CAF_CHECK(!says(r, "`read` counts"));
  auto same = team("context_paths: [" + write("proj") + "]\n", "  context_paths: [" + write("link") + "]\n");
  CAF_CHECK_EQUAL(first(same).workspace.context.size(), 1u);
  auto twice = first(same);
  CAF_CHECK(twice.workspace.context.at(0).write);
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

CAF_TEST(keys of a workspace without one are told each) {
  auto keys =
      "context_paths: [" + here
      + "/proj]\ncontext_write_access_enabled: true\ncommand_line_allowed_commands: [ls]\n"
        "command_line_blacklist_patterns: [rm]\ncommand_env: {A: b}\nallow_secret_files: true\nenforce_read_before_delete: false\n"
        "write_mode: legacy\ndrift_conflict_policy: skip\nexclude_file_operation_mcps: true\nsandbox: {mode: 'off', network: full, "
        "readable: [/opt]}";
  auto r = load(with(keys));
  CAF_CHECK(r.ok());
  strings wanted;
  auto line = 6;
  for (auto key :
       {"context_paths", "context_write_access_enabled", "command_line_allowed_commands", "command_line_blacklist_patterns",
        "command_env", "allow_secret_files", "enforce_read_before_delete", "write_mode", "drift_conflict_policy",
        "exclude_file_operation_mcps", "sandbox.mode", "sandbox.network", "sandbox.readable"})
    wanted.push_back(std::to_string(std::min(line++, 16)) + " agents[0].backend." + key);
  CAF_CHECK_EQUAL(where(r, severity::warning), wanted);
  for (auto& p : r.problems)
    CAF_CHECK(p.text.starts_with("has no effect: without `cwd`"));
  CAF_CHECK_EQUAL(all(load(with("context_paths: []\nsandbox: {mode: required}\nwrite_mode: auto\nallow_secret_files: false\n"
                                "command_line_allowed_commands: []\nenforce_read_before_delete: true"))),
                  "");
  CAF_CHECK_EQUAL(where(load(with("cwd: ''")), severity::warning), strings{"6 agents[0].backend.cwd"});
}

CAF_TEST(what the file says for all is told where no agent has a workspace) {
  auto shared = "sandbox: {mode: auto}\norchestrator:\n  snapshot_storage: s\n  agent_temporary_workspace: t\n  context_paths: ["
                + here + "/proj]\n  coordination: {write_mode: isolated}\n";
  CAF_CHECK_EQUAL(where(load(with("") + shared), severity::warning),
                  (strings{"6 sandbox.mode", "10 orchestrator.context_paths", "11 orchestrator.coordination.write_mode"}));
  CAF_CHECK_EQUAL(all(load(with("cwd: work\nenable_mcp_command_line: true") + shared)), "");
}

CAF_TEST(what is for commands is told where there are none) {
  auto r = team("command_env: {A: b}\ncommand_line_blocked_commands: [x]\nsandbox: {mode: 'off'}");
  CAF_CHECK_EQUAL(where(r, severity::warning),
                  (strings{"7 agents[0].backend.command_env", "8 agents[0].backend.command_line_blocked_commands",
                           "9 agents[0].backend.sandbox.mode"}));
  auto server = "mcp_servers: {s: {command: npx}}\nsandbox: {mode: auto, network: full, readable: [" + here + "/proj]}";
  CAF_CHECK_EQUAL(where(team(server), severity::warning), strings{"8 agents[0].backend.sandbox.network"});
  CAF_CHECK_EQUAL(all(team(server + "\nenable_mcp_command_line: true")), "");
}

CAF_TEST(of two that say how folders are written the nearer holds and is named) {
  auto r = team("write_mode: isolated", "  coordination: {write_mode: legacy}\n");
  CAF_CHECK_EQUAL(first(r).workspace.write_mode, "isolated");
  CAF_CHECK_EQUAL(where(r, severity::warning), strings{"11 orchestrator.coordination.write_mode"});
  CAF_CHECK(says(r, "agent 'a': 'isolated'"));
  r = team("write_mode: auto", "  coordination: {write_mode: legacy}\n");
  CAF_CHECK_EQUAL(first(r).workspace.write_mode, "auto");
  for (auto* absent : {"", "write_mode: null"})
    CAF_CHECK_EQUAL(first(team(absent, "  coordination: {write_mode: legacy}\n")).workspace.write_mode, "legacy");
}

CAF_TEST(what becomes of files that the user changed may be said for all or for one) {
  auto policy = [](const load_result& r) { return first(r).workspace.on_drift; };
  CAF_CHECK_EQUAL(policy(team("")), "fail");
  CAF_CHECK_EQUAL(policy(team("drift_conflict_policy: skip")), "skip");
  CAF_CHECK_EQUAL(policy(team("", "  drift_conflict_policy: skip\n")), "skip");
  auto both = team("", "  drift_conflict_policy: skip\n  coordination: {drift_conflict_policy: prefer_presenter}\n");
  CAF_CHECK_EQUAL(policy(both), "prefer_presenter");
  CAF_CHECK_EQUAL(policy(team("drift_conflict_policy: fail", "  drift_conflict_policy: skip\n")), "fail");
  CAF_CHECK_EQUAL(where(team("drift_conflict_policy: ask")), strings{"7 agents[0].backend.drift_conflict_policy"});
}

CAF_TEST(a network of a later version is told to be that) {
  auto r =
      load(with("cwd: w") + "orchestrator: {snapshot_storage: s, agent_temporary_workspace: t}\nsandbox: {network: allowlist}\n");
  CAF_CHECK_EQUAL(where(r, severity::unavailable).size(), 1u);
  CAF_CHECK(says(r, "'allowlist' is not available yet"));
}

CAF_TEST(protected paths that protect nothing are told) {
  std::ofstream{here + "/proj/a.txt"} << "a";
  auto list = [&](const std::string& paths, const std::string& name = "/proj") {
    return team("context_paths:\n  - {path: " + here + name + ", permission: write, protected_paths: [" + paths + "]}");
  };
  for (auto* bad : {"../f", "'../..'", "''", "/etc", "sub/../../x"})
    CAF_CHECK_EQUAL(where(list(bad), severity::warning), strings{"8 agents[0].backend.context_paths[0].protected_paths"});
  auto good = "a.txt, not-yet/there, '*.lock', /a.txt, sub/../b, '.', " + here + "/proj/a.txt";
  CAF_CHECK_EQUAL(all(list(good)), "");
  auto r = list(here + "/link/a.txt", "/link");
  CAF_CHECK_EQUAL(all(r), "");
  auto context = first(r).workspace.context;
  CAF_REQUIRE_EQUAL(context.size(), 1u);
  CAF_CHECK_EQUAL(context[0].protected_paths, strings{here + "/proj/a.txt"});
  CAF_CHECK_EQUAL(where(list("'[[:digits:]]x'")), strings{"8 agents[0].backend.context_paths[0].protected_paths"});
  CAF_CHECK_EQUAL(all(list("'[[:digit:]]x'")), "");
  CAF_CHECK_EQUAL(all(list("../proj/a.txt", "/proj/a.txt")), ""); // of a single file its folder counts
}

CAF_TEST(what is wrong with a folder of all agents is told once where it stands) {
  std::filesystem::create_directories(here + "/proj/sub/own");
  auto team = [&](const std::string& own, const std::string& shared) {
    std::string text = "agents:\n";
    for (auto* id : {"a", "b"})
      text += "  - id: " + std::string{id} + "\n    backend: {type: chatcompletion, model: m, cwd: " + id
              + (*id == 'b' ? ", context_paths: [" + own + "]" : "") + "}\n";
    return load(text + "orchestrator:\n  snapshot_storage: s\n  agent_temporary_workspace: t\n  context_paths:\n" + shared);
  };
  auto write = [&](const std::string& name, const std::string& keep = {}) {
    return "{path: " + here + "/" + name + ", permission: write, protected_paths: ['" + (keep.empty() ? "a" : keep) + "']}";
  };
  CAF_CHECK_EQUAL(where(team("", "    - " + write("proj", "[[:foo:]]") + "\n    - " + write("proj/sub") + "\n")),
                  (strings{"10 orchestrator.context_paths[0].protected_paths", "11 orchestrator.context_paths[1]"}));
  // One that is given twice counts once, and those of an agent come behind those of all.
  auto twice = "    - " + here + "/./link\n    - " + write("proj") + "\n    - " + write("proj/sub", "[[:bar:]]") + "\n";
  CAF_CHECK_EQUAL(where(team("", twice)), strings{"12 orchestrator.context_paths[2].protected_paths"});
  CAF_CHECK_EQUAL(where(team(here + "/link, " + write("proj/sub/own", "[[:foo:]]"), "    - " + write("proj/sub") + "\n")),
                  (strings{"5 agents[1].backend.context_paths[1].protected_paths", "5 agents[1].backend.context_paths[1]"}));
}

CAF_TEST(an entry without a path is an error) {
  for (auto* bad : {"{path: ''}", "''", "null", "~", "{path: null}", "[a]", "{permission: write}"}) {
    auto r = team(std::string{"context_paths: ["} + bad + ", " + here + "/proj]");
    CAF_CHECK(!r.ok());
    CAF_CHECK_EQUAL(first(r).workspace.context.size(), 1u);
  }
}

CAF_TEST(an absolute workspace is judged and not used) {
  auto good = load(with("cwd: " + here + "/own") + "orchestrator: {snapshot_storage: s, agent_temporary_workspace: t}\n");
  CAF_CHECK_EQUAL(where(good), strings{});
  CAF_CHECK(says(good, "itself is neither read nor written"));
  std::string before = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ::setenv("HOME", (here + "/proj/sub").c_str(), 1);
  auto refused = [&](const std::string& cwd, const std::string& why, const std::string& orchestrator = {}) {
    auto r = load("agents:\n  - id: a\n    backend: {type: chatcompletion, model: m, cwd: '" + cwd
                  + "'}\norchestrator: {snapshot_storage: s, agent_temporary_workspace: t" + orchestrator + "}\n");
    CAF_CHECK_EQUAL(where(r), strings{"3 agents[0].backend.cwd"});
    CAF_CHECK(says(r, why));
  };
  refused("/", "is the whole file system");
  refused("~", "is or holds your home");
  refused(here + "/proj/", "is or holds your home");
  refused(here + "/conclave-home/x", "keeps its own files");
  refused(std::filesystem::current_path().string(), "where conclave was started");
  refused(here + "/link/x", "overlaps with", ", context_paths: [" + here + "/proj]");
  ::setenv("HOME", before.c_str(), 1);
  auto two = load("agents:\n  - id: a\n    backend: {type: chatcompletion, model: m, cwd: " + here
                  + "/w}\n  - id: b\n    backend: {type: chatcompletion, model: m, cwd: " + here
                  + "/w/in}\norchestrator: {snapshot_storage: s, agent_temporary_workspace: t}\n");
  CAF_CHECK_EQUAL(where(two), strings{"5 agents[1].backend.cwd"});
  CAF_CHECK(says(two, "lies in the `cwd` of agent 'a'"));
}

CAF_TEST(the tools for files are left out where the file says so) {
  auto excluded = [](const load_result& r) { return first(r).exclude_tools; };
  auto r = team("enable_mcp_command_line: true\nexclude_file_operation_mcps: true");
  CAF_CHECK_EQUAL(all(r), "");
  auto has = [&](const char* name) {
    auto names = excluded(r);
    return std::count(names.begin(), names.end(), name);
  };
  CAF_CHECK_EQUAL(has("mcp__filesystem__write_file"), 1);
  CAF_CHECK_EQUAL(has("mcp__workspace_tools__copy_file"), 1);
  CAF_CHECK_EQUAL(has("mcp__command_line__execute_command"), 0);
  CAF_CHECK(excluded(team("exclude_file_operation_mcps: false")).empty());
  CAF_CHECK(says(team("exclude_file_operation_mcps: true"), "nothing to work on files with"));
  r = team("enable_mcp_command_line: true\nexclude_file_operation_mcps: true\nmcp_servers: {filesystem: {command: npx}}");
  CAF_CHECK_EQUAL(has("mcp__filesystem__write_file"), 0); // that of the user stays
}

CAF_TEST(a name in a list of tools that fits none is told) {
  auto r = team("exclude_tools: [mcp__filesystem__write_fil, delete_file]");
  CAF_CHECK_EQUAL(where(r, severity::warning), strings{"7 agents[0].backend.exclude_tools"});
  CAF_CHECK(says(r, "did you mean 'mcp__filesystem__write_file'?"));
  CAF_CHECK(says(team("allowed_tools: [nope]"), "'nope' names no tool of this agent"));
  auto server = "\nmcp_servers: {s: {command: npx}}";
  CAF_CHECK_EQUAL(all(team(std::string{"exclude_tools: [nope, mcp__s__x]"} + server)), "");
  CAF_CHECK(says(team(std::string{"exclude_tools: [mcp__workspace_tools__copy]"} + server), "names no tool"));
  for (const auto* names : {"exclude_tools: [write_file]", "allowed_tools: [mcp__filesystem__write_file]"})
    CAF_CHECK(says(load(with(names)), "is a tool of workspaces, and without `cwd` the agent has none"));
  CAF_CHECK(says(load(with(std::string{"exclude_tools: [mcp__command_line__execute_command]"} + server)), "without `cwd`"));
  auto own = std::string{"\nmcp_servers: {filesystem: {command: npx}}"};
  for (auto words :
       {"exclude_tools: [write_file, nope]" + std::string{server}, "exclude_tools: [mcp__filesystem__write_file]" + own})
    CAF_CHECK_EQUAL(all(load(with(words))), "");
}

CAF_TEST(relative scripts of confined servers count from where conclave is started) {
  auto before = std::filesystem::current_path();
  std::filesystem::create_directories(here + "/tools");
  std::ofstream{here + "/tools/n.py"} << "x";
  std::ofstream{here + "/n.py"} << "x";
  std::filesystem::current_path(here);
  auto command = [](const load_result& r) { return first(r).mcp_servers.at(0).command; };
  auto server = [](const std::string& more) { return "mcp_servers: {s: {" + more + "}}"; };
  auto words = "command: python3, args: [./tools/n.py, n.py, '--config=tools/n.py', tools, ./gone.py, -x, '${cwd}/n.py', /etc]";
  auto r = team(server(words));
  CAF_CHECK_EQUAL(command(r), (strings{"python3", here + "/tools/n.py", here + "/n.py", "--config=" + here + "/tools/n.py", "tools",
                                       "./gone.py", "-x", "${cwd}/n.py", "/etc"}));
  auto settings =
      command(team(server("command: python3, args: [DATA=./tools/n.py, d-b.x=../" + std::filesystem::path(here).filename().string()
                          + "/n.py, DATA=tools/n.py, K=n.py, 'a b=./n.py', =./n.py, -c./n.py]")));
  CAF_CHECK_EQUAL(settings, (strings{"python3", "DATA=" + here + "/tools/n.py", "d-b.x=" + here + "/n.py", "DATA=tools/n.py",
                                     "K=n.py", "a b=./n.py", "=./n.py", "-c./n.py"}));
  auto first_word = [&](const load_result& of) { return command(of).at(1); };
  CAF_CHECK_EQUAL(first_word(team(server(std::string{words} + ", sandbox: 'off'"))), "./tools/n.py");
  CAF_CHECK_EQUAL(first_word(load(with(server(words)))), "./tools/n.py"); // without a workspace it starts here
  CAF_CHECK_EQUAL(command(team(server("command: ./tools/n.py"))), strings{here + "/tools/n.py"});
  r = team(server("command: python3, args: [n.py], cwd: tools"));
  CAF_CHECK_EQUAL(command(r), (strings{"python3", here + "/tools/n.py"}));
  auto found = first(r);
  CAF_CHECK_EQUAL(found.mcp_servers[0].cwd, here + "/tools");
  auto unset = [](const std::string&) -> const std::string* { return nullptr; };
  auto problems = environment_problems(team(server(words)).config, unset);
  auto told = [&](const std::string& part) {
    return std::any_of(problems.begin(), problems.end(), [&](auto& p) { return p.text.find(part) != std::string::npos; });
  };
  CAF_CHECK(told("'" + here + "/tools/n.py' is outside of what the sandbox shows this server"));
  CAF_CHECK(told("'./gone.py' is not in the folder where conclave is started"));
  problems =
      environment_problems(team(server(words) + "\nsandbox: {readable: [" + here + "/tools, " + here + "/n.py]}").config, unset);
  CAF_CHECK(!told("n.py' is outside"));
  problems = environment_problems(
      team(server("command: python3, args: [-c./n.py, -c./gone, K=./gone, --k=../gone, K=./n.py]")).config, unset);
  CAF_CHECK(told("'-c./n.py' stays as it is, so the server looks for that path in the workspace"));
  CAF_CHECK(told("'K=./gone' is not in the folder where conclave is started"));
  CAF_CHECK(told("'--k=../gone' is not in the folder where conclave is started"));
  CAF_CHECK(told("'" + here + "/n.py' is outside of what the sandbox shows this server"));
  std::filesystem::current_path(before);
}

CAF_TEST(what holds of a workspace can be seen) {
  auto r = load(with("cwd: work\ncommand_env: {A: b}\nsandbox: {network: none}")
                + "sandbox: {mode: auto, network: full}\norchestrator:\n  snapshot_storage: s\n  agent_temporary_workspace: t\n"
                  "  context_paths: [{path: "
                + here + "/proj, permission: write, protected_paths: [a, b]}]\n  coordination: {write_mode: isolated}\n");
  auto text = effective_text(r.config);
  for (auto line :
       {"agents[0].backend.cwd: work (line 6)", "agents[0].backend.command_env: {A: b} (line 7)",
        "agents[0].backend.sandbox.network: none (line 8)", "agents[0].backend.sandbox.mode: auto (line 9)",
        "agents[0].backend.write_mode: isolated (line 14)", "agents[0].backend.enable_mcp_command_line: false (default)",
        "orchestrator.snapshot_storage: files are kept below $CONCLAVE_HOME, whatever it says (line 11)"}) {
    CAF_MESSAGE(line);
    CAF_CHECK(text.find(std::string{line} + "\n") != std::string::npos);
  }
  CAF_CHECK(text.find("agents[0].backend.context_paths: " + here + "/proj: write, protected [a, b] (line 13)\n")
            != std::string::npos);
  CAF_CHECK(effective_text(load(with("")).config).find("sandbox") == std::string::npos);
}

CAF_TEST_FIXTURE_SCOPE_END()
