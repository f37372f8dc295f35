// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Folders of users in which not everything is a file that may be read and written.

#define CAF_SUITE transports.delivery_oddities

#include "caf/test/unit_test.hpp"
#include "support/delivery_fixture.hpp"
#include "support/workspace_tree.hpp"

#include <fcntl.h>
#include <iostream>
#include <sys/mount.h>
#include <sys/stat.h>

using namespace conclave;
using namespace conclave::delivery;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

CAF_TEST_FIXTURE_SCOPE(delivery_oddities, delivery_fixture)

CAF_TEST(a file that is a FIFO by now stops an apply that stops at drift) {
  write("a", "base");
  write("b", "base");
  start();
  write("a", "changed");
  write("b", "changed");
  write("new", "new");
  auto fifo = [&](const std::string& name) {
    fs::remove(user + "/" + name);
    CAF_REQUIRE_EQUAL(::mkfifo((user + "/" + name).c_str(), 0600), 0);
  };
  fifo("a");
  fifo("new");
  auto refused = apply(plan());
  CAF_REQUIRE_EQUAL(kind_of(refused), fault::drifted);
  auto& bad = std::get<failure>(refused);
  CAF_CHECK_EQUAL(bad.largest.size(), 2u);
  CAF_CHECK_NOT_EQUAL(bad.text.find("a (it is a FIFO, a socket or a device), new (it is"), std::string::npos);
  CAF_CHECK_EQUAL(contents(user + "/b"), "base");
  for (auto p : {policy::skip, policy::prefer_presenter}) {
    on_drift = p;
    auto got = good(apply(plan()));
    CAF_CHECK_EQUAL(got.modified, std::vector<std::string>{"b"});
    CAF_CHECK_EQUAL(why(got, "a"), "it is a FIFO, a socket or a device");
    CAF_CHECK_EQUAL(why(got, "new"), "it is a FIFO, a socket or a device");
    CAF_CHECK(fs::is_fifo(user + "/a"));
    good(undo(journal, got.id));
  }
}

CAF_TEST(a folder that is a mount point by now stops an apply that stops at drift) {
  write("d/a", "base");
  write("b", "base");
  start();
  fs::create_directory(user + "/m");
  write("d/a", "changed");
  write("b", "changed");
  if (::mount("none", (user + "/d").c_str(), "tmpfs", 0, nullptr) != 0) {
    std::cout << "skipped: mounting needs root" << std::endl;
    return;
  }
  CAF_CHECK_EQUAL(kind_of(apply(plan())), fault::drifted);
  CAF_CHECK_EQUAL(contents(user + "/b"), "base");
  on_drift = policy::skip;
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(why(got, "d/a"), "a mount point");
  CAF_CHECK(fs::is_empty(user + "/d"));
  CAF_CHECK_EQUAL(contents(user + "/b"), "changed");
  good(undo(journal, got.id));
  // One that was always there is in no copy: what agents make under its name is left out, and no drift.
  write("d/a", "base");
  write("m/x", "new");
  CAF_REQUIRE_EQUAL(::umount((user + "/d").c_str()), 0);
  CAF_REQUIRE_EQUAL(::mount("none", (user + "/m").c_str(), "tmpfs", 0, nullptr), 0);
  on_drift = policy::fail;
  got = good(apply(plan()));
  CAF_CHECK_EQUAL(why(got, "m/x"), "a mount point");
  CAF_CHECK(fs::is_empty(user + "/m"));
  CAF_CHECK_EQUAL(contents(user + "/b"), "changed");
  CAF_CHECK_EQUAL(::umount((user + "/m").c_str()), 0);
}

CAF_TEST(locks of folders that are gone do not pile up) {
  write("a", "base");
  start();
  write("a", "changed");
  auto locks = scratch.path + "/.targets";
  fs::create_directory(locks);
  std::ofstream{locks + "/1-2"}; // of a process that was killed
  good(apply(plan()));
  CAF_CHECK(fs::is_empty(locks));
}

CAF_TEST(what became of a folder is no drift when it is applied again) {
  for (auto* made : {"file", "link"}) {
    write("e/s/in", "base");
    write("e/other", "base");
    write("keep", "base");
    start();
    fs::remove_all(work + "/e");
    if (std::string{made} == "file")
      write("e", "a file");
    else
      fs::create_symlink("keep", work + "/e");
    auto first = good(apply(plan()));
    CAF_CHECK_NOT_EQUAL(first.id, "");
    auto again = good(apply(plan()));
    CAF_CHECK_EQUAL(again.id, "");
    CAF_CHECK_EQUAL(again.skipped.size(), 0u);
    good(undo(journal, first.id));
    // One that leads elsewhere is none of these, and drift.
    fs::remove_all(user + "/e");
    fs::create_symlink(user, user + "/e");
    CAF_CHECK_EQUAL(kind_of(apply(plan())), fault::drifted);
    fs::remove(work + "/e");
  }
}

CAF_TEST(bytes of the store that were altered are not written) {
  write("a", "base");
  start();
  write("a", "changed");
  write("b", "also");
  auto j = plan();
  auto object = object_of(j.after, "b");
  alter(object, "ALSO");
  CAF_CHECK_EQUAL(kind_of(apply(j)), fault::damaged);
  CAF_CHECK_EQUAL(id_of(user), base);
  CAF_CHECK(no_rests());
  alter(object, "also");
  CAF_CHECK_NOT_EQUAL(good(apply(j)).id, "");
}

CAF_TEST(a folder that stays is not told as removed) {
  write("e/x", "base");
  write("keep", "base");
  start();
  fs::remove_all(work + "/e");
  user_writes("e/mine", "the user's");
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(got.removed, std::vector<std::string>{"e/x"});
  CAF_CHECK_EQUAL(why(got, "e"), "the folder stays: something is in it");
  auto told = history(journal);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK_EQUAL(told[0].paths, 1u);
  CAF_CHECK_EQUAL(told[0].files, 1u);
  auto back = good(undo(journal, got.id));
  CAF_CHECK_EQUAL(back.added, std::vector<std::string>{"e/x"});
  told = history(journal);
  CAF_CHECK_EQUAL(told[0].paths_undone, 1u);
}

CAF_TEST(links and folders that undo brings back have their times) {
  write("d/e/x", "base");
  write("a", "base");
  fs::create_symlink("a", work + "/link");
  fs::create_symlink("a", work + "/gone");
  start();
  auto dated = [&](const char* name) {
    timespec times[2] = {{1'000'000'000, 5}, {1'000'000'000, 5}};
    CAF_REQUIRE_EQUAL(::utimensat(AT_FDCWD, (user + "/" + name).c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  };
  auto modified = [&](const char* name) {
    struct stat st {};
    ::lstat((user + "/" + name).c_str(), &st);
    return st.st_mtim.tv_sec;
  };
  const auto all = {"d/e/x", "d/e", "d", "link", "gone"};
  for (auto* name : all)
    dated(name);
  fs::remove_all(work + "/d");
  fs::remove(work + "/gone");
  fs::remove(work + "/link");
  fs::create_symlink("d", work + "/link");
  auto got = good(apply(plan()));
  CAF_CHECK_NOT_EQUAL(modified("link"), 1'000'000'000);
  good(undo(journal, got.id));
  for (auto* name : all) {
    CAF_MESSAGE(name);
    CAF_CHECK_EQUAL(modified(name), 1'000'000'000);
  }
}

CAF_TEST_FIXTURE_SCOPE_END()

namespace {

/// Nobody in all of it: root reads whatever the modes say.
struct unprivileged {
  as_nobody who;
};

struct users_fixture : unprivileged, delivery_fixture {
  void mode(const std::string& path, mode_t m) const { CAF_REQUIRE_EQUAL(::chmod((user + "/" + path).c_str(), m), 0); }
  ~users_fixture() { remove_tree(user); } // with the modes that tests leave
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(delivery_users, users_fixture)

CAF_TEST(one unreadable file does not fail an apply that leaves out what drifted) {
  write("a", "base");
  write("b", "base");
  write("d/x", "base");
  write("d/y", "base");
  start();
  write("a", "changed");
  write("b", "changed");
  write("d/x", "changed");
  fs::remove(work + "/d/y");
  auto before = id_of(user);
  mode("a", 0);
  mode("d", 0);
  auto refused = apply(plan());
  CAF_REQUIRE_EQUAL(kind_of(refused), fault::drifted);
  CAF_CHECK_EQUAL(std::get<failure>(refused).largest.size(), 3u);
  CAF_CHECK_NOT_EQUAL(std::get<failure>(refused).text.find("a (it cannot be read), d/x (it cannot be read)"), std::string::npos);
  for (auto p : {policy::skip, policy::prefer_presenter}) {
    on_drift = p;
    auto got = good(apply(plan()));
    CAF_CHECK_EQUAL(got.modified, std::vector<std::string>{"b"});
    for (auto* path : {"a", "d/x", "d/y"})
      CAF_CHECK_EQUAL(why(got, path), "it cannot be read");
    good(undo(journal, got.id));
  }
  fs::remove_all(work + "/d"); // a folder of which nobody can tell what is in it stays
  auto got = good(apply(plan()));
  CAF_CHECK_NOT_EQUAL(why(got, "d"), "");
  good(undo(journal, got.id));
  mode("a", 0644);
  mode("d", 0755);
  CAF_CHECK_EQUAL(id_of(user), before);
}

CAF_TEST(why a folder cannot be made is told) {
  write("a", "base");
  write("ro/x", "base");
  start();
  write("a", "changed");
  write("ro/new/f", "new");
  auto before = id_of(user);
  mode("ro", 0555);
  auto refused = apply(plan());
  mode("ro", 0755);
  CAF_REQUIRE_EQUAL(kind_of(refused), fault::io);
  CAF_CHECK_EQUAL(std::get<failure>(refused).text, "cannot write ro/new: Permission denied; nothing was written");
  CAF_CHECK_EQUAL(id_of(user), before);
}

CAF_TEST(why nothing can be kept of a task is told) {
  write("a", "base");
  take();
  CAF_REQUIRE_EQUAL(::chmod((home + "/held").c_str(), 0555), 0);
  options.holder = "another";
  auto got = kept.take(work, options);
  ::chmod((home + "/held").c_str(), 0755);
  auto* bad = std::get_if<failure>(&got);
  CAF_REQUIRE(bad != nullptr);
  CAF_CHECK(bad->text.ends_with("Permission denied"));
}

CAF_TEST(a folder that its owner may not write comes back so) {
  write("a", "base");
  write("d/x", "base");
  start();
  fs::create_directory(work + "/locked");
  fs::create_directory(user + "/locked");
  base = take().id;
  mode("locked", 0555);
  fs::remove(work + "/locked");
  auto got = good(apply(plan()));
  CAF_CHECK(!fs::exists(user + "/locked"));
  good(undo(journal, got.id));
  struct stat st {};
  CAF_REQUIRE_EQUAL(::stat((user + "/locked").c_str(), &st), 0);
  CAF_CHECK_EQUAL(st.st_mode & 07777, 0555u);
}

CAF_TEST(files of another user that are ours by apply or undo are told) {
  if (!who.active()) {
    std::cout << "skipped: a file of somebody else's needs root" << std::endl;
    return;
  }
  for (auto* path : {"a", "b", "gone", "link"})
    write(path, "base");
  fs::remove(work + "/link");
  fs::create_symlink("a", work + "/link");
  start();
  auto owner = [&](const std::string& path) {
    struct stat st {};
    CAF_REQUIRE_EQUAL(::lstat((user + "/" + path).c_str(), &st), 0);
    return st.st_uid;
  };
  CAF_REQUIRE_EQUAL(::seteuid(0), 0);
  for (auto* path : {"/a", "/gone", "/link"})
    CAF_REQUIRE_EQUAL(::lchown((user + path).c_str(), 0, 0), 0);
  CAF_REQUIRE_EQUAL(::seteuid(65534), 0);
  for (auto* path : {"a", "b", "new"})
    write(path, "changed");
  fs::remove(work + "/gone");
  fs::remove(work + "/link");
  fs::create_symlink("b", work + "/link");
  using paths = std::vector<std::string>;
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(got.yours, (paths{"a", "link"}));
  CAF_CHECK_EQUAL(owner("a"), 65534u);
  auto back = good(undo(journal, got.id));
  std::sort(back.yours.begin(), back.yours.end());
  CAF_CHECK_EQUAL(back.yours, (paths{"a", "gone", "link"}));
  CAF_CHECK_EQUAL(owner("gone"), 65534u);
  CAF_CHECK_EQUAL(contents(user + "/a"), "base");
  // Root gives each back to whom it belongs.
  CAF_REQUIRE_EQUAL(::seteuid(0), 0);
  got = good(apply(plan()));
  CAF_CHECK_EQUAL(got.yours, paths{});
  CAF_CHECK_EQUAL(owner("a"), 65534u);
  CAF_CHECK_EQUAL(good(undo(journal, got.id)).yours, paths{});
  CAF_CHECK_EQUAL(owner("gone"), 65534u);
  CAF_REQUIRE_EQUAL(::seteuid(65534), 0);
}

CAF_TEST_FIXTURE_SCOPE_END()
