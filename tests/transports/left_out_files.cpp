// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What agents' programs leave in their folders that is in no snapshot, or seems so.

#define CAF_SUITE transports.left_out_files

#include "caf/test/unit_test.hpp"
#include "support/snapshot_fixture.hpp"
#include "support/workspace_tree.hpp"
#include "transports/workspace_disk.hpp"
#include "transports/workspace_look.hpp"

#include <algorithm>
#include <iostream>

using namespace conclave;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

/// Nobody in all of it: root reads whatever the modes say.
struct unprivileged {
  as_nobody user;
};

struct fixture : unprivileged, snapshot_fixture {
  ~fixture() { remove_tree(work); } // with the modes that tests leave

  result<taken> take_ours(std::vector<based> bases = {}) {
    auto o = options;
    o.ours = true;
    o.bases = std::move(bases);
    return kept.take(work, o);
  }
  void mode(const std::string& path, mode_t m) const { CAF_REQUIRE_EQUAL(::chmod((work + "/" + path).c_str(), m), 0); }
};

bool has(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(), [&](auto& t) { return t.find(part) != std::string::npos; });
}

/// An agent that presents, and a folder of the user's that it may change.
struct presenter {
  workspace_tree tree;
  std::string project = tree / "project", place = tree / "home/work/task/0123abcd", work = place + "/work", copy;
  std::optional<workspace_disk> disk;

  presenter() {
    put(project + "/a", "a");
    put(project + "/d/b", "b");
    put(project + "/d/c", "c");
    put(project + "/run", "x");
    fs::create_directories(tree / "home");
  }
  ~presenter() { remove_tree(tree.path); }

  std::vector<std::string> begin() {
    workspace_folders f{tree / "home", place, "task", {}, {}};
    f.config.cwd = "w";
    f.config.context.push_back({project, true, {}, false});
    f.limits.keep_free = 0;
    disk.emplace(std::move(f));
    prepare_workspace p;
    p.present = true;
    CAF_REQUIRE_EQUAL(disk->prepare(p, nullptr), "");
    CAF_REQUIRE_EQUAL(disk->rules().roots.size(), 4u);
    copy = disk->rules().roots[3].path;
    return disk->take_notices();
  }
  static void mode(const std::string& path, mode_t m) { CAF_REQUIRE_EQUAL(::chmod(path.c_str(), m), 0); }
  static void fifo(const std::string& path) { CAF_REQUIRE_EQUAL(::mkfifo(path.c_str(), 0600), 0); }
  /// The changes of one folder, "D path" each.
  std::vector<std::string> changed(const kept_files& k) const {
    std::vector<std::string> out;
    snapshots::store kept{snapshot_folder(tree / "home")};
    for (auto& c : k.changes) {
      auto all = kept.diff(c.before, c.after);
      for (auto& x : std::get<snapshots::changes>(all))
        out.push_back(std::string{to_string(x.kind())} + " " + x.path);
    }
    return out;
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(left_out_files, fixture)

CAF_TEST(what may not be read in a folder of our own is made readable) {
  if (!user.active() && ::geteuid() == 0)
    CAF_FAIL("root cannot become nobody here");
  write("a", "one");
  write("d/b", "two");
  write("d/e/c", "three");
  write("s/x", "four");
  auto before = take();
  mode("a", 0);
  mode("d/e/c", 0200);
  mode("d/e", 0100);
  mode("d", 0);
  mode("s", 0400); // lists names, which nobody may look at
  mode(".", 0);
  auto after = good(take_ours());
  CAF_CHECK_EQUAL(after.id, before.id);
  CAF_CHECK_EQUAL(after.skipped.size(), 0u);
  CAF_CHECK_EQUAL(take().id, before.id); // it is readable by now
}

CAF_TEST(what stays unreadable in a folder of our own fails the snapshot) {
  if (!user.active()) {
    std::cout << "skipped: a file of somebody else's needs root" << std::endl;
    return;
  }
  write("a", "one");
  mode("a", 0);
  CAF_REQUIRE_EQUAL(::seteuid(0), 0);
  CAF_REQUIRE_EQUAL(::chown((work + "/a").c_str(), 0, 0), 0);
  CAF_REQUIRE_EQUAL(::seteuid(65534), 0);
  auto got = take_ours();
  auto* bad = std::get_if<failure>(&got);
  CAF_REQUIRE(bad != nullptr);
  CAF_CHECK_NOT_EQUAL(bad->text.find("/a: Permission denied"), std::string::npos);
  CAF_CHECK_EQUAL(take().skipped.size(), 1u); // in a folder of the user's it is left out
}

CAF_TEST(what may not be read in a folder of the user is not counted for a copy) {
  write("a", "one");
  write("big", std::string(3000, 'x'));
  write("d/x", "two");
  write("l/x", "three");
  mode("big", 0);
  mode("d", 0);
  mode("l", 0400); // lists names, which nobody may look at
  options.limits = {.bytes = 100, .files = 1, .depth = 0, .keep_free = 0};
  CAF_CHECK(!over_limits(work, options));
  auto t = take();
  CAF_CHECK_EQUAL(t.files, 1u);
  CAF_CHECK_EQUAL(t.bytes, 3u);
  CAF_CHECK_EQUAL(t.skipped.size(), 3u);
  for (auto& s : t.skipped)
    CAF_CHECK_EQUAL(s.why, not_readable);
  mode("big", 0600);
  auto over = over_limits(work, options);
  CAF_CHECK(over && over->kind == fault::over_limit);
}

CAF_TEST(a file that the user may not read makes no folder too large) {
  presenter p;
  fs::resize_file(p.project + "/a", std::uintmax_t{3} << 30);
  CAF_CHECK_NOT_EQUAL(copy_fault(p.project), "");
  p.mode(p.project + "/a", 0);
  CAF_CHECK_EQUAL(copy_fault(p.project), "");
  CAF_CHECK(has(p.begin(), "because you may not read it: a"));
}

CAF_TEST(what is left out and in the base is no change) {
  write("a", "one");
  write("b", "two");
  write("d/x", "x");
  write("d/y", "y");
  write("n/z", "z");
  auto base = take().id;
  for (auto* path : {"a", "b", "n/z"})
    fs::remove(work + "/" + path);
  fs::remove_all(work + "/d");
  CAF_REQUIRE_EQUAL(::mkfifo((work + "/a").c_str(), 0600), 0);
  CAF_REQUIRE_EQUAL(::mkfifo((work + "/n/z").c_str(), 0600), 0);
  CAF_REQUIRE_EQUAL(::mkfifo((work + "/n/new").c_str(), 0600), 0);
  fs::create_symlink("/etc/passwd", work + "/b");
  fs::create_directory_symlink("/etc", work + "/d");
  auto after = good(take_ours({{base}}));
  CAF_CHECK_EQUAL(after.id, base);
  CAF_CHECK_EQUAL(after.skipped.size(), 5u);
  good(kept.verify(after.id));
  for (auto* path : {"a", "b", "d"}) // what is really gone is
    fs::remove(work + "/" + path);
  CAF_CHECK_EQUAL(good(kept.diff(base, good(take_ours({{base}})).id)).size(), 5u);
}

CAF_TEST(what is left out and in the base of a folder in it is no change) {
  write("a", "one");
  write("d/x", "x");
  auto base = take().id;
  fs::rename(work, place("in"));
  fs::create_directory(work);
  fs::rename(place("in"), work + "/in");
  write("a", "beside");
  auto before = take().id;
  for (auto* path : {"/in/a", "/in/d/x", "/in/d/y", "/p"}) {
    fs::remove(work + path);
    CAF_REQUIRE_EQUAL(::mkfifo((work + path).c_str(), 0600), 0);
  }
  CAF_CHECK_EQUAL(good(take_ours({{base, "in/"}})).id, before);
}

CAF_TEST(modes that an agent takes away delete nothing of the user) {
  presenter p;
  p.begin();
  put(p.copy + "/new", "n");
  p.fifo(p.copy + "/p");
  for (auto* path : {"/a", "/d", "/."})
    p.mode(p.copy + path, 0);
  auto got = p.disk->keep(true, nullptr);
  CAF_CHECK_EQUAL(got.why, "");
  CAF_CHECK_EQUAL(p.changed(got), std::vector<std::string>{"added new"});
  CAF_CHECK_EQUAL(got.left, "not part of the changes of " + p.project + ": p (a FIFO)");
}

CAF_TEST(what replaces a file and cannot be kept deletes nothing of the user) {
  presenter p;
  p.begin();
  fs::remove(p.copy + "/a");
  p.fifo(p.copy + "/a");
  fs::remove_all(p.copy + "/d");
  fs::create_directory_symlink("/etc", p.copy + "/d");
  put(p.copy + "/run", "y");
  auto got = p.disk->keep(true, nullptr);
  CAF_CHECK_EQUAL(got.why, "");
  CAF_CHECK_EQUAL(p.changed(got), std::vector<std::string>{"modified run"});
  CAF_CHECK(has({got.left}, "a (a FIFO), d (a link to an absolute path)"));
}

CAF_TEST(what the user may not read is told to be in no copy and stays) {
  presenter p;
  p.mode(p.project + "/a", 0);
  p.mode(p.project + "/d", 0);
  auto told = p.begin();
  CAF_CHECK(has(told, "not in the copy of " + p.project + ", because you may not read it: a, d"));
  put(p.copy + "/new", "n");
  auto got = p.disk->keep(true, nullptr);
  CAF_CHECK_EQUAL(p.changed(got), std::vector<std::string>{"added new"});
  p.mode(p.project + "/d", 0755);
}

CAF_TEST(what is left out of the files of an answer is told) {
  presenter p;
  p.begin();
  put(p.work + "/f", "x");
  put(p.work + "/s/x", "x");
  p.mode(p.work + "/f", 0);
  p.mode(p.work + "/s", 0);
  p.fifo(p.work + "/p");
  fs::create_symlink("/etc/passwd", p.work + "/l");
  auto got = p.disk->keep(false, nullptr);
  CAF_CHECK_EQUAL(got.why, "");
  CAF_CHECK_EQUAL(got.files, 2);
  CAF_CHECK(p.disk->take_notices().empty());
  CAF_CHECK_EQUAL(got.left, "not part of the files of the answer: l (a link to an absolute path), p (a FIFO)");
}

CAF_TEST_FIXTURE_SCOPE_END()

CAF_TEST(secrets are found however deep they lie and whatever goes meanwhile) {
  workspace_tree tree;
  std::string deep = tree / "project";
  for (int i = 0; i < 100; ++i)
    deep += "/d";
  put(deep + "/.env", "k");
  put(tree / "project/gone/x", "x");
  put(tree / "project/other/id_rsa", "k");
  std::vector<std::string> seen;
  auto all = workspace_look::look_through(tree / "project", [&](const std::string& path, fs::file_type) {
    if (path.ends_with("/gone"))
      fs::remove_all(path);
    seen.push_back(path);
    return true;
  });
  CAF_CHECK(all.whole());
  CAF_CHECK(has(seen, "/d/.env") && has(seen, "/other/id_rsa"));
  auto most = workspace_look::look_through(
      tree / "project", [](const std::string&, fs::file_type) { return true; }, 50);
  CAF_CHECK(!most.whole() && most.unseen.size() < 3);
  workspace_disk disk{workspace_folders{tree / "home", tree / "home/work/task/0123abcd", "task", {}, {}}};
  std::vector<std::string> hidden, closed;
  disk.find_secrets(hidden, closed);
  CAF_CHECK(hidden.empty() && closed.empty());
}

CAF_TEST(a folder that cannot be looked into is hidden and a person is told) {
  workspace_tree tree;
  auto long_one = std::string(tree / "project");
  auto at = ::open(long_one.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) {
    fs::create_directories(long_one);
    at = ::open(long_one.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  }
  const std::string name(200, 'n');
  for (int i = 0; i < 25; ++i) { // its path is longer than the system takes
    CAF_REQUIRE_EQUAL(::mkdirat(at, name.c_str(), 0700), 0);
    auto below = ::openat(at, name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    ::close(at);
    at = below;
  }
  ::close(at);
  put(tree / "project/plain/.env", "k");
  workspace_folders f{tree / "home", tree / "home/work/task/0123abcd", "task", {}, {}};
  f.config.readable = {tree / "project"};
  workspace_disk disk{f};
  std::vector<std::string> hidden, closed;
  disk.find_secrets(hidden, closed);
  CAF_CHECK(closed.empty());
  CAF_CHECK(has(hidden, "/plain/.env"));
  CAF_CHECK(has(hidden, "/" + name) && hidden.size() == 2 && hidden.back().size() <= 3000);
  CAF_CHECK(has(disk.take_notices(), "commands do not see all of"));
}

namespace {

/// A folder of the user's with folders in it that may not be listed, looked at by nobody.
struct shut_folders {
  workspace_tree tree;
  std::string project = tree / "project";
  std::vector<std::string> hidden, closed, guarded, told;
  std::optional<workspace_disk> disk;

  shut_folders() {
    for (const auto* name : {"open/.env", "pub/.env", "pub/sub/id_rsa", "theirs/.env", "own/.env", "own/keep.lock", "seen/.env"})
      put(project + "/" + name, "k");
    if (::geteuid() == 0)
      for (const auto* name : {"", "/open", "/own", "/seen"})
        CAF_REQUIRE_EQUAL(::chown((project + name).c_str(), 65534, 65534), 0);
    mode("pub", 0711);
    mode("theirs", 0700);
    mode("own", 0);
    mode("seen", 0600);
  }
  ~shut_folders() {
    for (const auto* name : {"pub", "theirs", "own", "seen"})
      mode(name, 0755);
  }
  void mode(const std::string& name, mode_t m) const { CAF_CHECK_EQUAL(::chmod((project + "/" + name).c_str(), m), 0); }

  void look(bool in_place) {
    workspace_folders f{tree / "home", tree / "home/work/task/0123abcd", "task", {}, {}};
    f.config.cwd = "w";
    f.config.write_mode = in_place ? "legacy" : "auto";
    f.config.context = {{project, in_place, {}, false}};
    f.limits.keep_free = 0;
    fs::create_directories(tree / "home");
    if (::geteuid() == 0)
      CAF_REQUIRE_EQUAL(::chown((tree / "home").c_str(), 65534, 65534), 0);
    as_nobody user;
    disk.emplace(f);
    prepare_workspace p;
    p.present = in_place;
    CAF_REQUIRE_EQUAL(disk->prepare(p, nullptr), "");
    disk->find_secrets(hidden, closed);
    guarded = disk->find_protected();
    told = disk->take_notices();
    for (auto* list : {&hidden, &guarded})
      std::sort(list->begin(), list->end());
  }
  std::vector<std::string> below(std::vector<std::string> names) const {
    for (auto& n : names)
      n = project + "/" + n;
    return names;
  }
};

} // namespace

CAF_TEST(what may not be listed is hidden where it can be reached all the same) {
  if (::geteuid() != 0) {
    std::cout << "skipped: no folder can be given to another user (not root)" << std::endl;
    return;
  }
  shut_folders s;
  s.look(false);
  CAF_CHECK_EQUAL(s.closed, std::vector<std::string>{});
  CAF_CHECK_EQUAL(s.hidden, s.below({"open/.env", "own", "pub", "seen"}));
  CAF_REQUIRE_EQUAL(s.told.size(), 1u);
  CAF_CHECK(has(s.told, "what you may not list cannot be looked through for secrets; not "));
}

CAF_TEST(what may not be listed is protected where a folder is written in place) {
  if (::geteuid() != 0) {
    std::cout << "skipped: no folder can be given to another user (not root)" << std::endl;
    return;
  }
  shut_folders s;
  s.look(true);
  CAF_CHECK_EQUAL(s.hidden, s.below({"open/.env", "own", "pub", "seen"}));
  CAF_CHECK_EQUAL(s.guarded, s.below({"open/.env", "own", "pub", "seen", "theirs"}));
  as_nobody user;
  s.mode("own", 0755); // by the user himself
  fs::create_directories(s.project + "/late");
  s.mode("late", 0300);
  s.disk->end_presentation();
  CAF_CHECK(has(s.disk->take_notices(), "closed to a look: late;"));
}

CAF_TEST(a folder that may not be listed at all is not for commands) {
  if (::geteuid() != 0) {
    std::cout << "skipped: no folder can be given to another user (not root)" << std::endl;
    return;
  }
  shut_folders s;
  s.project += "/pub";
  s.look(false);
  CAF_CHECK_EQUAL(s.closed, std::vector<std::string>{s.project});
  CAF_CHECK(s.hidden.empty() && has(s.told, "commands do not see " + s.project + ": what you may not list"));
  s.project = s.tree / "project";
}

namespace {

struct looked_for {
  std::vector<std::string> hidden, closed, told;

  looked_for(const workspace_tree& tree, bool by_grants) {
    workspace_folders f{tree / "home", tree / "home/work/task/0123abcd", "task", {}, {}};
    f.config.context = {{tree / "project", false, {}, false}};
    workspace_disk disk{f};
    disk.find_secrets(hidden, closed, by_grants);
    std::sort(hidden.begin(), hidden.end());
    told = disk.take_notices();
  }
};

} // namespace

CAF_TEST(names of secrets that are too many are hidden with their folder) {
  workspace_tree tree;
  put(tree / "project/.env", "k");
  put(tree / "project/few/x.key", "k");
  for (int i = 0; i < 4'900; ++i)
    put(tree / "project/many/" + std::to_string(i) + ".key", "k");
  CAF_CHECK_EQUAL(looked_for(tree, false).hidden.size(), 4'902u);
  for (int i = 0; i < 200; ++i)
    put(tree / "project/other/" + std::to_string(i) + ".key", "k");
  looked_for some{tree, false};
  CAF_CHECK(some.closed.empty());
  CAF_CHECK_EQUAL(some.hidden.size(), 203u);
  CAF_CHECK(has(some.hidden, "/.env") && has(some.hidden, "/few/x.key") && has(some.hidden, "/project/many"));
  CAF_REQUIRE_EQUAL(some.told.size(), 1u);
  CAF_CHECK(has(some.told, "too many in it") && has(some.told, "not " + (tree / "project/many;")));
  for (int i = 0; i < 5'000; ++i)
    put(tree / "project/" + std::to_string(i) + ".key", "k");
  looked_for all{tree, false};
  CAF_CHECK(all.hidden.empty());
  CAF_CHECK_EQUAL(all.closed, std::vector<std::string>{tree / "project"});
  CAF_CHECK(has(all.told, "commands do not see " + (tree / "project:")));
}

CAF_TEST(names of secrets that are too long are hidden with their folder) {
  workspace_tree tree;
  for (int i = 0; i < 4'500; ++i)
    put(tree / "project/" + (i % 2 == 0 ? "a/" : "b/") + std::string(240, 'k') + std::to_string(i) + ".key", "k");
  looked_for found{tree, false};
  CAF_CHECK(found.closed.empty());
  CAF_CHECK_EQUAL(found.hidden.size(), 2'251u);
}

CAF_TEST(where all beside a secret is granted it goes with a folder that holds too much) {
  workspace_tree tree;
  put(tree / "project/d/.env", "k");
  put(tree / "project/x.key", "k");
  for (int i = 0; i < 40'000; ++i)
    std::ofstream{tree / "project/d/" + std::to_string(i)};
  CAF_CHECK_EQUAL(looked_for(tree, false).hidden, (std::vector<std::string>{tree / "project/d/.env", tree / "project/x.key"}));
  looked_for found{tree, true};
  CAF_CHECK_EQUAL(found.hidden, (std::vector<std::string>{tree / "project/d", tree / "project/x.key"}));
  CAF_CHECK(found.closed.empty() && has(found.told, "too much stands beside them"));
  fs::rename(tree / "project/d", tree / "flat");
  fs::remove_all(tree / "project");
  fs::rename(tree / "flat", tree / "project");
  CAF_CHECK_EQUAL(looked_for(tree, true).closed, std::vector<std::string>{tree / "project"});
}
