// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.confined_dir

#include "transports/confined_dir.hpp"

#include "caf/test/unit_test.hpp"
#include "support/workspace_tree.hpp"

#include <cerrno>
#include <map>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

confined_dir opened(const std::string& path, confined_dir::way how) {
  auto dir = confined_dir::open(path, how);
  CAF_REQUIRE(dir.ok());
  return std::move(dir.value);
}

std::string text_of(const confined_dir& dir, const std::string& path) {
  auto file = dir.open_file(path);
  if (!file.ok())
    return "error: " + to_text(file.error);
  return read_bytes(file.value.fd.get(), 0, 1000).value;
}

dir_fault fault_of_read(const confined_dir& dir, const std::string& path) {
  return dir.open_file(path).error.what;
}

std::size_t names_in(const std::string& path) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), {}));
}

unsigned mode_of(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 ? st.st_mode & 07777U : 0;
}

bool is(dir_fault a, dir_fault b) {
  if (a != b)
    CAF_MESSAGE("got: " << to_text({a, "", 0}) << ", wanted: " << to_text({b, "", 0}));
  return a == b;
}

} // namespace

CAF_TEST(reading follows links that stay beneath and no others) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/a.txt", "a");
    put(t / "w/deep/er/b.txt", "b");
    put(t / "out/secret", "secret");
    put(t / "w10/f", "neighbour");
    fs::create_symlink("deep/er", t / "w/short");
    fs::create_symlink("../../a.txt", t / "w/deep/er/up");
    fs::create_symlink(t / "w/a.txt", t / "w/whole");
    fs::create_symlink("short/up", t / "w/chain");
    fs::create_symlink(t / "out/secret", t / "w/leak");
    fs::create_symlink("../out/secret", t / "w/leak2");
    fs::create_symlink(t / "out", t / "w/leakdir");
    fs::create_symlink(t / "w10/f", t / "w/prefix");
    fs::create_symlink("../w/a.txt", t / "w/around");
    fs::create_symlink("/proc/self/root" + (t / "out/secret"), t / "w/magic");
    fs::create_symlink("loop2", t / "w/loop");
    fs::create_symlink("loop", t / "w/loop2");
    fs::create_symlink("missing", t / "w/dangling");
    auto dir = opened(t / "w", how);
    CAF_CHECK_EQUAL(text_of(dir, "a.txt"), "a");
    CAF_CHECK_EQUAL(text_of(dir, "./deep//er/./b.txt"), "b");
    CAF_CHECK_EQUAL(text_of(dir, "short/b.txt"), "b");
    CAF_CHECK_EQUAL(text_of(dir, "short/up"), "a");
    CAF_CHECK_EQUAL(text_of(dir, "whole"), "a");
    CAF_CHECK_EQUAL(text_of(dir, "chain"), "a");
    CAF_CHECK_EQUAL(dir.open_file("chain").value.path, "a.txt"); // found, and so judged, where it is
    CAF_CHECK_EQUAL(dir.open_folder("short").value.path, "deep/er");
    for (auto* out : {"leak", "leak2", "leakdir/secret", "prefix", "around", "magic", "../out/secret", "deep/../../out/secret"})
      CAF_CHECK(is(fault_of_read(dir, out), dir_fault::escapes));
    CAF_CHECK(is(fault_of_read(dir, "loop"), dir_fault::link));
    CAF_CHECK(is(fault_of_read(dir, "dangling"), dir_fault::absent));
    CAF_CHECK(is(fault_of_read(dir, "a.txt/x"), dir_fault::not_folder));
    CAF_CHECK(is(fault_of_read(dir, "deep"), dir_fault::folder));
    CAF_CHECK(is(fault_of_read(dir, std::string(300, 'n')), dir_fault::bad_path));
    CAF_CHECK(is(fault_of_read(dir, std::string("a.txt\0x", 7)), dir_fault::bad_path));
    CAF_CHECK(is(dir.open_folder("leakdir").error.what, dir_fault::escapes));
    CAF_CHECK(is(dir.find("leakdir").error.what, dir_fault::escapes));
    CAF_CHECK(dir.find("").ok());
    CAF_CHECK(dir.look("leak").value.kind == entry_kind::link);
  });
}

CAF_TEST(a root that is a link is resolved once and held) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "real/f", "first");
    put(t / "other/f", "second");
    fs::create_symlink(t / "real", t / "link");
    auto dir = opened(t / "link", how);
    CAF_CHECK_EQUAL(dir.path(), t / "real");
    fs::remove(t / "link");
    fs::create_symlink(t / "other", t / "link");
    CAF_CHECK_EQUAL(text_of(dir, "f"), "first");
    fs::rename(t / "real", t / "moved");
    fs::create_symlink(t / "other", t / "real");
    CAF_CHECK_EQUAL(text_of(dir, "f"), "first");
    CAF_CHECK(!confined_dir::open(t / "nowhere", how).ok());
    CAF_CHECK(is(confined_dir().open_file("f").error.what, dir_fault::absent));
  });
}

CAF_TEST(what writes follows no link at all) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/in/f", "in");
    put(t / "out/f", "out");
    fs::create_symlink("in", t / "w/here");
    fs::create_symlink(t / "out", t / "w/there");
    fs::create_symlink(t / "out/f", t / "w/final");
    fs::create_symlink("in/f", t / "w/inner");
    auto dir = opened(t / "w", how);
    for (auto* path : {"here/f", "there/f", "final", "inner", "there/new"}) {
      CAF_CHECK(is(dir.write(path, "x", {}).error.what, dir_fault::link));
      CAF_CHECK(is(dir.write(path, "x", {if_exists::fail, {}, 0, true}).error.what, dir_fault::link));
    }
    CAF_CHECK(is(dir.make_folders("there/sub").what, dir_fault::link));
    CAF_CHECK(is(dir.make_folders("here").what, dir_fault::link));
    CAF_CHECK(is(dir.remove("there/f").what, dir_fault::link));
    CAF_CHECK(is(dir.remove_folder("there/f").what, dir_fault::link));
    auto refused = dir.remove_tree("there", {}, [](auto&) { return walk_step::on; }).what;
    CAF_CHECK(refused == dir_fault::link || refused == dir_fault::not_folder); // by openat2 or without
    CAF_CHECK(is(dir.move("in/f", dir, "there/g").what, dir_fault::link));
    CAF_CHECK(is(dir.move("there/f", dir, "g").what, dir_fault::link));
    CAF_CHECK(is(dir.make_link("there/l", "f").what, dir_fault::link));
    CAF_CHECK(is(dir.write("../out/f", "x", {}).error.what, dir_fault::escapes));
    CAF_CHECK_EQUAL(got(t / "out/f"), "out");
    CAF_CHECK_EQUAL(got(t / "w/in/f"), "in");
    CAF_CHECK_EQUAL(names_in(t / "out"), 1u);
    CAF_CHECK(dir.remove("there").ok()); // the link alone
    CAF_CHECK(!there(t / "w/there"));
    CAF_CHECK_EQUAL(got(t / "out/f"), "out");
  });
}

CAF_TEST(a file is written whole with its mode kept) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/old", "before");
    fs::permissions(t / "w/old", fs::perms(0750));
    auto dir = opened(t / "w", how);
    auto old = dir.look("old").value;
    auto written = dir.write("old", "after", {});
    CAF_REQUIRE(written.ok());
    CAF_CHECK_EQUAL(got(t / "w/old"), "after");
    CAF_CHECK_EQUAL(mode_of(t / "w/old"), 0750u);
    CAF_CHECK(!written.value.same_file(old));
    CAF_CHECK_EQUAL(written.value.ctime_ns, dir.look("old").value.ctime_ns); // what a later look compares with
    CAF_CHECK(is(dir.write("old", "x", {if_exists::fail, {}, 0, true}).error.what, dir_fault::exists));
    CAF_CHECK(is(dir.write("old", "x", {if_exists::replace, old, 0, true}).error.what, dir_fault::changed));
    CAF_CHECK(dir.write("old", "again", {if_exists::replace, written.value, 0, true}).ok());
    CAF_CHECK(dir.write("new", std::string(3u << 20, 'n'), {if_exists::fail, {}, 0700, false}).ok());
    CAF_CHECK_EQUAL(mode_of(t / "w/new") & 0100u, 0100u);
    CAF_CHECK(is(dir.write("", "x", {}).error.what, dir_fault::folder));
    CAF_CHECK(is(dir.write("no/such", "x", {}).error.what, dir_fault::absent));
    CAF_CHECK_EQUAL(names_in(t / "w"), 2u); // no temporary file is left
    auto from = dir.open_file("new");
    CAF_CHECK(is(dir.write_from("copy", from.value.fd.get(), 100, {}).error.what, dir_fault::too_large));
    CAF_CHECK(dir.write_from("copy", from.value.fd.get(), 8u << 20, {}).ok());
    CAF_CHECK(got(t / "w/copy") == got(t / "w/new"));
    std::atomic<bool> cancel{true};
    CAF_CHECK(!dir.write_from("copy2", from.value.fd.get(), 8u << 20, {}, &cancel).ok() || how == confined_dir::way::best);
    CAF_CHECK(dir.sync().ok());
    CAF_CHECK(dir.room().value > 0);
  });
}

CAF_TEST(a hard link elsewhere keeps what it had) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "out/f", "theirs");
    fs::create_directories(t / "w");
    fs::create_hard_link(t / "out/f", t / "w/f");
    auto dir = opened(t / "w", how);
    CAF_CHECK(dir.write("f", "mine", {}).ok());
    CAF_CHECK_EQUAL(got(t / "out/f"), "theirs");
    CAF_CHECK_EQUAL(got(t / "w/f"), "mine");
  });
}

CAF_TEST(what is no file neither hangs nor is replaced) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    fs::create_directories(t / "w");
    CAF_REQUIRE_EQUAL(::mkfifo((t / "w/fifo").c_str(), 0600), 0);
    auto server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", (t / "w/socket").c_str());
    CAF_REQUIRE_EQUAL(::bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    auto dir = opened(t / "w", how);
    for (auto* name : {"fifo", "socket"}) {
      CAF_CHECK(is(fault_of_read(dir, name), dir_fault::special));
      CAF_CHECK(is(dir.write(name, "x", {}).error.what, dir_fault::special));
      CAF_CHECK(dir.look(name).value.kind == entry_kind::special);
    }
    if (::mknod((t / "w/device").c_str(), S_IFCHR | 0600, makedev(1, 5)) == 0) // /dev/zero, which never ends
      CAF_CHECK(is(fault_of_read(dir, "device"), dir_fault::special) || fault_of_read(dir, "device") == dir_fault::refused);
    else
      std::cout << "skipped: a device node (no privilege)" << std::endl;
    ::close(server);
  });
}

CAF_TEST(names are not replaced by a move) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/a", "a");
    put(t / "w/b", "b");
    put(t / "w/d/x", "x");
    put(t / "v/c", "c");
    auto dir = opened(t / "w", how), other = opened(t / "v", how);
    CAF_CHECK(is(dir.move("a", dir, "b").what, dir_fault::exists));
    CAF_CHECK(is(dir.move("a", other, "c").what, dir_fault::exists));
    CAF_CHECK(is(dir.move("d", dir, "d/e").what, dir_fault::bad_path));
    CAF_CHECK(is(dir.move("gone", dir, "e").what, dir_fault::absent));
    CAF_CHECK(is(dir.move("", dir, "e").what, dir_fault::bad_path));
    CAF_CHECK(dir.move("a", other, "a").ok());
    CAF_CHECK(dir.move("d", other, "d").ok());
    CAF_CHECK_EQUAL(got(t / "v/d/x"), "x");
    CAF_CHECK_EQUAL(got(t / "w/b"), "b");
  });
}

CAF_TEST(a walk visits each entry once and follows no link) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/a/1", "1");
    put(t / "w/b/2", "2");
    put(t / "out/3", "3");
    fs::create_symlink("../b", t / "w/a/to_b");
    fs::create_symlink("../a", t / "w/b/to_a");
    fs::create_symlink(t / "out", t / "w/b/out");
    auto dir = opened(t / "w", how);
    std::string seen;
    auto note = [&seen](const walked& w) {
      seen += w.path + " ";
      return walk_step::on;
    };
    CAF_CHECK(dir.walk("", {}, note).ok());
    CAF_CHECK_EQUAL(seen, "a a/1 a/to_b b b/2 b/out b/to_a ");
    std::string deep = t / "w/deep";
    for (int i = 0; i < 80; ++i)
      deep += "/d";
    fs::create_directories(deep);
    int folders = 0, faults = 0;
    auto count = [&](const walked& w) {
      ++folders;
      faults += w.fault == dir_fault::too_deep;
      return walk_step::on;
    };
    CAF_CHECK(dir.walk("deep", {64, nullptr}, count).ok());
    CAF_CHECK_EQUAL(folders, 65);
    CAF_CHECK_EQUAL(faults, 1);
    CAF_CHECK(is(dir.remove_tree("deep", {64, nullptr}, count).what, dir_fault::too_deep));
    std::atomic<bool> cancel{true};
    CAF_CHECK(is(dir.walk("", {64, &cancel}, note).what, dir_fault::cancelled));
    CAF_CHECK(is(dir.remove_tree("b", {64, &cancel}, note).what, dir_fault::cancelled));
    CAF_CHECK(is(dir.walk("b/out", {}, note).what, dir_fault::escapes));
    auto listed = dir.list("b", 2);
    CAF_CHECK(listed.value.cut);
    CAF_CHECK_EQUAL(listed.value.entries.size(), 2u);
  });
}

CAF_TEST(a tree goes without what its links lead to) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/d/x", "x");
    put(t / "w/d/keep/y", "y");
    put(t / "out/3", "3");
    fs::create_symlink(t / "out", t / "w/d/out");
    auto dir = opened(t / "w", how);
    auto guard = [](const walked& w) { return w.name == "keep" || w.name == "y" ? walk_step::stop : walk_step::on; };
    CAF_CHECK(is(dir.remove_tree("d", {}, guard).what, dir_fault::changed));
    CAF_CHECK_EQUAL(got(t / "w/d/keep/y"), "y");
    CAF_CHECK(is(dir.remove_folder("d").what, dir_fault::not_empty));
    CAF_CHECK(dir.remove_tree("d", {}, [](auto&) { return walk_step::on; }).ok());
    CAF_CHECK(!there(t / "w/d"));
    CAF_CHECK_EQUAL(got(t / "out/3"), "3");
    CAF_CHECK(is(dir.remove_tree("", {}, guard).what, dir_fault::bad_path));
  });
}

CAF_TEST(mount points are not crossed) {
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    std::cout << "skipped: mounts (no privilege)" << std::endl;
    return;
  }
  for (auto how : {confined_dir::way::best, confined_dir::way::components}) {
    workspace_tree t;
    put(t / "w/d/in", "in");
    put(t / "w/file", "file");
    put(t / "out/f", "out");
    fs::create_directories(t / "w/d/m");
    CAF_REQUIRE_EQUAL(::mount((t / "out").c_str(), (t / "w/d/m").c_str(), nullptr, MS_BIND, nullptr), 0);
    CAF_REQUIRE_EQUAL(::mount((t / "out/f").c_str(), (t / "w/file").c_str(), nullptr, MS_BIND, nullptr), 0);
    auto dir = opened(t / "w", how);
    CAF_CHECK(is(fault_of_read(dir, "d/m/f"), dir_fault::mount));
    CAF_CHECK(is(fault_of_read(dir, "file"), dir_fault::mount));
    CAF_CHECK(is(dir.write("d/m/new", "x", {}).error.what, dir_fault::mount));
    CAF_CHECK(is(dir.make_folders("d/m/new").what, dir_fault::mount));
    CAF_CHECK(is(dir.remove("d/m/f").what, dir_fault::mount));
    CAF_CHECK(is(dir.write("file", "x", {}).error.what, dir_fault::mount));
    std::string seen;
    dir_fault fault{};
    auto note = [&](const walked& w) {
      seen += w.path + " ";
      fault = w.fault != dir_fault::none ? w.fault : fault;
      return walk_step::on;
    };
    CAF_CHECK(dir.walk("d", {}, note).ok());
    CAF_CHECK_EQUAL(seen, "in m ");
    CAF_CHECK(is(fault, dir_fault::mount));
    CAF_CHECK(is(dir.remove_tree("d", {}, [](auto&) { return walk_step::on; }).what, dir_fault::mount));
    CAF_CHECK_EQUAL(got(t / "out/f"), "out");
    CAF_CHECK_EQUAL(names_in(t / "out"), 1u);
    CAF_CHECK_EQUAL(::umount2((t / "w/d/m").c_str(), MNT_DETACH), 0);
    CAF_CHECK_EQUAL(::umount2((t / "w/file").c_str(), MNT_DETACH), 0);
  }
}

CAF_TEST(a folder swapped for a link leads nowhere) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/d/f", "in");
    put(t / "w/d/sub/f", "in");
    put(t / "out/f", "out");
    put(t / "out/sub/f", "out");
    fs::create_symlink(t / "out", t / "w/swap");
    auto dir = opened(t / "w", how);
    std::map<std::string, int> seen;
    while_swapping(t / "w/d", t / "w/swap", [&] {
      ++seen[text_of(dir, "d/f")];
      ++seen[text_of(dir, "d/sub/f")];
      static_cast<void>(dir.write("d/new", "x", {if_exists::replace, {}, 0, false}));
      static_cast<void>(dir.remove("d/f2"));
      static_cast<void>(dir.make_folders("d/made/deep"));
      static_cast<void>(dir.walk("d", {}, [&](const walked& w) {
        auto file = dir.open_walked(w);
        if (file.ok())
          ++seen[read_bytes(file.value.fd.get(), 0, 10).value];
        return walk_step::on;
      }));
    });
    CAF_CHECK_EQUAL(seen["out"], 0);
    CAF_CHECK(seen["in"] > 0);
    CAF_CHECK_EQUAL(names_in(t / "out"), 2u);
    CAF_CHECK_EQUAL(got(t / "out/f"), "out");
  });
}

CAF_TEST(a file swapped for a link is not written through) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "w/f", "in");
    put(t / "out/f", "out");
    fs::create_symlink(t / "out/f", t / "w/swap");
    auto dir = opened(t / "w", how);
    int escaped = 0, read = 0;
    auto attempt = [&] {
      static_cast<void>(dir.write("f", "in", {if_exists::replace, {}, 0, false}));
      auto text = text_of(dir, "f");
      escaped += text == "out";
      read += text == "in";
      if (!there(t / "w/swap")) // both names hold the file by now
        return;
      if (!fs::is_symlink(t / "w/swap") && !fs::is_symlink(t / "w/f")) {
        fs::create_symlink(t / "out/f", t / "w/new");
        fs::rename(t / "w/new", t / "w/swap");
      }
    };
    while_swapping(t / "w/f", t / "w/swap", attempt, [&] { return read > 0; });
    CAF_CHECK_EQUAL(escaped, 0);
    CAF_CHECK(read > 0);
    CAF_CHECK_EQUAL(got(t / "out/f"), "out");
  });
}

CAF_TEST(a tree that is removed while its folders are swapped takes nothing along) {
  each_way([](confined_dir::way how, const workspace_tree& t) {
    put(t / "out/f", "out");
    put(t / "w/swap_in/f", "in");
    fs::create_directories(t / "w/d");
    fs::create_symlink(t / "out", t / "w/d/x");
    auto dir = opened(t / "w", how);
    while_swapping(t / "w/d/x", t / "w/swap_in", [&] {
      static_cast<void>(dir.remove_tree("d", {}, [](auto&) { return walk_step::on; }));
      std::error_code ignored;
      fs::create_directories(t / "w/d", ignored);
      if (there(t / "w/d/x"))
        return;
      if (!fs::is_symlink(t / "w/swap_in")) { // one of the two is a link, the other a folder
        fs::create_symlink(t / "out", t / "w/d/x", ignored);
      } else {
        put(t / "w/fresh/f", "in"); // not in place: the test itself would follow the link
        fs::rename(t / "w/fresh", t / "w/d/x", ignored);
      }
    });
    CAF_CHECK_EQUAL(got(t / "out/f"), "out");
  });
}
