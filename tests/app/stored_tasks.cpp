// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.stored_tasks

// What is deleted of tasks, and what is not.

#include "app/stored_tasks.hpp"

#include "app/engine.hpp"
#include "app/task_changes.hpp"
#include "support/delivery_fixture.hpp"
#include "support/store_fixture.hpp"
#include "support/stored_task.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

struct deleting_fixture {
  temp_dir place;
  std::string home = (place.path / "home").string();
  std::unique_ptr<event_store> other;

  deleting_fixture() {
    fs::create_directory(home);
    fs::permissions(home, fs::perms::owner_all);
    ::setenv("CONCLAVE_HOME", home.c_str(), 1);
    other = open_store(home + "/tasks.db");
  }
  ~deleting_fixture() { ::unsetenv("CONCLAVE_HOME"); }

  /// One that was cut off, or that has ended so, with a log and a workspace.
  void keep(const std::string& task, const std::string& outcome = "", std::vector<earlier_answer> answers = {}) {
    stored_task played{ledger::rules{}, {"a"}, std::move(answers)};
    played.x.answer("a", "one");
    append_note note{1, "why?", outcome, 2, {"here", 1, 1}};
    CAF_REQUIRE(append(*other, task, 1, 0, played.lines, note).code == ec::none);
    other.reset(); // and nobody works on it any more
    other = open_store(home + "/tasks.db");
    for (auto* folder : {"/logs/", "/work/"}) {
      fs::create_directories(home + folder + task);
      std::ofstream{home + folder + task + "/f"} << "x";
    }
  }
  claim_result take_up(const std::string& task) {
    std::promise<claim_result> got;
    other->claim(task, {"here", 1, 1}, [&](claim_result r) { got.set_value(std::move(r)); });
    return got.get_future().get();
  }
  bool has_files(const std::string& task) {
    return fs::exists(home + "/logs/" + task + "/f") && fs::exists(home + "/work/" + task + "/f");
  }
};

} // namespace

CAF_TEST_FIXTURE_SCOPE(stored_tasks_tests, deleting_fixture)

CAF_TEST(nothing of a task that is taken up meanwhile is deleted) {
  const std::string mine = "20260101-000000-aaaaaa", theirs = "20260101-000001-bbbbbb";
  keep(mine);
  keep(theirs);
  stored_tasks s;
  CAF_REQUIRE_EQUAL(s.open(), 0);
  CAF_REQUIRE(!s.row(theirs).live);
  CAF_REQUIRE(take_up(theirs).code == ec::none); // between the look and the deletion
  std::vector<std::string> deleted;
  CAF_CHECK_EQUAL(s.forget({mine, theirs}, deleted), 2);
  CAF_CHECK_EQUAL(deleted, std::vector<std::string>{mine});
  CAF_CHECK(!has_files(mine));
  CAF_CHECK(has_files(theirs));
  deleted.clear();
  CAF_CHECK_EQUAL(s.forget({theirs}, deleted, true), 0); // as prune, which leaves them alone
  CAF_CHECK_EQUAL(deleted.size(), 0u);
  CAF_CHECK(has_files(theirs));
  other->release(theirs);
}

CAF_TEST(nobody takes up a task that is about to be deleted) {
  const std::string task = "20260101-000000-aaaaaa";
  keep(task);
  std::string error;
  auto deleting = event_store::open(home + "/tasks.db", error, store_use::deleting);
  CAF_REQUIRE_EQUAL(error, "");
  auto kept = ec::denied;
  auto keep = [&] { deleting->claim(task, {}, [&kept](const claim_result& r) { kept = r.code; }); };
  keep();
  CAF_CHECK(kept == ec::none);
  CAF_CHECK(take_up(task).code == ec::denied);
  deleting.reset(); // killed, as it were
  CAF_CHECK(take_up(task).code == ec::none);
  deleting = event_store::open(home + "/tasks.db", error, store_use::deleting);
  keep();
  CAF_CHECK(kept == ec::denied);
  CAF_CHECK_EQUAL(deleting->remove_all({task}, error).size(), 0u);
  other->release(task);
}

CAF_TEST(a task that has ended is held by one at a time and is kept until then) {
  const std::string task = "20260101-000000-aaaaaa", open = "20260101-000001-bbbbbb";
  keep(task, "answered");
  keep(open);
  std::string why;
  auto hold = task_hold::of_ended(*other, task, why);
  CAF_REQUIRE(hold);
  CAF_CHECK_EQUAL(why, "");
  auto named = "is in use: process " + std::to_string(::getpid()) + " on ";
  auto another = open_store(home + "/tasks.db");
  for (auto* in : {other.get(), another.get()}) {
    CAF_CHECK(!task_hold::of_ended(*in, task, why));
    CAF_CHECK_NOT_EQUAL(why.find(named), std::string::npos);
    CAF_CHECK_NOT_EQUAL(why.find("answer what it asks, or wait until it has ended"), std::string::npos);
  }
  CAF_CHECK(!another->remove(task, why));
  CAF_CHECK_NOT_EQUAL(why.find(named), std::string::npos);
  stored_tasks s;
  CAF_REQUIRE_EQUAL(s.open(), 0);
  std::vector<std::string> deleted;
  CAF_CHECK_EQUAL(s.hold(task), 2);
  CAF_CHECK_EQUAL(s.forget({task}, deleted), 2);
  CAF_CHECK_EQUAL(deleted.size(), 0u);
  CAF_CHECK(has_files(task));
  hold.reset();
  while (row_of(*another, task).live)
    std::this_thread::yield();
  CAF_CHECK_EQUAL(row_of(*another, task).owner.pid, 1); // by whom the rest of that process is looked after
  // Who was killed holds nothing, and leaves its name.
  another = nullptr;
  {
    auto killed = open_store(home + "/tasks.db");
    CAF_CHECK(claim(*killed, task, {"here", 7, 7}).code == ec::none);
  }
  CAF_CHECK_EQUAL(row_of(*other, task).owner.pid, 7);
  // One that has not ended is nothing to be held: what is to be done with it is refused for that.
  auto before = claim(*other, open).fence;
  other->release(open);
  while (row_of(*other, open).live)
    std::this_thread::yield();
  CAF_CHECK(!task_hold::of_ended(*other, open, why));
  CAF_CHECK_EQUAL(why, "");
  CAF_CHECK_EQUAL(claim(*other, open).fence, before + 1);
  CAF_CHECK_EQUAL(s.hold(task), 0);
  CAF_CHECK_EQUAL(row_of(*other, task).owner.pid, ::getpid());
  s.let_go();
  CAF_CHECK_EQUAL(s.forget({task}, deleted), 0);
  CAF_CHECK(!has_files(task));
  CAF_CHECK(!task_hold::of_ended(*other, task, why));
  CAF_CHECK_NOT_EQUAL(why.find("has no task " + task), std::string::npos);
}

CAF_TEST(an engine goes on with no task that is in use and from no answer whose files are gone) {
  const std::string ended = "20260101-000000-aaaaaa", open = "20260101-000001-bbbbbb";
  keep(ended, "failed");
  keep(open, "", {{"a", "agent1.1", "text", 1, std::string(64, '0'), 1, 3}});
  engine eng;
  CAF_REQUIRE_EQUAL(eng.error(), "");
  auto resumed = [&](const std::string& task) {
    std::promise<outcome> end;
    eng.resume({task, {}, nullptr, {}}, {}, [&](outcome o) { end.set_value(std::move(o)); });
    return end.get_future().get();
  };
  std::string why;
  auto hold = task_hold::of_ended(*other, ended, why);
  CAF_REQUIRE(hold);
  auto o = resumed(ended);
  CAF_CHECK(o.code == ec::denied);
  CAF_CHECK_NOT_EQUAL(o.error.find("is in use: process " + std::to_string(::getpid())), std::string::npos);
  for (auto i = 0; i < 2; ++i) { // it was let go of
    o = resumed(open);
    CAF_CHECK(o.code == ec::bad_config);
    CAF_CHECK_NOT_EQUAL(o.error.find("the files of 'a' (agent1.1) are gone: there is no snapshot 0000"), std::string::npos);
  }
  CAF_CHECK_EQUAL(eng.store().list(why).size(), 2u);
}

CAF_TEST(a task whose half - written changes cannot be taken back is kept) {
  const std::string task = "20260101-000000-aaaaaa";
  keep(task);
  stored_tasks s;
  CAF_REQUIRE_EQUAL(s.open(), 0);
  // An apply that was ended after it gave `d/f` another text; the folder is somewhere else by now.
  auto user = (place.path / "user").string(), stage = user + "/.conclave-AAAAAA", journal = journal_of(home, task) + "/AAAAAA";
  fs::create_directories(user + "/d");
  fs::create_directories(stage);
  fs::create_directories(journal + "/old");
  std::ofstream{user + "/d/f"} << "new";
  std::ofstream{stage + "/0"} << "old";
  std::ofstream{journal + "/old/0"} << "old";
  auto state = [](const std::string& path) {
    struct stat st {};
    CAF_REQUIRE_EQUAL(::stat(path.c_str(), &st), 0);
    return " 1 420 0 0 3 " + std::to_string(st.st_ino) + " "
           + std::to_string(st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec) + " -";
  };
  struct stat st {};
  ::stat(user.c_str(), &st);
  auto hex = [](const std::string& text) {
    std::string out;
    for (auto c : text)
      for (auto digit : {c >> 4, c & 15})
        out += "0123456789abcdef"[digit];
    return out;
  };
  std::ofstream{journal + "/target"} << hex(user) << " " << st.st_ino << "\n";
  std::ofstream{journal + "/plan"} << "plan 1 1\nc " << hex("d/f") << state(stage + "/0") << state(user + "/d/f") << "\n";
  fs::rename(user + "/d", user + "/e");
  std::vector<std::string> deleted;
  CAF_CHECK_EQUAL(s.forget({task}, deleted), 2);
  CAF_CHECK_EQUAL(deleted.size(), 0u);
  CAF_CHECK(has_files(task));
  CAF_CHECK(fs::exists(stage + "/0"));
  CAF_CHECK_NOT_EQUAL(undo_changes(home, task).find("1 path could not be taken back: d/f (its folder is not there)"),
                      std::string::npos);
  fs::rename(user + "/e", user + "/d");
  CAF_CHECK_EQUAL(s.forget({task}, deleted), 0);
  CAF_CHECK_EQUAL(deleted.size(), 1u);
  CAF_CHECK_EQUAL(read_whole(user + "/d/f"), "old");
  CAF_CHECK(!fs::exists(stage));
}

CAF_TEST_FIXTURE_SCOPE_END()
