// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A workspace in virtual time: its folders are real, below a scratch folder; its lane is run by the scheduler; the launcher of its
/// sandbox is played by the test, which says what a command writes and when it ends.

#include "actors/workspace.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_paths.hpp"
#include "support/fixture.hpp"
#include "support/scratch_folder.hpp"
#include "support/simulated_outside.hpp"
#include "transports/sandbox_lines.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace conclave::test {

/// What a launcher is told, and what the test lets it say.
class played_launcher final : public child_process {
public:
  explicit played_launcher(callbacks cb) : cb_(std::move(cb)) {}

  bool write(std::string bytes) override {
    for (std::size_t at = 0, end = 0; (end = bytes.find('\n', at)) != std::string::npos; at = end + 1) {
      sandbox_line line;
      if (sandbox_line::read(std::string_view{bytes}.substr(at, end - at), line))
        told.push_back(std::move(line));
    }
    return true;
  }
  void close() override { closed = true; }
  void kill() override {}
  int pid() const override { return 1; }
  std::string last_words() const override { return {}; }
  void log(std::string) override {}
  void consumed(std::size_t) override {}

  /// The lines of this word, as their ids.
  std::vector<std::int64_t> ids_of(const std::string& word) const {
    std::vector<std::int64_t> out;
    for (auto& line : told)
      if (line.word == word)
        out.push_back(line.number("id"));
    return out;
  }

  void ends(std::int64_t id, const std::string& reason = "exit", int status = 0, const std::string& out = "") {
    sandbox_line line{"ended"};
    line.add("id", id).add("reason", reason).add("status", status).add("ms", 5).add("out", out).add("err", "");
    say(line);
  }

  /// Answers a "read".
  void wrote(std::int64_t id, const std::string& out) {
    sandbox_line line{"output"};
    line.add("id", id).add("running", "1").add("out", out).add("err", "");
    say(line);
  }

  void dies() { cb_.on_exit({true, 137, {}}); }

  /// As after its end: a child holds on to nobody then.
  void let_go() { cb_ = {}; }

  std::vector<sandbox_line> told;
  bool closed = false;

private:
  void say(const sandbox_line& line) {
    auto text = line.text();
    text.pop_back();
    cb_.on_lines({text});
  }

  callbacks cb_;
};

struct workspace_fixture : fixture {
  scratch_folder folder;
  std::vector<std::shared_ptr<played_launcher>> launchers; ///< in the order of their starts
  std::shared_ptr<simulated_outside> world;
  workspace_actor aut;
  workspace_parts parts;
  std::vector<caf::actor> callers;
  std::vector<tool_result> results; ///< of calls, in the order they came
  std::vector<kept_files> kept;
  std::vector<caf::error> errors;
  run_ref run{"t", 1, 7};
  bool ready = false; ///< it is, for the run it was asked for last

  workspace_fixture() {
    simulated_world w;
    w.child = [this](child_options, child_process::callbacks cb) {
      launchers.push_back(std::make_shared<played_launcher>(std::move(cb)));
      return launchers.back();
    };
    world = std::make_shared<simulated_outside>(sys, std::move(w));
    parts.outside = world;
    parts.lanes = world->open_lanes("disk", disk_threads);
    parts.home = folder.path;
    parts.place = folder.path + "/work/t/01234567";
    parts.task = "t";
    parts.config.cwd = "w";
    parts.config.commands = true;
    parts.tier = sandbox_tier::namespaces;
    parts.launcher = "conclave-sandbox";
    parts.limits.keep_free = 0;
  }

  ~workspace_fixture() {
    for (auto& c : callers)
      kill(c);
    kill(aut);
    for (auto& l : launchers)
      l->let_go();
  }

  /// Begins it, with a run prepared.
  void start() {
    aut = spawn_workspace(sys, parts);
    prepare();
  }

  void prepare() {
    ask_to_prepare();
    CAF_REQUIRE(ready);
  }

  void ask_to_prepare() {
    ready = false;
    ask<workspace_ready>(prepare_workspace{run, false, false, {}, {}}, [this](workspace_ready&) { ready = true; });
  }

  template <class Reply, class Request, class F>
  void ask(Request r, F then) {
    callers.push_back(sys.spawn([this, to = aut, r = std::move(r), then](caf::event_based_actor* me) mutable {
      me->request(to, caf::infinite, std::move(r)).then(then, [this](caf::error& e) { errors.push_back(std::move(e)); });
    }));
    settle_disk();
  }

  /// Delivers everything, also what the lane is to do now.
  void settle_disk() {
    do {
      settle();
      sched.advance_time(std::chrono::milliseconds(0));
    } while (sched.has_job());
  }

  void call(const std::string& tool, const std::string& arguments) {
    tool_invocation i;
    i.task = run.task;
    i.agent = "a";
    i.run = run.run;
    i.call = {"c" + std::to_string(results.size()), tool, arguments};
    ask<tool_result>(std::move(i), [this](tool_result& r) { results.push_back(std::move(r)); });
  }

  void command(const std::string& text) { call("mcp__command_line__execute_command", "{\"command\":" + wire::quote(text) + "}"); }
  void job(const std::string& text) {
    call("mcp__command_line__execute_command_background", "{\"command\":" + wire::quote(text) + "}");
    if (!launchers.empty() && !launchers.back()->told.empty() && launchers.back()->told.back().word == "read") {
      auto& box = *launchers.back(); // whether it began
      auto id = box.told.back().number("id");
      box.told.pop_back();
      box.wrote(id, "");
      settle_disk();
    }
  }
  void keep() {
    ask<kept_files>(keep_workspace{run, false}, [this](kept_files& f) { kept.push_back(std::move(f)); });
  }

  std::string path(const std::string& name) const { return workspace_paths::work(parts.place) + "/" + name; }
  void write(const std::string& name, std::size_t bytes) {
    std::filesystem::create_directories(std::filesystem::path{path(name)}.parent_path());
    std::ofstream{path(name), std::ios::binary} << std::string(bytes, 'x');
  }
  void remove(const std::string& name) { std::filesystem::remove_all(path(name)); }

  void wait(std::chrono::milliseconds t) {
    sched.advance_time(t);
    settle_disk();
  }

  bool said(const std::string& what) const { return !results.empty() && results.back().text.find(what) != std::string::npos; }
};

} // namespace conclave::test
