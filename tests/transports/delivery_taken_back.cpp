// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What becomes of half-written changes where what was written, or what lay beside it, is not where it was.

#define CAF_SUITE transports.delivery_taken_back

#include "caf/test/unit_test.hpp"
#include "support/delivery_fixture.hpp"
#include "support/traced.hpp"

#include <cstdio>
#include <sys/stat.h>

using namespace conclave;
using namespace conclave::delivery;
using namespace conclave::snapshots;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

constexpr int files = 12;

struct broken_fixture : delivery_fixture {
  std::string old, next, id, stage;

  /// A folder `d` in which the changes replace, remove and add a file each, and one beside it.
  delivery::job changes() {
    write("top", "base");
    for (int i = 0; i < files; ++i)
      write("d/f" + std::to_string(i), "base " + std::to_string(i));
    start();
    old = id_of(user);
    write("top", "changed");
    for (int i = 0; i < files; ++i) {
      auto name = "d/f" + std::to_string(i);
      if (i % 3 == 0)
        fs::remove(work + "/" + name);
      else
        write(i % 3 == 1 ? name : name + ".new", "changed " + std::to_string(i));
    }
    auto j = plan();
    next = id_of(work);
    return j;
  }
  /// Runs it until before its n-th renaming, then does something, or kills it. Returns false where that cannot be done.
  template <class F>
  bool until(F what, long n, const std::function<void()>& then = {}) {
    auto got = changes_until_end(what, n, SYS_renameat2, then);
    if (got < 0) {
      std::puts("skipped: the kernel lets nobody trace a child here");
      CAF_CHECK(true);
    }
    return got >= 0;
  }
  std::vector<std::string> left(const std::string& in, const std::string& prefix) {
    std::vector<std::string> out;
    for (auto& f : fs::directory_iterator(in))
      if (f.path().filename().string().starts_with(prefix))
        out.push_back(f.path());
    return out;
  }
  recovered only() {
    auto got = good(recover(journal));
    CAF_REQUIRE_EQUAL(got.size(), 1u);
    return got.front();
  }
  void forgets_nothing_more() {
    CAF_CHECK(no_rests());
    CAF_CHECK_EQUAL(good(recover(journal)).size(), 0u);
    CAF_CHECK_EQUAL(history(journal).size(), 0u);
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(delivery_taken_back, broken_fixture)

CAF_TEST(an apply whose folder is swapped for a link keeps what it cannot put back) {
  auto j = changes();
  auto moved = place("moved"), said = place("said");
  auto apply_and_say = [&] {
    auto got = apply(j);
    auto* bad = std::get_if<failure>(&got);
    std::ofstream{said} << (bad != nullptr ? std::to_string(static_cast<int>(bad->kind)) + " " + bad->text : "applied");
  };
  if (!until(apply_and_say, 8, [&] {
        fs::rename(user + "/d", moved);
        fs::create_directory_symlink(moved, user + "/d");
      }))
    return;
  auto text = contents(said);
  CAF_CHECK(text.starts_with(std::to_string(static_cast<int>(fault::io))));
  CAF_CHECK(!has(text, "nothing was written"));
  CAF_CHECK(has(text, "could not be taken back: d/f"));
  CAF_CHECK(has(text, "(its folder is a link or a file now)"));
  CAF_CHECK_EQUAL(contents(user + "/top"), "base");
  // Nor is it at the next start, which says so, and keeps it.
  auto e = only();
  CAF_CHECK(!e.completed);
  CAF_CHECK(e.text.starts_with("left for later: what had been begun in "));
  CAF_CHECK(has(e.text, "could not be taken back: d/f"));
  CAF_CHECK_EQUAL(left(user, ".conclave-").size(), 1u);
  fs::remove(user + "/d");
  fs::rename(moved, user + "/d");
  e = only();
  CAF_CHECK(e.text.starts_with("taken back: "));
  CAF_CHECK_EQUAL(id_of(user), old);
  forgets_nothing_more();
}

CAF_TEST(a killed apply whose folder is renamed is taken back where that is put right) {
  auto j = changes();
  for (long moment = 1; moment < 14; ++moment) {
    if (!until([&] { apply(j); }, moment))
      return;
    auto wrote = id_of(user) != old;
    fs::rename(user + "/d", user + "/e");
    auto got = good(recover(journal));
    if (got.empty() || !wrote) { // it was before the plan
      fs::rename(user + "/e", user + "/d");
      CAF_CHECK_EQUAL(id_of(user), old);
      continue;
    }
    CAF_CHECK(!got.front().completed);
    fs::rename(user + "/e", user + "/d");
    good(recover(journal));
    CAF_CHECK_EQUAL(id_of(user), old);
    forgets_nothing_more();
  }
}

CAF_TEST(a killed undo whose folder is renamed is taken back where that is put right) {
  auto j = changes();
  for (long moment = 1; moment < 14; moment += 3) {
    auto mine = good(apply(j)).id;
    if (!until([&] { undo(journal, mine); }, moment))
      return;
    auto wrote = id_of(user) != next;
    fs::rename(user + "/d", user + "/e");
    good(recover(journal));
    fs::rename(user + "/e", user + "/d");
    good(recover(journal));
    CAF_CHECK_EQUAL(id_of(user), next);
    CAF_CHECK(no_rests());
    CAF_CHECK(wrote || moment < 5);
    good(undo(journal, mine));
    CAF_CHECK_EQUAL(id_of(user), old);
  }
}

CAF_TEST(a killed apply whose new and old files were deleted is taken back from its copies) {
  auto j = changes();
  int taken_back = 0;
  for (long moment = 1; moment < 16; ++moment)
    for (auto whole : {true, false}) {
      if (!until([&] { apply(j); }, moment))
        return;
      auto wrote = id_of(user) != old;
      for (auto& path : left(user, ".conclave-"))
        if (whole)
          fs::remove_all(path);
        else
          for (auto& f : left(path, ""))
            fs::remove_all(f);
      auto got = good(recover(journal));
      taken_back += wrote && !got.empty() && got.front().text.ends_with("as not all that it needs is there any more");
      for (auto& p : history(journal)) { // nothing was left to do
        good(undo(journal, p.id));
        CAF_CHECK_EQUAL(remove_tree(journal), "");
      }
      CAF_CHECK_EQUAL(id_of(user), old);
      forgets_nothing_more();
    }
  CAF_CHECK_GREATER(taken_back, 10);
}

CAF_TEST(a killed undo whose files were deleted is completed from the copies) {
  auto j = changes();
  int completed = 0;
  for (long moment = 1; moment < 16; ++moment) {
    auto mine = good(apply(j)).id;
    if (!until([&] { undo(journal, mine); }, moment))
      return;
    auto wrote = id_of(user) != next;
    for (auto& path : left(user, ".conclave-"))
      fs::remove_all(path);
    for (auto& e : good(recover(journal)))
      completed += wrote && e.completed;
    if (id_of(user) != old)
      good(undo(journal, mine));
    CAF_CHECK_EQUAL(id_of(user), old);
    CAF_CHECK(no_rests());
  }
  CAF_CHECK_GREATER(completed, 5);
}

CAF_TEST(what the user changed of a killed apply stays and what it was is kept) {
  auto j = changes();
  if (!until([&] { apply(j); }, 9)) // after it replaced some
    return;
  std::string mine;
  for (int i = 1; i < files; i += 3)
    if (auto path = user + "/d/f" + std::to_string(i); mine.empty() && contents(path).starts_with("changed"))
      mine = path;
  CAF_REQUIRE(!mine.empty());
  std::ofstream{mine} << "changed, and by the user";
  auto e = only();
  CAF_CHECK(has(e.text, "1 path could not be taken back: d/"));
  CAF_CHECK(has(e.text, "(it was changed since: move it away)"));
  CAF_CHECK_EQUAL(contents(mine), "changed, and by the user");
  fs::rename(mine, place("mine"));
  e = only();
  CAF_CHECK(e.text.starts_with("taken back: "));
  CAF_CHECK_EQUAL(id_of(user), old);
  forgets_nothing_more();
}

CAF_TEST(a folder that a killed undo makes again is never seen with another mode) {
  write("d/e/x", "base");
  write("top", "base");
  start();
  ::chmod((user + "/d").c_str(), 0751);
  ::chmod((user + "/d/e").c_str(), 0705);
  auto mode = [&](const char* name) {
    struct stat st {};
    return ::stat((user + "/" + name).c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  };
  fs::remove_all(work + "/d");
  write("top", "changed");
  auto j = plan();
  int made = 0;
  for (long moment = 1;; ++moment) {
    auto mine = good(apply(j)).id;
    CAF_REQUIRE_EQUAL(mode("d"), 0u);
    auto count = changes_until_end([&] { undo(journal, mine); }, moment);
    if (count < 0) {
      std::puts("skipped: the kernel lets nobody trace a child here");
      CAF_CHECK(true);
      return;
    }
    for (auto* when : {"then", "after the next start"}) {
      CAF_MESSAGE("killed at " << moment << ", " << when);
      made += mode("d") != 0;
      CAF_CHECK(mode("d") == 0 || mode("d") == 0751);
      CAF_CHECK(mode("d/e") == 0 || mode("d/e") == 0705);
      good(recover(journal));
    }
    if (mode("d") == 0)
      good(undo(journal, mine));
    CAF_CHECK_EQUAL(mode("d"), 0751u);
    CAF_CHECK_EQUAL(mode("d/e"), 0705u);
    CAF_CHECK_EQUAL(remove_tree(journal), "");
    if (count < moment)
      break; // it had ended
  }
  CAF_CHECK_GREATER(made, 10);
}

CAF_TEST(a killed apply that is taken back is so also if that is killed) {
  auto j = changes();
  for (long moment = 1; moment < 30; moment += 2) {
    if (!until([&] { apply(j); }, 12))
      return;
    write("other", "x");
    user_writes("d/f11.new", "the user's"); // so that it cannot be completed
    until([&] { recover(journal); }, moment);
    good(recover(journal));
    CAF_CHECK_EQUAL(contents(user + "/d/f11.new"), "the user's");
    fs::remove(user + "/d/f11.new");
    CAF_CHECK_EQUAL(id_of(user), old);
    forgets_nothing_more();
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
