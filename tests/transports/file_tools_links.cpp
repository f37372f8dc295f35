// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.file_tools_links

#include "caf/test/unit_test.hpp"
#include "support/file_tools_fixture.hpp"

#include <map>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

void each(const std::function<void(file_tools_fixture&)>& body) {
  each_way([&body](confined_dir::way how, const workspace_tree& t) {
    file_tools_fixture f(how, t);
    body(f);
  });
}

bool holds(const std::string& folder, const std::string& canary) {
  for (auto& e : fs::recursive_directory_iterator(folder))
    if (fs::is_regular_file(e.symlink_status()) && got(e.path().string()).find(canary) != std::string::npos)
      return true;
  return false;
}

std::size_t names_in(const std::string& path) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), {}));
}

} // namespace

CAF_TEST(links out are neither read nor written through) {
  each([](file_tools_fixture& f) {
    fs::create_symlink("/etc/passwd", f.W + "/passwd");
    fs::create_symlink(f.OUT + "/secret.txt", f.W + "/leak");
    fs::create_symlink("../out", f.W + "/dir");
    fs::create_symlink(f.OUT + "/absent", f.W + "/dangling");
    for (auto* p : {"passwd", "leak", "dir/secret.txt", "dangling", "dir/absent"}) {
      CAF_CHECK_EQUAL(f.read(p), "E_SYMLINK");
      CAF_CHECK_EQUAL(f.write(p), "E_SYMLINK");
      CAF_CHECK_EQUAL(f.edit(p, "o", "x"), "E_SYMLINK");
      CAF_CHECK_EQUAL(f.on("get_file_info", p), "E_SYMLINK");
      CAF_CHECK_EQUAL(f.copy(p, "taken"), "E_SYMLINK");
      CAF_CHECK_EQUAL(f.compare(p, p), "E_SYMLINK");
      CAF_CHECK(!f.says("canary"));
    }
    CAF_CHECK_EQUAL(f.write("dir/new"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.on("create_directory", "dir/new"), "E_SYMLINK");
    for (auto* tool : {"list_directory", "directory_tree", "list_directory_with_sizes"})
      CAF_CHECK_EQUAL(f.on(tool, "dir"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":"dir","pattern":"*"})"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.copy_batch("dir", "b"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.erase_batch("dir"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.erase("dir/secret.txt"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.move("dir/secret.txt", "taken"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.write("mine"), "ok");
    CAF_CHECK_EQUAL(f.move("mine", "dir/mine"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.copy("mine", "dir/mine"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.on("list_directory", "."), "ok"); // what they are is told
    CAF_CHECK(f.says("[LINK] leak -> "));
    CAF_CHECK(!holds(f.W, "canary"));
    CAF_CHECK_EQUAL(names_in(f.OUT), 1u);
    CAF_CHECK_EQUAL(got(f.OUT + "/secret.txt"), "out-canary\n");
  });
}

CAF_TEST(a link is judged by where it leads) {
  each([](file_tools_fixture& f) {
    put(f.W + "/real/f", "inside");
    fs::create_symlink("real/f", f.W + "/here");
    fs::create_symlink(f.W + "/real", f.W + "/whole");
    fs::create_symlink(f.RO + "/r.txt", f.W + "/other_root");
    CAF_CHECK_EQUAL(f.read("here"), "ok");
    CAF_CHECK_EQUAL(f.read("whole/f"), "ok");
    CAF_CHECK_EQUAL(f.text, "inside");
    CAF_CHECK_EQUAL(f.erase("real/f"), "ok"); // read by another name
    CAF_CHECK_EQUAL(f.read("other_root"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.write("here"), "E_SYMLINK");
    put(f.WC + "/.git/config", "git-canary");
    put(f.WC + "/.env", "env-canary");
    fs::create_symlink(".git", f.WC + "/innocent");
    fs::create_symlink(".env", f.WC + "/settings");
    CAF_CHECK_EQUAL(f.write(f.WC + "/innocent/config"), "E_SYMLINK");
    CAF_CHECK_EQUAL(f.read(f.WC + "/settings"), "E_SECRET");
    CAF_CHECK_EQUAL(f.copy(f.WC + "/settings", "s"), "E_SECRET");
    CAF_CHECK_EQUAL(f.compare(f.WC + "/settings", f.F), "E_SECRET");
    CAF_CHECK(!f.says("canary"));
  });
}

CAF_TEST(copies leave outward links behind and say so) {
  each([](file_tools_fixture& f) {
    put(f.W + "/d/sub/own", "own");
    fs::create_symlink(f.OUT, f.W + "/d/sub/out");
    fs::create_symlink("../../../out/secret.txt", f.W + "/d/sub/leak");
    fs::create_symlink("own", f.W + "/d/sub/inner");
    CAF_CHECK_EQUAL(f.copy("d", "c"), "ok");
    CAF_CHECK(f.says("sub/leak") && f.says("sub/out") && f.says("E_SYMLINK"));
    CAF_CHECK(!there(f.W + "/c/sub/out") && !there(f.W + "/c/sub/leak"));
    CAF_CHECK(fs::is_symlink(f.W + "/c/sub/inner"));
    CAF_CHECK_EQUAL(got(f.W + "/c/sub/inner"), "own");
    CAF_CHECK_EQUAL(f.copy_batch("d", "b"), "ok");
    CAF_CHECK(f.says("E_SYMLINK"));
    CAF_CHECK_EQUAL(got(f.W + "/b/sub/own"), "own");
    CAF_CHECK(!there(f.W + "/b/sub/out") && !there(f.W + "/b/sub/leak"));
    CAF_CHECK_EQUAL(f.copy("d", f.WC + "/c"), "ok"); // into a folder of the user goes no link at all
    CAF_CHECK(!there(f.WC + "/c/sub/inner"));
    CAF_CHECK_EQUAL(f.move("d", f.WC + "/m"), "E_SYMLINK");
    put(f.W + "/e/sub/own", "other");
    fs::create_directories(f.W + "/e/sub/out");
    put(f.W + "/e/sub/out/secret.txt", "mine");
    CAF_CHECK_EQUAL(f.call("compare_directories", R"({"dir1":"d","dir2":"e","show_content_diff":true})"), "ok");
    CAF_CHECK(!f.says("canary") && f.says("-own") && f.says("symbolic link"));
    CAF_CHECK(!holds(f.W, "canary") && !holds(f.WC, "canary"));
  });
}

CAF_TEST(deleting a link takes the link alone) {
  each([](file_tools_fixture& f) {
    fs::create_symlink(f.OUT + "/secret.txt", f.W + "/leak");
    fs::create_symlink(f.OUT, f.W + "/leakdir");
    put(f.W + "/d/a", "a");
    fs::create_symlink(f.OUT, f.W + "/d/out");
    CAF_CHECK_EQUAL(f.erase("leak"), "ok");
    CAF_CHECK_EQUAL(f.erase("leakdir", true), "ok");
    CAF_CHECK_EQUAL(f.read("d/a"), "ok");
    CAF_CHECK_EQUAL(f.erase("d", true), "ok");
    CAF_CHECK(!there(f.W + "/leak") && !there(f.W + "/leakdir") && !there(f.W + "/d"));
    CAF_CHECK_EQUAL(got(f.OUT + "/secret.txt"), "out-canary\n");
  });
}

CAF_TEST(cycles of links end) {
  each([](file_tools_fixture& f) {
    put(f.W + "/a/x", "x");
    put(f.W + "/b/y", "y");
    fs::create_symlink("../b", f.W + "/a/b");
    fs::create_symlink("../a", f.W + "/b/a");
    CAF_CHECK_EQUAL(f.on("directory_tree", "."), "ok");
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":".","pattern":"x"})"), "ok");
    CAF_CHECK_EQUAL(f.text, f.W + "/a/x\n"); // once
    CAF_CHECK_EQUAL(f.copy("a", "c"), "ok");
    CAF_CHECK(f.says("\"file_count\":1"));
    fs::create_symlink("loop", f.W + "/loop");
    CAF_CHECK_EQUAL(f.read("loop"), "E_SYMLINK");
  });
}

CAF_TEST(a hard link keeps what is elsewhere) {
  each([](file_tools_fixture& f) {
    fs::create_hard_link(f.RO + "/r.txt", f.W + "/hard");
    CAF_CHECK_EQUAL(f.read("hard"), "ok");
    CAF_CHECK_EQUAL(f.write("hard", "mine"), "ok");
    CAF_CHECK_EQUAL(got(f.RO + "/r.txt"), "readable\n");
    fs::create_hard_link(f.RO + "/r.txt", f.W + "/hard2");
    CAF_CHECK_EQUAL(f.edit("hard2", "readable", "mine"), "ok");
    CAF_CHECK_EQUAL(got(f.RO + "/r.txt"), "readable\n");
    CAF_CHECK_EQUAL(got(f.W + "/hard2"), "mine\n");
  });
}

CAF_TEST(what is no file hangs nothing) {
  each([](file_tools_fixture& f) {
    put(f.W + "/d/own", "own");
    CAF_REQUIRE_EQUAL(::mkfifo((f.W + "/d/fifo").c_str(), 0600), 0);
    CAF_CHECK_EQUAL(f.read("d/fifo"), "error");
    CAF_CHECK_EQUAL(f.write("d/fifo"), "error");
    CAF_CHECK_EQUAL(f.copy("d/fifo", "x"), "error");
    CAF_CHECK_EQUAL(f.erase("d/fifo"), "error");
    CAF_CHECK_EQUAL(f.copy("d", "c"), "ok");
    CAF_CHECK(f.says("fifo") && !there(f.W + "/c/fifo"));
    CAF_CHECK_EQUAL(f.copy_batch("d", "b"), "ok");
    CAF_CHECK_EQUAL(f.call("compare_directories", R"({"dir1":"d","dir2":"c","show_content_diff":true})"), "ok");
    CAF_CHECK_EQUAL(f.on("directory_tree", "."), "ok");
    CAF_CHECK_EQUAL(f.on("get_file_info", "d/fifo"), "ok");
    CAF_CHECK(f.says("type: other"));
  });
}

CAF_TEST(mount points are neither copied nor deleted) {
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    std::cout << "skipped: mounts (no privilege)" << std::endl;
    return;
  }
  for (auto how : {confined_dir::way::best, confined_dir::way::components}) {
    workspace_tree t;
    file_tools_fixture f(how, t);
    put(f.W + "/d/own", "own");
    fs::create_directories(f.W + "/d/m");
    CAF_REQUIRE_EQUAL(::mount(f.OUT.c_str(), (f.W + "/d/m").c_str(), nullptr, MS_BIND, nullptr), 0);
    CAF_CHECK_EQUAL(f.read("d/m/secret.txt"), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.write("d/m/new"), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.copy("d", "c"), "ok");
    CAF_CHECK(f.says("mount point") && !there(f.W + "/c/m"));
    CAF_CHECK_EQUAL(f.read("d/own"), "ok");
    CAF_CHECK_EQUAL(f.erase("d", true), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.erase_batch("d"), "ok");
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":".","pattern":"secret"})"), "ok");
    CAF_CHECK_EQUAL(f.text, "No matches found");
    CAF_CHECK_EQUAL(got(f.OUT + "/secret.txt"), "out-canary\n");
    CAF_CHECK_EQUAL(::umount2((f.W + "/d/m").c_str(), MNT_DETACH), 0);
  }
}

CAF_TEST(no race makes a tool leave its root) {
  each([](file_tools_fixture& f) {
    put(f.W + "/d/f", "in");
    put(f.OUT + "/f", "out-canary");
    fs::create_symlink(f.OUT, f.W + "/swap");
    int leaks = 0;
    std::map<std::string, int> seen;
    int n = 0;
    while_swapping(f.W + "/d", f.W + "/swap", [&] {
      auto tried = [&](const std::string& code) {
        ++seen[code];
        leaks += f.says("canary");
      };
      tried(f.read("d/f"));
      tried(f.write("d/new" + std::to_string(n % 3)));
      tried(f.copy("d", "c" + std::to_string(n)));
      tried(f.erase("c" + std::to_string(n), true));
      tried(f.erase("d/new" + std::to_string(n % 3)));
      tried(f.call("compare_directories", R"({"dir1":"d","dir2":"swap","show_content_diff":true})"));
      tried(f.move("d/f", "d/g"));
      tried(f.move("d/g", "d/f"));
      ++n;
    });
    CAF_CHECK_EQUAL(leaks, 0);
    CAF_CHECK(seen["ok"] > 0);
    CAF_CHECK(seen["E_SYMLINK"] > 0);
    CAF_CHECK(!holds(f.W, "canary"));
    CAF_CHECK_EQUAL(names_in(f.OUT), 2u);
    CAF_CHECK_EQUAL(got(f.OUT + "/f"), "out-canary");
  });
}
