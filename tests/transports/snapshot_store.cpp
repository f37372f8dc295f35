// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.snapshot_store

#include "transports/snapshot_store.hpp"

#include "caf/test/unit_test.hpp"
#include "support/snapshot_fixture.hpp"

#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <random>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace conclave;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

struct fixture : snapshot_fixture {
  std::string why_skipped(const taken& t, const std::string& path) {
    for (auto& s : t.skipped)
      if (s.path == path)
        return s.why;
    return "";
  }
};

template <class T>
fault kind_of(const result<T>& r) {
  auto* bad = std::get_if<failure>(&r);
  return bad != nullptr ? bad->kind : fault{255};
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(snapshot_store, fixture)

CAF_TEST(an empty folder is a snapshot) {
  auto t = take();
  CAF_CHECK_EQUAL(t.id.size(), 64u);
  CAF_CHECK_EQUAL(t.files, 0u);
  CAF_CHECK_EQUAL(good(kept.list(t.id)).entries.size(), 0u);
  good(kept.verify(t.id));
  good(kept.restore(t.id, place("copy"), nullptr, 0));
  CAF_CHECK(fs::is_empty(place("copy")));
}

CAF_TEST(an id covers names kinds modes and bytes and no times) {
  write("a", "one");
  auto first = take().id;
  set_times("a", 1'000'000);
  CAF_CHECK_EQUAL(take().id, first);
  ::chmod((work + "/a").c_str(), 0600);
  CAF_CHECK_EQUAL(take().id, first);
  ::chmod((work + "/a").c_str(), 0700);
  auto executable = take().id;
  CAF_CHECK_NOT_EQUAL(executable, first);
  ::chmod((work + "/a").c_str(), 04700); // setuid is stripped
  CAF_CHECK_EQUAL(take().id, executable);
  ::chmod((work + "/a").c_str(), 0644);
  write("a", "two");
  CAF_CHECK_NOT_EQUAL(take().id, first);
  write("a", "one");
  fs::rename(work + "/a", work + "/b");
  CAF_CHECK_NOT_EQUAL(take().id, first);
  fs::rename(work + "/b", work + "/a");
  fs::create_directory(work + "/empty");
  CAF_CHECK_NOT_EQUAL(take().id, first);
  fs::remove(work + "/empty");
  CAF_CHECK_EQUAL(take().id, first);
}

CAF_TEST(random trees come back as they were) {
  int rounds = std::getenv("CONCLAVE_LONG") != nullptr ? 200 : 25;
  for (int seed = 0; seed < rounds; ++seed) {
    std::mt19937 chance{static_cast<unsigned>(seed)};
    random_tree(chance);
    auto t = take();
    good(kept.restore(t.id, place("copy"), nullptr, 0));
    auto again = take(place("copy"));
    CAF_CHECK_EQUAL(again.id, t.id);
    CAF_CHECK_EQUAL(again.skipped.size(), 0u);
    good(kept.materialise(t.id, place("view")));
    CAF_CHECK_EQUAL(take(place("view")).id, t.id);
    good(kept.verify(t.id));
    // What the diff of two says leads from one to the other.
    std::set<std::string> differ;
    auto before = names(place("copy"));
    change_something(chance);
    auto next = take();
    auto after = names(work);
    for (auto& [path, what] : before)
      if (!after.contains(path) || after[path] != what)
        differ.insert(path);
    for (auto& [path, what] : after)
      if (!before.contains(path))
        differ.insert(path);
    std::set<std::string> said;
    for (auto& c : good(kept.diff(t.id, next.id)))
      said.insert(c.path);
    CAF_CHECK_EQUAL(said, differ);
    CAF_CHECK_EQUAL(remove_tree(place("view")) + remove_tree(place("copy")) + remove_tree(work), "");
    fs::create_directory(work);
  }
}

CAF_TEST(only what changed is read) {
  for (int i = 0; i < 200; ++i)
    write("d" + std::to_string(i % 7) + "/f" + std::to_string(i), "text " + std::to_string(i));
  options.scan_cache = place("scan");
  auto first = take();
  CAF_CHECK_EQUAL(first.read_files, 200u);
  // So young that it might change without a sign: read again.
  CAF_CHECK_EQUAL(take().read_files, 200u);
  make_scan_older();
  auto same = take();
  CAF_CHECK_EQUAL(same.id, first.id);
  CAF_CHECK_EQUAL(same.read_files, 0u);
  CAF_CHECK_EQUAL(same.new_bytes, 0u);
  write("d3/f3", "TEXT 3");
  write("d3/f10", "text 10"); // as it was, but written
  write("new", "x");
  auto changed = take();
  CAF_CHECK_EQUAL(changed.read_files, 3u);
  CAF_CHECK(changed.new_bytes < 4096);
  options.scan_cache.clear();
  CAF_CHECK_EQUAL(take().id, changed.id);
}

CAF_TEST(a scan of a snapshot that was freed says nothing) {
  write("a", "text");
  options.scan_cache = place("scan");
  take();
  make_scan_older();
  CAF_CHECK_EQUAL(take().read_files, 0u);
  CAF_CHECK(good(kept.remove("task")).swept);
  auto again = take();
  CAF_CHECK_EQUAL(again.read_files, 1u);
  good(kept.verify(again.id));
}

CAF_TEST(a damaged scan is no scan) {
  for (int i = 0; i < 20; ++i)
    write("f" + std::to_string(i), std::to_string(i));
  auto id = take().id;
  options.scan_cache = place("scan");
  take();
  make_scan_older();
  auto whole = contents(place("scan"));
  for (std::size_t cut : {std::size_t{0}, std::size_t{7}, std::size_t{80}, std::size_t{120}, whole.size() / 2, whole.size() - 1}) {
    std::ofstream{place("scan"), std::ios::binary} << whole.substr(0, cut);
    CAF_CHECK_EQUAL(take().id, id);
  }
  std::ofstream{place("scan"), std::ios::binary} << whole.substr(0, 100) + std::string(4000, '\0');
  CAF_CHECK_EQUAL(take().id, id);
}

CAF_TEST(links stay if what they name is within) {
  write("d/e/file", "x");
  auto link = [this](const std::string& path, const std::string& target) { fs::create_symlink(target, work + "/" + path); };
  link("good", "d/e/file");
  link("d/e/up", "../../d");
  link("dangling", "nowhere");
  link("self", ".");
  link("absolute", "/etc/passwd");
  link("out", "../outside");
  link("d/e/far", "../../../outside");
  // Inside by its text; through the link "up" it would lead out.
  link("tricky", "d/e/up/../../../etc");
  fs::create_directory(place("work2"));
  auto t = take();
  CAF_CHECK_EQUAL(t.skipped.size(), 4u);
  for (auto* p : {"absolute", "out", "d/e/far", "tricky"})
    CAF_CHECK_NOT_EQUAL(why_skipped(t, p), "");
  CAF_CHECK_EQUAL(good(kept.find(t.id, "d/e/up")).kind == entry_kind::link, true);
  CAF_CHECK_EQUAL(kind_of(kept.find(t.id, "out")), fault::missing);
  good(kept.restore(t.id, place("copy"), nullptr, 0));
  CAF_CHECK_EQUAL(fs::read_symlink(place("copy") + "/good").string(), "d/e/file");
  auto read = kept.read(t.id, "good", 0, 10);
  CAF_CHECK_EQUAL(kind_of(read), fault::not_a_file);
  CAF_CHECK_EQUAL(kind_of(kept.read(t.id, "d/e/up/e/file", 0, 10)), fault::missing); // nothing is followed
}

CAF_TEST(what is no file is left out and waited for by nobody) {
  write("a", "x");
  ::mkfifo((work + "/fifo").c_str(), 0600);
  auto s = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto name = work + "/socket";
  name.copy(address.sun_path, sizeof(address.sun_path) - 1);
  CAF_REQUIRE_EQUAL(::bind(s, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  auto device = ::mknod((work + "/null").c_str(), S_IFCHR | 0600, 0x103) == 0;
  auto t = take();
  ::close(s);
  CAF_CHECK_EQUAL(t.files, 1u);
  CAF_CHECK_EQUAL(why_skipped(t, "fifo"), "a FIFO");
  CAF_CHECK_EQUAL(why_skipped(t, "socket"), "a socket");
  if (device)
    CAF_CHECK_EQUAL(why_skipped(t, "null"), "a device");
}

CAF_TEST(mount points are not entered) {
  fs::create_directory(work + "/m");
  write("real/x", "x");
  fs::create_directory(work + "/bound");
  if (::mount("none", (work + "/m").c_str(), "tmpfs", 0, "size=64k") != 0) {
    std::puts("skipped: mounting needs root");
    CAF_CHECK(true);
    return;
  }
  ::mount((work + "/real").c_str(), (work + "/bound").c_str(), nullptr, MS_BIND, nullptr);
  write("m/inside", "secret");
  auto t = take();
  auto removed = remove_tree(work);
  ::umount2((work + "/m").c_str(), MNT_DETACH);
  ::umount2((work + "/bound").c_str(), MNT_DETACH);
  CAF_CHECK_EQUAL(why_skipped(t, "m"), "a mount point");
  CAF_CHECK_EQUAL(why_skipped(t, "bound"), "a mount point"); // the same disk
  CAF_CHECK_EQUAL(kind_of(kept.find(t.id, "m/inside")), fault::missing);
  CAF_CHECK_NOT_EQUAL(removed, "");
}

CAF_TEST(hostile names come back as they were) {
  std::vector<std::string> hostile{"new\nline",
                                   "\x1b[31mred",
                                   "\xff\xfe",
                                   "a b",
                                   "-rf",
                                   "..x",
                                   "...",
                                   "\xe2\x80\xae"
                                   "txt",
                                   "'\"$(x)`",
                                   std::string(255, 'n')};
  for (auto& n : hostile)
    write(n, n);
  auto t = take();
  CAF_CHECK_EQUAL(t.files, hostile.size());
  good(kept.restore(t.id, place("copy"), nullptr, 0));
  for (auto& n : hostile)
    CAF_CHECK_EQUAL(contents(place("copy") + "/" + n) == n, true);
  auto diff = good(kept.diff(empty_id(), t.id));
  for (auto& c : diff) {
    auto text = kept.text_diff(c);
    CAF_CHECK_EQUAL(text.find("+++ b/\x1b"), std::string::npos);
    CAF_CHECK_EQUAL(text.find("b/new\nline"), std::string::npos);
  }
}

CAF_TEST(bounds name what is large and leave nothing) {
  write("big/one", std::string(3000, 'x'));
  write("small", "x");
  auto before = take();
  options.limits.bytes = 2000;
  auto over = kept.take(work, options);
  CAF_REQUIRE_EQUAL(kind_of(over), fault::over_limit);
  auto& bad = std::get<failure>(over);
  CAF_CHECK_EQUAL(bad.largest[0].path, "big/");
  CAF_CHECK_EQUAL(bad.largest[0].bytes, 3000u);
  CAF_CHECK_NOT_EQUAL(bad.text.find("big/one"), std::string::npos);
  // A sparse file counts as large as it says it is, and costs no time.
  options.limits = {};
  options.limits.keep_free = 0;
  write("giant", "");
  CAF_REQUIRE_EQUAL(::truncate((work + "/giant").c_str(), off_t{1} << 40), 0);
  over = kept.take(work, options);
  CAF_REQUIRE_EQUAL(kind_of(over), fault::over_limit);
  CAF_CHECK_EQUAL(std::get<failure>(over).largest[0].path, "giant");
  fs::remove(work + "/giant");
  // Exactly as many as allowed, and one more.
  options.limits.files = 3;
  take();
  write("one more", "");
  over = kept.take(work, options);
  CAF_CHECK_EQUAL(kind_of(over), fault::over_limit);
  fs::remove(work + "/one more");
  options.limits.files = 1000;
  options.limits.depth = 2;
  fs::create_directories(work + "/p/q");
  take();
  fs::create_directories(work + "/p/q/r");
  over = kept.take(work, options);
  CAF_REQUIRE_EQUAL(kind_of(over), fault::over_limit);
  CAF_CHECK_NOT_EQUAL(std::get<failure>(over).text.find("p/q/r"), std::string::npos);
  good(kept.verify(before.id));
  CAF_CHECK(fs::is_empty(home + "/incoming"));
}

CAF_TEST(what a snapshot lacks is named without a file being read) {
  write("a", "one");
  write("d/e/b", "two");
  fs::create_symlink("a", work + "/d/link");
  auto first = take().id;
  write("d/f/c", "three");
  auto id = take().id;
  std::set<std::string> whole;
  CAF_CHECK(!kept.lack(first, whole));
  CAF_CHECK_EQUAL(whole.size(), 3u);
  CAF_CHECK(!kept.lack(id, whole));
  CAF_CHECK_EQUAL(whole.size(), 6u); // d/e was known
  auto object = [&](const std::string& path) {
    auto hash = std::get<entry>(kept.find(id, path)).sha256;
    return home + "/files/" + hash.substr(0, 2) + "/" + hash;
  };
  auto lacks = [&](const std::string& of, const std::string& path) {
    std::set<std::string> none;
    auto bad = kept.lack(of, none);
    return bad && bad->kind == fault::damaged
           && bad->text.find("which holds " + path + ", is missing or altered") != std::string::npos;
  };
  for (auto* path : {"a", "d/e/b", "d/link", "d/f/c"}) {
    auto at = object(path);
    fs::rename(at, place("aside"));
    CAF_CHECK(lacks(id, path));
    CAF_CHECK_EQUAL(lacks(first, path), path != std::string{"d/f/c"});
    std::ofstream{at} << "longer than it was";
    CAF_CHECK(lacks(id, path));
    fs::rename(place("aside"), at);
  }
  CAF_CHECK(kept.lack(std::string(64, '0'), whole)->kind == fault::missing);
}

CAF_TEST(a nest deeper than any path is refused and deleted) {
  auto at = ::open(work.c_str(), O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 3000; ++i) {
    CAF_REQUIRE_EQUAL(::mkdirat(at, "deep", 0700), 0);
    auto next = ::openat(at, "deep", O_RDONLY | O_DIRECTORY);
    ::close(at);
    at = next;
  }
  ::close(at);
  CAF_CHECK_EQUAL(kind_of(kept.take(work, options)), fault::over_limit);
  CAF_CHECK_EQUAL(remove_tree(work), "");
  CAF_CHECK(!fs::exists(work));
}

CAF_TEST(deleting follows no link) {
  fs::create_directory(place("mine"));
  std::ofstream{place("mine") + "/keep"} << "x";
  fs::create_directory_symlink(place("mine"), work + "/link");
  fs::create_directories(work + "/locked/in");
  ::chmod((work + "/locked").c_str(), 0);
  CAF_CHECK_EQUAL(remove_tree(work), "");
  CAF_CHECK(fs::exists(place("mine") + "/keep"));
  fs::create_directory_symlink(place("mine"), work);
  CAF_CHECK_EQUAL(remove_tree(work), "");
  CAF_CHECK(fs::exists(place("mine") + "/keep"));
}

CAF_TEST(views are read only and share nothing writable) {
  write("a", "text");
  write("run", "#!/bin/sh\n");
  ::chmod((work + "/run").c_str(), 0755);
  auto t = take();
  good(kept.materialise(t.id, place("view")));
  good(kept.materialise(t.id, place("view2")));
  good(kept.restore(t.id, place("copy"), nullptr, 0));
  auto st = [](const std::string& p) {
    struct stat out {};
    ::stat(p.c_str(), &out);
    return out;
  };
  CAF_CHECK_EQUAL(st(place("view") + "/a").st_mode & 07777, 0444u);
  CAF_CHECK_EQUAL(st(place("view") + "/run").st_mode & 07777, 0555u);
  CAF_CHECK_EQUAL(st(place("view")).st_mode & 07777, 0555u);
  CAF_CHECK_EQUAL(st(place("view") + "/run").st_ino, st(place("view2") + "/run").st_ino);
  CAF_CHECK_EQUAL(st(place("copy") + "/a").st_nlink, 1u);
  CAF_CHECK_EQUAL(st(work + "/a").st_nlink, 1u);
  std::ofstream{place("copy") + "/a"} << "changed";
  std::ofstream{work + "/a"} << "changed";
  good(kept.verify(t.id));
  // The place is taken: nothing happens to it.
  CAF_CHECK_EQUAL(kind_of(kept.restore(t.id, place("copy"), nullptr, 0)), fault::exists);
  CAF_CHECK_EQUAL(contents(place("copy") + "/a"), "changed");
}

CAF_TEST(what nobody holds is freed) {
  write("shared", std::string(5000, 's'));
  write("first", "1");
  auto first = take().id;
  fs::remove(work + "/first");
  write("second", "2");
  options.holder = "other";
  auto second = take().id;
  good(kept.hold(second, "third"));
  auto gone = good(kept.remove("task", {first}));
  CAF_CHECK(gone.swept);
  CAF_CHECK_EQUAL(gone.objects, 2u); // its file and its folder
  CAF_CHECK_EQUAL(kind_of(kept.verify(first)), fault::missing);
  good(kept.verify(second));
  CAF_CHECK_EQUAL(good(kept.remove("other")).objects, 0u);
  good(kept.verify(second));
  CAF_CHECK_EQUAL(good(kept.remove("third")).objects, 3u);
  CAF_CHECK_EQUAL(kind_of(kept.hold(second, "late")), fault::missing);
  CAF_CHECK_EQUAL(kind_of(kept.take(work, {.holder = "../x"})), fault::denied);
}

CAF_TEST(damage is found and named) {
  write("d/a", "text");
  write("b", "other");
  auto t = take();
  auto object = object_of(t.id, "d/a");
  alter(object, "TEXT");
  auto bad = kept.verify(t.id);
  CAF_REQUIRE_EQUAL(kind_of(bad), fault::damaged);
  CAF_CHECK_EQUAL(std::get<failure>(bad).largest[0].path, "d/a");
  CAF_CHECK_EQUAL(kind_of(kept.restore(t.id, place("copy"), nullptr, 0, {}, true)), fault::damaged); // of the same size
  CAF_CHECK(!fs::exists(place("copy")));
  fs::remove(object);
  CAF_CHECK_EQUAL(kind_of(kept.verify(t.id)), fault::damaged);
  CAF_CHECK_EQUAL(kind_of(kept.restore(t.id, place("copy"), nullptr, 0)), fault::damaged);
  CAF_CHECK(!fs::exists(place("copy")));
  alter(home + "/trees/" + t.id.substr(0, 2) + "/" + t.id, "x", std::ios::app);
  CAF_CHECK_EQUAL(kind_of(kept.list(t.id)), fault::damaged);
  // Nothing is freed by somebody who cannot tell what is needed.
  CAF_CHECK_EQUAL(kind_of(kept.sweep()), fault::damaged);
}

CAF_TEST(files are read in pieces) {
  std::string text;
  for (int i = 0; i < 100'000; ++i)
    text += std::to_string(i) + "\n";
  write("large", text + std::string(2 << 20, 'z'));
  auto t = take();
  auto p = good(kept.read(t.id, "large", 10, 100));
  CAF_CHECK_EQUAL(p.bytes, text.substr(10, 100));
  CAF_CHECK_EQUAL(p.size, text.size() + (2u << 20));
  CAF_CHECK_EQUAL(good(kept.read(t.id, "large", p.size, 100)).bytes, "");
  CAF_CHECK_EQUAL(kind_of(kept.read(t.id, "../large", 0, 1)), fault::missing);
  CAF_CHECK_EQUAL(good(kept.list(t.id, 0)).more, true);
}

CAF_TEST(diffs are texts for people) {
  write("a", "one\ntwo\nthree\n");
  write("b", std::string("\0binary", 7));
  write("gone/x", "x\n");
  auto before = take().id;
  write("a", "one\n2\nthree\n");
  write("b", std::string("\0BINARY", 7));
  fs::remove_all(work + "/gone");
  ::chmod((work + "/a").c_str(), 0755);
  auto all = good(kept.diff(before, take().id));
  CAF_REQUIRE_EQUAL(all.size(), 4u);
  CAF_CHECK_EQUAL(kept.text_diff(all[0]),
                  "a: file becomes executable file\n--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n");
  CAF_CHECK_EQUAL(kept.text_diff(all[1]), "b: binary (7 to 7 bytes)\n");
  CAF_CHECK_EQUAL(to_string(all[2].kind()), "removed");
  CAF_CHECK_EQUAL(kept.text_diff(all[3]), "--- a/gone/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n");
}

CAF_TEST(the text of a file that becomes a folder or takes its place is shown) {
  write("a", "gone\n");
  write("b/x", "x\n");
  write("c/x", "x\n");
  auto before = take().id;
  fs::remove(work + "/a");
  write("a/in", "in\n");
  fs::remove_all(work + "/b");
  write("b", "new\n");
  fs::remove_all(work + "/c");
  fs::create_symlink("b", work + "/c");
  auto all = good(kept.diff(before, take().id));
  CAF_REQUIRE_EQUAL(all.size(), 6u); // a a/in b b/x c c/x
  CAF_CHECK_EQUAL(kept.text_diff(all[0]), "a: file becomes folder\n--- a/a\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n");
  CAF_CHECK_EQUAL(kept.text_diff(all[2]), "b: folder becomes file\n--- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+new\n");
  CAF_CHECK_EQUAL(kept.text_diff(all[4]), "c: folder becomes link\n--- /dev/null\n+++ b/c\n@@ -0,0 +1 @@\n+link to b\n");
  fs::remove(work + "/c");
  auto without = take().id;
  fs::create_symlink("x\x1b[2J\ny", work + "/c");
  auto link = good(kept.diff(without, take().id));
  CAF_REQUIRE_EQUAL(link.size(), 1u);
  CAF_CHECK_EQUAL(kept.text_diff(link[0]), "--- /dev/null\n+++ b/c\n@@ -0,0 +1 @@\n+link to x\\u{1b}[2J\\ny\n");
}

CAF_TEST(a cancelled attempt leaves nothing) {
  write("a", "x");
  std::atomic<bool> told = true;
  options.cancel = &told;
  CAF_CHECK_EQUAL(kind_of(kept.take(work, options)), fault::cancelled);
  CAF_CHECK_EQUAL(kept.held("task").size(), 0u);
  CAF_CHECK(fs::is_empty(home + "/incoming"));
}

CAF_TEST_FIXTURE_SCOPE_END()
