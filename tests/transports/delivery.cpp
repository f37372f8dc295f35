// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.delivery

#include "transports/delivery.hpp"

#include "caf/test/unit_test.hpp"
#include "support/delivery_fixture.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <sys/file.h>
#include <thread>

using namespace conclave;
using namespace conclave::delivery;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

CAF_TEST_FIXTURE_SCOPE(delivery, delivery_fixture)

CAF_TEST(random changes arrive and go back) {
  int rounds = std::getenv("CONCLAVE_LONG") != nullptr ? 200 : 25;
  for (int seed = 0; seed < rounds; ++seed) {
    std::mt19937 chance{static_cast<unsigned>(seed)};
    random_tree(chance);
    start();
    user_writes("own/of the user", "x"); // nobody else knows it
    auto old = id_of(user);
    change_something(chance, 12);
    auto j = plan();
    auto got = good(apply(j));
    CAF_CHECK_EQUAL(got.skipped.size(), 0u);
    CAF_CHECK(no_rests());
    if (!got.id.empty()) {
      auto mine = names(user), theirs = names(work);
      mine.erase("own");
      mine.erase("own/of the user");
      CAF_CHECK(mine == theirs);
      good(undo(journal, got.id));
      CAF_CHECK(no_rests());
      CAF_CHECK_EQUAL(kind_of(undo(journal, got.id)), fault::missing);
    }
    CAF_CHECK_EQUAL(id_of(user), old);
    CAF_CHECK_EQUAL(remove_tree(work), "");
    fs::create_directory(work);
  }
}

CAF_TEST(modes and owners of the user stay) {
  write("a", "1");
  write("run", "1");
  start();
  ::chmod((user + "/a").c_str(), 0640);
  ::chmod((user + "/run").c_str(), 0600);
  write("a", "2");
  ::chmod((work + "/run").c_str(), 0755);
  auto mode = [&](const char* name) {
    struct stat st {};
    ::stat((user + "/" + name).c_str(), &st);
    return st.st_mode & 07777;
  };
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(got.modified.size(), 2u);
  CAF_CHECK_EQUAL(mode("a"), 0640u);
  CAF_CHECK_EQUAL(mode("run"), 0700u);
  good(undo(journal, got.id));
  CAF_CHECK_EQUAL(mode("a"), 0640u);
  CAF_CHECK_EQUAL(mode("run"), 0600u);
}

CAF_TEST(new files and folders have the modes that the umask gives) {
  write("old", "1");
  write("gone/x", "1");
  ::chmod((work + "/gone/x").c_str(), 0755);
  start();
  ::chmod((user + "/gone").c_str(), 0751);
  ::chmod((user + "/gone/x").c_str(), 0711);
  auto mode = [&](const char* name) {
    struct stat st {};
    ::stat((user + "/" + name).c_str(), &st);
    return st.st_mode & 07777;
  };
  fs::remove_all(work + "/gone");
  write("new/sub/f", "2");
  write("new/run", "2");
  ::chmod((work + "/new/run").c_str(), 0755);
  write("old", "2");
  auto before = mode("old");
  auto mask = ::umask(0027);
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(mode("new"), 0750u);
  CAF_CHECK_EQUAL(mode("new/sub"), 0750u);
  CAF_CHECK_EQUAL(mode("new/sub/f"), 0640u);
  CAF_CHECK_EQUAL(mode("new/run"), 0750u);
  CAF_CHECK_EQUAL(mode("old"), before);
  ::umask(0002);
  good(undo(journal, got.id));
  CAF_CHECK_EQUAL(mode("gone"), 0751u); // as they were
  CAF_CHECK_EQUAL(mode("gone/x"), 0711u);
  good(apply(plan()));
  CAF_CHECK_EQUAL(mode("new"), 0775u);
  CAF_CHECK_EQUAL(mode("new/sub/f"), 0664u);
  auto out = place("out");
  good(kept.restore(plan().after, out, nullptr, 0, {}, true));
  auto of = [](const std::string& path) {
    struct stat st {};
    ::stat(path.c_str(), &st);
    return st.st_mode & 07777;
  };
  CAF_CHECK_EQUAL(of(out), 0775u);
  CAF_CHECK_EQUAL(of(out + "/new/sub"), 0775u);
  CAF_CHECK_EQUAL(of(out + "/new/run"), 0775u);
  CAF_CHECK_EQUAL(of(out + "/old"), 0664u);
  ::umask(mask);
}

CAF_TEST(what the user changed is treated as the policy says) {
  write("both", "base");
  write("gone", "base");
  write("mine", "base");
  start();
  for (auto* name : {"both", "gone", "mine", "new"})
    write(name, "presenter");
  user_writes("both", "user");
  user_writes("new", "user");
  fs::remove(user + "/gone");
  auto before = id_of(user);
  auto j = plan();
  auto proposal = good(propose(j));
  CAF_CHECK_EQUAL(std::count_if(proposal.begin(), proposal.end(), [](auto& p) { return p.state == verdict::drifted; }), 3);
  auto refused = apply(j);
  CAF_REQUIRE_EQUAL(kind_of(refused), fault::drifted);
  CAF_CHECK_NOT_EQUAL(std::get<failure>(refused).text.find("both"), std::string::npos);
  CAF_CHECK_EQUAL(id_of(user), before);

  j.on_drift = policy::skip;
  auto some = good(apply(j));
  CAF_CHECK_EQUAL(some.modified, std::vector<std::string>{"mine"});
  CAF_CHECK_EQUAL(some.skipped.size(), 3u);
  CAF_CHECK_EQUAL(contents(user + "/both"), "user");
  good(undo(journal, some.id));
  CAF_CHECK_EQUAL(id_of(user), before);

  j.on_drift = policy::prefer_presenter;
  auto all = good(apply(j));
  CAF_CHECK_EQUAL(all.skipped.size(), 0u);
  CAF_CHECK_EQUAL(id_of(user), id_of(work));
  good(undo(journal, all.id)); // the user's own bytes, that no snapshot ever had
  CAF_CHECK_EQUAL(id_of(user), before);
}

CAF_TEST(folders of the user stay whatever the policy is) {
  write("d/a", "base");
  write("f", "base");
  write("e/x", "base");
  start();
  fs::remove_all(work + "/d");
  write("d", "now a file");
  write("f", "presenter");
  fs::remove_all(work + "/e");
  user_writes("d/own", "user");
  fs::remove(user + "/f");
  user_writes("f/own", "user");
  user_writes("e/own", "user");
  auto before = id_of(user);
  on_drift = policy::prefer_presenter;
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(contents(user + "/d/own"), "user");
  CAF_CHECK_EQUAL(contents(user + "/d/a"), "base");
  CAF_CHECK_EQUAL(contents(user + "/f/own"), "user");
  CAF_CHECK_EQUAL(contents(user + "/e/own"), "user");
  CAF_CHECK(!fs::exists(user + "/e/x"));
  for (auto* p : {"d", "d/a", "f", "e"})
    CAF_CHECK_NOT_EQUAL(why(got, p), "");
  good(undo(journal, got.id));
  CAF_CHECK_EQUAL(id_of(user), before);
}

CAF_TEST(what may not be touched is not ) {
  write(".env", "KEY=1");
  write("lock/a", "base");
  write("ok", "base");
  start();
  write(".env", "KEY=2");
  write("lock/a", "changed");
  write("lock/b", "new");
  write("ok", "changed");
  auto j = plan();
  j.allowed = [](const std::string& path, path_policy::access) {
    return path == ".env" ? std::string{"secret"} : path.starts_with("lock") ? std::string{"protected"} : std::string{};
  };
  auto got = good(apply(j));
  CAF_CHECK_EQUAL(got.modified, std::vector<std::string>{"ok"});
  CAF_CHECK_EQUAL(why(got, ".env"), "secret");
  CAF_CHECK_EQUAL(contents(user + "/.env"), "KEY=1");
  CAF_CHECK_EQUAL(contents(user + "/lock/a"), "base");
  CAF_CHECK(!fs::exists(user + "/lock/b"));
  // A folder that goes keeps what is protected in it.
  fs::remove_all(work + "/lock");
  j = plan();
  j.on_drift = policy::skip;
  j.allowed = [](const std::string& path, path_policy::access) {
    return path == "lock/a" ? std::string{"protected"} : std::string{};
  };
  good(apply(j));
  CAF_CHECK_EQUAL(contents(user + "/lock/a"), "base");
  // Nobody to ask: nothing is allowed.
  j.allowed = {};
  CAF_CHECK_EQUAL(good(apply(j)).id, "");
}

CAF_TEST(a folder swapped for a link is not written through) {
  write("d/a", "base");
  write("b", "base");
  start();
  fs::create_directory(place("outside"));
  std::ofstream{place("outside") + "/a"} << "base";
  write("d/a", "changed");
  write("d/new", "new");
  write("b", "changed");
  fs::remove_all(user + "/d");
  fs::create_directory_symlink(place("outside"), user + "/d");
  CAF_CHECK_EQUAL(kind_of(apply(plan())), fault::drifted);
  for (auto p : {policy::skip, policy::prefer_presenter}) {
    on_drift = p;
    good(apply(plan()));
    CAF_CHECK_EQUAL(contents(place("outside") + "/a"), "base");
    CAF_CHECK(!fs::exists(place("outside") + "/new"));
    CAF_CHECK(fs::is_symlink(user + "/d"));
  }
  // A file that is a link is no file of the base.
  fs::remove(user + "/b");
  fs::create_symlink(place("outside") + "/a", user + "/b");
  on_drift = policy::prefer_presenter;
  good(apply(plan()));
  CAF_CHECK(!fs::is_symlink(user + "/b"));
  CAF_CHECK_EQUAL(contents(place("outside") + "/a"), "base");
  // The target itself.
  fs::rename(user, place("moved"));
  fs::create_directory_symlink(place("moved"), user);
  CAF_CHECK_EQUAL(kind_of(apply(plan())), fault::denied);
}

CAF_TEST(a new link that goes on through an outward link of the user is left out and named) {
  write("d/a", "base");
  write("real/a", "base");
  start();
  fs::create_directory(place("outside"));
  std::ofstream{place("outside") + "/a"} << "outside";
  fs::create_directory_symlink(place("outside"), user + "/out"); // in no copy
  fs::create_directory_symlink("../outside", user + "/up");
  fs::create_directory_symlink("d", user + "/in");
  fs::create_directory_symlink(user + "/real", user + "/absolute");
  fs::create_symlink("out/a", work + "/direct");
  fs::create_symlink("../up/a", work + "/d/above");
  fs::create_symlink("direct", work + "/second"); // of the agents' own
  fs::create_symlink("in/a", work + "/good");
  fs::create_symlink("absolute/a", work + "/good too");
  fs::create_symlink("gone", work + "/dangling");
  fs::create_symlink("round", work + "/round");
  for (auto p : {policy::fail, policy::prefer_presenter}) {
    on_drift = p;
    auto proposal = good(propose(plan()));
    CAF_CHECK_EQUAL(std::count_if(proposal.begin(), proposal.end(), [](auto& x) { return x.state == verdict::denied; }), 3);
    auto got = good(apply(plan()));
    CAF_CHECK_EQUAL(got.skipped.size(), 3u);
    CAF_CHECK_EQUAL(why(got, "direct"), "it leads out of the folder through out, which is a link there");
    CAF_CHECK_EQUAL(why(got, "second"), "it leads out of the folder through out, which is a link there");
    CAF_CHECK_EQUAL(why(got, "d/above"), "it leads out of the folder through up, which is a link there");
    for (auto* name : {"good", "good too", "dangling", "round"})
      CAF_CHECK(fs::is_symlink(user + "/" + name));
    for (auto* name : {"direct", "second", "d/above"})
      CAF_CHECK(!fs::is_symlink(user + "/" + name));
    good(undo(journal, got.id));
  }
}

CAF_TEST(what lies behind an outward link of the user is never written through it) {
  write("a", "base");
  start();
  fs::create_directories(place("outside") + "/sub");
  std::ofstream{place("outside") + "/a"} << "outside";
  auto outside = id_of(place("outside"));
  fs::create_directory_symlink(place("outside"), user + "/out");
  write("out/a", "agents'");
  write("out/sub/deep", "agents'");
  write("a", "changed");
  CAF_CHECK_EQUAL(kind_of(apply(plan())), fault::drifted);
  for (auto p : {policy::skip, policy::prefer_presenter}) {
    on_drift = p;
    auto got = good(apply(plan()));
    for (auto* name : {"out", "out/a", "out/sub", "out/sub/deep"})
      CAF_CHECK_NOT_EQUAL(why(got, name), "");
    CAF_CHECK_EQUAL(contents(user + "/a"), "changed");
    CAF_CHECK_EQUAL(id_of(place("outside")), outside);
    CAF_CHECK(fs::is_symlink(user + "/out"));
    good(undo(journal, got.id));
  }
}

CAF_TEST(links are never followed while somebody swaps folders) {
  for (int i = 0; i < 20; ++i)
    write("d/f" + std::to_string(i), "base");
  start();
  fs::create_directory(place("outside"));
  for (int i = 0; i < 20; ++i)
    std::ofstream{place("outside") + "/f" + std::to_string(i)} << "outside";
  auto outside = id_of(place("outside"));
  for (int i = 0; i < 20; ++i)
    write("d/f" + std::to_string(i), "changed");
  std::atomic<bool> end = false;
  std::thread swapper{[&] {
    while (!end) {
      ::rename((user + "/d").c_str(), (user + "/away").c_str());
      (void) !::symlink(place("outside").c_str(), (user + "/d").c_str());
      ::unlink((user + "/d").c_str());
      ::rename((user + "/away").c_str(), (user + "/d").c_str());
    }
  }};
  int rounds = std::getenv("CONCLAVE_LONG") != nullptr ? 300 : 30;
  auto j = plan();
  j.on_drift = policy::prefer_presenter;
  for (int i = 0; i < rounds; ++i) {
    auto got = apply(j);
    if (auto* a = std::get_if<applied>(&got); a != nullptr && !a->id.empty())
      undo(journal, a->id);
  }
  end = true;
  swapper.join();
  CAF_CHECK_EQUAL(id_of(place("outside")), outside);
  good(recover(journal));
}

CAF_TEST(undo refuses where the user went on) {
  write("a", "base");
  write("gone", "base");
  start();
  write("a", "changed");
  write("new/x", "new");
  fs::remove(work + "/gone");
  auto got = good(apply(plan()));
  auto after = id_of(user);
  user_writes("a", "user");
  auto refused = undo(journal, got.id);
  CAF_REQUIRE_EQUAL(kind_of(refused), fault::drifted);
  CAF_CHECK_EQUAL(std::get<failure>(refused).largest[0].path, "a");
  user_writes("a", "changed");
  user_writes("gone", "again");
  refused = undo(journal, got.id);
  CAF_REQUIRE_EQUAL(kind_of(refused), fault::drifted);
  CAF_CHECK_EQUAL(std::get<failure>(refused).largest[0].path, "gone");
  fs::remove(user + "/gone");
  CAF_CHECK_EQUAL(id_of(user), after);
  user_writes("new/own", "user"); // beside what was added: stays
  auto back = good(undo(journal, got.id));
  CAF_CHECK_EQUAL(contents(user + "/a"), "base");
  CAF_CHECK_EQUAL(contents(user + "/gone"), "base");
  CAF_CHECK(!fs::exists(user + "/new/x"));
  CAF_CHECK_EQUAL(contents(user + "/new/own"), "user");
  CAF_CHECK_NOT_EQUAL(why(back, "new"), "");
  auto past = history(journal);
  CAF_REQUIRE_EQUAL(past.size(), 1u);
  CAF_CHECK(past[0].undone() && past[0].undone_ms >= past[0].applied_ms && past[0].applied_ms > 1'600'000'000'000);
  CAF_CHECK(past[0].files > 0);
  CAF_CHECK_EQUAL(past[0].target, user);
  CAF_CHECK_EQUAL(forget(journal, got.id), "");
  CAF_CHECK_EQUAL(history(journal).size(), 0u);
}

CAF_TEST(a journal tells how many paths were written and what of it was noted) {
  CAF_CHECK(!has_unnoted(journal)); // there is none
  write("a", "base");
  write("gone", "base");
  start();
  write("a", "changed");
  write("new/x", "new");
  fs::remove(work + "/gone");
  auto one = good(apply(plan()));
  auto past = history(journal);
  CAF_REQUIRE_EQUAL(past.size(), 1u);
  CAF_CHECK_EQUAL(past[0].files, 3u);
  CAF_CHECK_EQUAL(past[0].paths, one.added.size() + one.modified.size() + one.removed.size());
  CAF_CHECK_EQUAL(past[0].paths, 4u);
  CAF_CHECK_EQUAL(past[0].paths_undone, 0u);
  CAF_CHECK(has_unnoted(journal));
  mark_noted(journal, past);
  CAF_CHECK(!has_unnoted(journal));
  auto back = good(undo(journal, one.id));
  CAF_CHECK(has_unnoted(journal)); // the undo
  mark_noted(journal, past);       // as it was before
  CAF_CHECK(has_unnoted(journal));
  past = history(journal);
  CAF_CHECK_EQUAL(past[0].paths_undone, back.added.size() + back.modified.size() + back.removed.size());
  CAF_CHECK_EQUAL(past[0].paths_undone, 4u);
  mark_noted(journal, past);
  CAF_CHECK(!has_unnoted(journal));
  auto two = good(apply(plan()));
  CAF_CHECK(has_unnoted(journal));
  CAF_CHECK_EQUAL(history(journal).size(), 2u);
  CAF_CHECK_EQUAL(good(recover(journal)).size(), 0u); // nothing of it stands in the way
  CAF_CHECK_EQUAL(forget(journal, one.id) + forget(journal, two.id), "");
  mark_noted(journal, past); // they are gone
  CAF_CHECK(!has_unnoted(journal));
  CAF_CHECK_EQUAL(history(journal).size(), 0u);
}

CAF_TEST(one at a time) {
  write("a", "base");
  start();
  write("a", "changed");
  auto j = plan(), other = j, elsewhere = j;
  other.journal = place("journal2");
  elsewhere.journal = place("journal3");
  elsewhere.target = place("user2");
  fs::copy(user, elsewhere.target, fs::copy_options::recursive);
  int asked = 0;
  j.allowed = [&](const std::string&, path_policy::access) {
    ++asked;
    CAF_CHECK_EQUAL(kind_of(apply(j)), fault::busy);     // by its journal
    CAF_CHECK_EQUAL(kind_of(apply(other)), fault::busy); // by its folder
    CAF_CHECK_EQUAL(good(propose(other)).size(), 1u);    // writes nothing
    CAF_CHECK_EQUAL(good(apply(elsewhere)).modified.size(), 1u);
    return std::string{};
  };
  CAF_CHECK_EQUAL(good(apply(j)).modified.size(), 1u);
  CAF_CHECK_EQUAL(asked, 1);
  CAF_CHECK_EQUAL(good(apply(other)).modified.size(), 0u);
  CAF_CHECK(fs::is_empty(place(".targets")));
}

CAF_TEST(a lock of somebody who may read the folder stops nothing) {
  write("a", "base");
  start();
  write("a", "changed");
  auto held = ::open(user.c_str(), O_RDONLY | O_DIRECTORY);
  CAF_REQUIRE_EQUAL(::flock(held, LOCK_EX), 0);
  auto got = good(apply(plan()));
  CAF_CHECK_EQUAL(got.modified.size(), 1u);
  good(undo(journal, got.id));
  ::close(held);
}

CAF_TEST_FIXTURE_SCOPE_END()
