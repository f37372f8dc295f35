// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// What an agent's workspace costs.
///
///   workspace_costs idle N HOME                resident KiB of each of N workspaces with a run prepared, and the threads of all
///   workspace_costs sandbox LAUNCHER DIR N     ms of N commands in turns: a new sandbox, bwrap, a command in a sandbox that is
///   there, a
///                                              plain spawn; at both tiers

#include "actors/message_types.hpp"
#include "actors/workspace.hpp"
#include "protocols/type_ids.hpp"
#include "support/process_cost.hpp"
#include "transports/outside.hpp"
#include "transports/sandbox.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace {

using namespace conclave;

std::size_t threads_now() {
  namespace fs = std::filesystem;
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator{}));
}

int idle(std::size_t n, const std::string& home) {
  caf::actor_system_config cfg;
  add_messages(cfg);
  cfg.set("scheduler.policy", caf::atom("sharing"));
  caf::actor_system sys{cfg};
  auto world = outside::of_machine();
  auto lanes = world->open_lanes("disk", disk_threads);
  std::filesystem::create_directories(home + "/work");
  caf::scoped_actor self{sys};
  std::vector<workspace_actor> all;
  all.reserve(n);
  auto before = bench::resident_kib();
  auto threads = threads_now();
  for (std::size_t i = 0; i < n; ++i) {
    char place[16];
    std::snprintf(place, sizeof place, "%08zx", i);
    workspace_parts p;
    p.outside = world;
    p.lanes = lanes;
    p.home = home;
    p.place = home + "/work/bench/" + place;
    p.task = "bench";
    p.number = static_cast<std::uint32_t>(i + 1);
    p.config.cwd = "w";
    p.config.commands = true;
    p.tier = sandbox_tier::namespaces;
    p.confines = true;
    all.push_back(spawn_workspace(sys, std::move(p)));
  }
  auto failed = false;
  for (std::size_t i = 0; i < n; ++i) {
    prepare_workspace p;
    p.of = run_ref{"bench", 1, i + 1};
    self->request(all[i], std::chrono::seconds(60), std::move(p))
        .receive([](const workspace_ready&) {},
                 [&failed](const caf::error& e) {
                   std::fprintf(stderr, "%s\n", caf::to_string(e).c_str());
                   failed = true;
                 });
  }
  if (failed)
    return 1;
  std::printf("%zu idle workspaces: %.1f KiB each, %zu threads more\n", n,
              static_cast<double>(bench::resident_kib() - before) / static_cast<double>(n), threads_now() - threads);
  for (auto& w : all)
    caf::anon_send_exit(w, caf::exit_reason::user_shutdown);
  return lanes->close(std::chrono::seconds(10)).empty() ? 0 : 1;
}

double ms_of(const std::function<void()>& what) {
  auto began = std::chrono::steady_clock::now();
  what();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
}

/// A program without any wall, until it has ended.
void spawn(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (auto& w : words)
    argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  int status = -1;
  if (::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0 || ::waitpid(pid, &status, 0) != pid
      || status != 0) {
    std::fprintf(stderr, "%s failed\n", words[0].c_str());
    std::exit(1);
  }
}

void run_in(sandbox& box, const std::string& folder) {
  std::promise<command_end> ended;
  sandbox_command c;
  c.command = "true";
  c.work_dir = folder;
  box.run(std::move(c), [&ended](command_end e) { ended.set_value(std::move(e)); });
  auto e = ended.get_future().get();
  if (e.why != command_end::reason::exited || e.status != 0) {
    std::fprintf(stderr, "the command failed: %s %s\n", e.error.c_str(), e.err.text.c_str());
    std::exit(1);
  }
}

int walls(const std::string& launcher, const std::string& folder, int times) {
  std::filesystem::create_directories(folder + "/work");
  std::filesystem::create_directories(folder + "/home");
  auto profile = [&](sandbox_tier tier) {
    sandbox_profile p;
    p.tier = tier;
    p.writable = {folder + "/work"};
    p.home = folder + "/home";
    p.env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", p.home}, {"TMPDIR", temporary_folder(p)}};
    return p;
  };
  auto open = [&](sandbox_tier tier) { return sandbox::open(outside::of_machine(), profile(tier), launcher); };
  const std::vector<std::string> bare{"sh", "-c", "true"};
  auto wrapped = [&](std::vector<std::string> how) {
    how.insert(how.begin(), {"bwrap", "--unshare-all"});
    how.insert(how.end(), bare.begin(), bare.end());
    return how;
  };
  const auto least = wrapped({"--ro-bind", "/", "/"});
  const auto equal =
      wrapped({"--ro-bind", "/usr",      "/usr",      "--symlink", "usr/bin",   "/bin",   "--symlink",      "usr/lib",
               "/lib",      "--symlink", "usr/lib64", "/lib64",    "--ro-bind", "/etc",   "/etc",           "--proc",
               "/proc",     "--dev",     "/dev",      "--tmpfs",   "/tmp",      "--bind", folder + "/work", folder + "/work"});
  std::map<std::string, std::vector<double>> taken;
  auto warm2 = open(sandbox_tier::namespaces), warm1 = open(sandbox_tier::landlock);
  run_in(*warm2, folder + "/work");
  run_in(*warm1, folder + "/work");
  for (int i = 0; i < times; ++i) {
    taken["plain"].push_back(ms_of([&] { spawn(bare); }));
    taken["bwrap"].push_back(ms_of([&] { spawn(least); }));
    taken["bwrap with a view"].push_back(ms_of([&] { spawn(equal); }));
    for (auto tier : {sandbox_tier::namespaces, sandbox_tier::landlock}) {
      auto fresh = open(tier);
      taken["start " + to_string(tier)].push_back(ms_of([&] { run_in(*fresh, folder + "/work"); }));
      auto& warm = tier == sandbox_tier::namespaces ? *warm2 : *warm1;
      taken["command " + to_string(tier)].push_back(ms_of([&] { run_in(warm, folder + "/work"); }));
    }
  }
  for (auto& [what, all] : taken) {
    std::sort(all.begin(), all.end());
    std::printf("%s: p50 %.2f ms, p90 %.2f ms\n", what.c_str(), all[all.size() / 2], all[all.size() * 9 / 10]);
  }
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "idle") == 0)
    return idle(std::strtoull(argv[2], nullptr, 10), argv[3]);
  if (argc == 5 && std::strcmp(argv[1], "sandbox") == 0)
    return walls(argv[2], argv[3], std::atoi(argv[4]));
  std::fputs("usage: workspace_costs idle N HOME | sandbox LAUNCHER DIR N\n", stderr);
  return 2;
}
