// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.home

#include "transports/home.hpp"

#include "caf/test/unit_test.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

using namespace conclave;
namespace fs = std::filesystem;

namespace {

// A temporary directory, and the environment put back afterwards.
struct fixture {
  fs::path dir;
  std::map<std::string, std::optional<std::string>> before;

  fixture() {
    std::string name = (fs::temp_directory_path() / "conclave-home-XXXXXX").string();
    dir = ::mkdtemp(name.data());
    for (auto* v : {"CONCLAVE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"}) {
      auto* value = std::getenv(v);
      before[v] = value ? std::optional<std::string>{value} : std::nullopt;
      ::unsetenv(v);
    }
  }
  ~fixture() {
    for (auto& [k, v] : before)
      v ? ::setenv(k.c_str(), v->c_str(), 1) : ::unsetenv(k.c_str());
    std::error_code ignored;
    fs::remove_all(dir, ignored);
  }
  void set(const char* name, const fs::path& value) { ::setenv(name, value.c_str(), 1); }
};

unsigned mode(const fs::path& p) {
  return static_cast<unsigned>(fs::status(p).permissions());
}

std::string contents(const fs::path& p) {
  std::ifstream in{p, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

std::size_t entries(const fs::path& p) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{p}, {}));
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(home, fixture)

CAF_TEST(the variables are asked in their order and directories are private) {
  std::string error;
  set("HOME", dir / "user");
  CAF_CHECK_EQUAL(home_dir(error), (dir / "user/.local/state/conclave").string());
  CAF_CHECK_EQUAL(mode(dir / "user/.local/state/conclave"), 0700u);
  set("XDG_STATE_HOME", dir / "state");
  CAF_CHECK_EQUAL(home_dir(error), (dir / "state/conclave").string());
  set("CONCLAVE_HOME", dir / "own/place");
  CAF_CHECK_EQUAL(home_dir(error), (dir / "own/place").string());
  CAF_CHECK_EQUAL(home_dir(error), (dir / "own/place").string()); // exists already
  CAF_CHECK_EQUAL(mode(dir / "own/place"), 0700u);
  set("CONCLAVE_HOME", ""); // empty is unset
  CAF_CHECK_EQUAL(home_dir(error), (dir / "state/conclave").string());
  CAF_CHECK_EQUAL(error, "");
}

CAF_TEST(a folder named tilde appeared for a home written with one) {
  std::string error;
  set("HOME", dir / "user");
  set("CONCLAVE_HOME", "~/own");
  CAF_CHECK_EQUAL(home_dir(error), (dir / "user/own").string());
  set("CONCLAVE_HOME", "~");
  CAF_CHECK_EQUAL(home_path(error), (dir / "user").string());
  CAF_CHECK_EQUAL(error, "");
  set("CONCLAVE_HOME", "~somebody/own");
  CAF_CHECK_EQUAL(home_dir(error), "");
  CAF_CHECK(error.find("CONCLAVE_HOME: '~somebody'") == 0);
  for (const std::string same : {"a/~", "./~", "/~", "x~", ""}) {
    auto path = same;
    CAF_CHECK_EQUAL(expand_home(path), "");
    CAF_CHECK_EQUAL(path, same);
  }
}

CAF_TEST(a relative home counts from the folder of the start) {
  std::string error;
  auto start = fs::current_path();
  fs::current_path(dir);
  set("CONCLAVE_HOME", "own/../mine");
  CAF_CHECK_EQUAL(home_dir(error), (dir / "mine").string());
  fs::current_path(start);
  CAF_CHECK_EQUAL(error, "");
  set("CONCLAVE_HOME", "");
  set("HOME", dir / "user");
  set("XDG_STATE_HOME", "relative"); // as its specification wants: ignored
  CAF_CHECK_EQUAL(home_path(error), (dir / "user/.local/state/conclave").string());
}

CAF_TEST(settings have two folders) {
  set("HOME", dir / "user");
  set("XDG_CONFIG_HOME", dir / "xdg");
  auto own = (dir / "user/.config/conclave").string();
  CAF_CHECK_EQUAL(config_dirs(), (std::vector<std::string>{(dir / "xdg/conclave").string(), own}));
  for (auto same : {dir / "user/.config", fs::path{""}, fs::path{"relative"}, fs::path{"~/.config"}}) {
    set("XDG_CONFIG_HOME", same);
    CAF_CHECK_EQUAL(config_dirs(), std::vector<std::string>{own});
  }
}

CAF_TEST(logs have a directory per task) {
  std::string error;
  set("CONCLAVE_HOME", dir);
  CAF_CHECK_EQUAL(log_dir("task-1", error), (dir / "logs/task-1").string());
  CAF_CHECK_EQUAL(log_dir("", error), (dir / "logs").string());
  CAF_CHECK_EQUAL(mode(dir / "logs/task-1"), 0700u);
  CAF_CHECK_EQUAL(error, "");
}

CAF_TEST(a home that cannot be says so) {
  std::string error;
  std::ofstream{dir / "file"} << "x";
  set("CONCLAVE_HOME", dir / "file");
  CAF_CHECK_EQUAL(home_dir(error), "");
  CAF_CHECK(error.find((dir / "file").string()) != std::string::npos);
  error.clear();
  set("CONCLAVE_HOME", dir / "file" / "below");
  CAF_CHECK_EQUAL(log_dir("t", error), "");
  CAF_CHECK(!error.empty());
}

CAF_TEST(a file is written whole or not at all) {
  auto target = dir / "file";
  CAF_CHECK_EQUAL(write_atomically(target.string(), "first"), "");
  CAF_CHECK_EQUAL(contents(target), "first");
  CAF_CHECK_EQUAL(mode(target), 0600u);
  std::string big(3u << 20, 'b');
  big[7] = '\0';
  CAF_CHECK_EQUAL(write_atomically(target.string(), big, 0644), "");
  CAF_CHECK(contents(target) == big);
  CAF_CHECK_EQUAL(entries(dir), 1u); // no temporary file is left
  auto error = write_atomically((dir / "no/such/file").string(), "x");
  CAF_CHECK(error.find("cannot write") == 0);
  fs::create_directory(dir / "folder");
  fs::create_directory(dir / "folder/full");
  error = write_atomically((dir / "folder").string(), "x"); // a rename over a directory fails
  CAF_CHECK(error.find("cannot replace") == 0);
  CAF_CHECK_EQUAL(entries(dir), 2u);
  CAF_CHECK_EQUAL(write_atomically("/dev/full/x", "x").empty(), false);
}

CAF_TEST_FIXTURE_SCOPE_END()
