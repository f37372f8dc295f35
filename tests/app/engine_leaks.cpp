// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// One process that asks again and again holds no more descriptors, threads and children after the twelfth answer than after the
// second.

#define CAF_SUITE app.engine_leaks

#include "app/engine.hpp"
#include "caf/test/unit_test.hpp"
#include "support/places.hpp"
#include "support/scratch_folder.hpp"
#include "support/scripted_team.hpp"
#include "support/verified_store.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <malloc.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace conclave;
namespace fs = std::filesystem;

namespace {

constexpr int asks = 12;

struct folder : test::scratch_folder {
  folder() { ::setenv("CONCLAVE_HOME", (path + "/home").c_str(), 1); }
  ~folder() { test::verify_store(path + "/tasks.db"); }
};

struct usage {
  std::size_t descriptors = 0, threads = 0, children = 0;
  bool operator<=(const usage& o) const { return descriptors <= o.descriptors && threads <= o.threads && children <= o.children; }
};

std::size_t entries(const char* path) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator{}));
}

usage now() {
  usage u{entries("/proc/self/fd"), entries("/proc/self/task"), 0};
  for (auto& t : fs::directory_iterator("/proc/self/task")) {
    std::ifstream in(t.path() / "children");
    u.children += static_cast<std::size_t>(std::distance(std::istream_iterator<std::string>(in), {}));
  }
  return u;
}

/// What is given back after an answer is given back on other threads: wait for it, with a deadline.
usage settled(const usage& wanted) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  auto u = now();
  while (!(u <= wanted) && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    u = now();
  }
  return u;
}

void ask_again_and_again(const run_config& team, const folder& home) {
  engine_options o;
  o.store_path = home.path + "/tasks.db";
  o.log_root = home.path + "/logs";
  engine eng{o};
  CAF_REQUIRE_EQUAL(eng.error(), "");
  auto ask = [&] {
    auto out = eng.ask(team, {"q", {}});
    CAF_CHECK(out.kind == outcome_kind::answered);
    CAF_CHECK_EQUAL(out.error, "");
  };
  ask();
  ask(); // pools and lazily made parts are there now
  auto before = now();
  for (int i = 2; i < asks; ++i)
    ask();
  auto after = settled(before);
  CAF_CHECK_LESS_OR_EQUAL(after.descriptors, before.descriptors);
  CAF_CHECK_LESS_OR_EQUAL(after.threads, before.threads);
  CAF_CHECK_LESS_OR_EQUAL(after.children, before.children);
}

} // namespace

CAF_TEST(a scripted team leaves nothing behind) {
  folder home;
  run_config team;
  team.agents = {test::scripted_member("a"), test::scripted_member("b")};
  ask_again_and_again(team, home);
}

CAF_TEST(what an ask allocated is free again after it) {
  // CONCLAVE_TEST_LEAK_ASKS=3000 for the long loop. The bound of 1 MiB is for 3,000 asks: less than the smallest actor of each.
  auto* wanted = std::getenv("CONCLAVE_TEST_LEAK_ASKS");
  const int rounds = wanted ? std::atoi(wanted) : 150;
  const std::size_t allowed = std::size_t{1} << 20;
  const std::size_t per_ask = allowed / 3000;
  folder home;
  run_config team;
  team.agents = {test::scripted_member("a"), test::scripted_member("b")};
  team.rules.coordination_ms = 1'800'000; // timers that outlive the task by far
  engine_options o;
  o.store_path = home.path + "/tasks.db";
  o.log_root = home.path + "/logs";
  engine eng{o};
  CAF_REQUIRE_EQUAL(eng.error(), "");
  auto ask = [&] { return eng.ask(team, {"q", {}}).kind == outcome_kind::answered; };
  for (int i = 0; i < 50; ++i) // pools, caches and arenas have their size now
    CAF_REQUIRE(ask());
  auto in_use = [] { return ::mallinfo2().uordblks; };
  auto before = in_use();
  for (int i = 0; i < rounds; ++i)
    CAF_REQUIRE(ask());
  // The last actors end on other threads; what does not end at all stays above the bound.
  const auto bound = before + std::max<std::size_t>(static_cast<std::size_t>(rounds) * per_ask, 256 * 1024);
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (in_use() > bound && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CAF_MESSAGE(rounds << " asks: " << (static_cast<long long>(in_use()) - static_cast<long long>(before)) / rounds << " bytes each");
  CAF_CHECK_LESS_OR_EQUAL(in_use(), bound);
}

CAF_TEST(a team with a tool server leaves nothing behind) {
  folder home;
  run_config team;
  team.agents = {test::scripted_member("a"), test::scripted_member("b")};
  mcp_server_config tools;
  tools.name = "echo";
  tools.type = "stdio";
  tools.command = {"python3", test::source_dir() + "/tests/support/bad_mcp.py", "echo"};
  team.agents[0].backend.mcp_servers = {tools};
  ask_again_and_again(team, home);
}

CAF_TEST(a team on a node leaves nothing behind) {
  auto binary = test::binary_dir() + "/conclave";
  if (!fs::exists(binary)) {
    CAF_MESSAGE("skipped: " << binary << " is not built");
    CAF_CHECK(true);
    return;
  }
  folder home; // of both, so that they trust each other
  int ends[2];
  CAF_REQUIRE_EQUAL(::pipe2(ends, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  const char* argv[] = {binary.c_str(), "node", "--listen", "127.0.0.1:0", nullptr};
  pid_t pid = -1;
  auto rc = ::posix_spawn(&pid, binary.c_str(), &actions, nullptr, const_cast<char**>(argv), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  CAF_REQUIRE_EQUAL(rc, 0);
  std::string line;
  for (char c = 0; ::read(ends[0], &c, 1) == 1 && c != '\n';)
    line += c;
  ::close(ends[0]);
  auto at = line.rfind(' ');
  CAF_CHECK(at != std::string::npos);
  if (at != std::string::npos) {
    run_config team;
    team.cluster.nodes = {{"n", line.substr(at + 1)}};
    team.agents = {test::scripted_member("a"), test::scripted_member("b")};
    team.agents[1].node = "n";
    ask_again_and_again(team, home);
  }
  ::kill(pid, SIGTERM);
  int status = 0;
  ::waitpid(pid, &status, 0);
  CAF_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
