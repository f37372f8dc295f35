// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE app.delivery_log

// The log of a task that has ended is told what its journal of deliveries has.

#include "app/delivery_log.hpp"

#include "app/stored_tasks.hpp"
#include "app/task_changes.hpp"
#include "protocols/events.hpp"
#include "support/delivery_fixture.hpp"
#include "support/store_fixture.hpp"
#include "support/stored_task.hpp"
#include "transports/cassette_notes.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace conclave;
using namespace conclave::test;

namespace {

constexpr std::int64_t last_ms = 5'000; ///< of the row, as the task left it

struct told_fixture : delivery_fixture {
  temp_dir home_dir;
  std::string own = home_dir.path.string(), task = "20260101-000000-abcd";
  stored_task played{ledger::rules{}, {"a"}};
  std::unique_ptr<event_store> store = open_store(own + "/tasks.db");

  told_fixture() {
    std::filesystem::create_directories(own + "/deliveries");
    journal = journal_of(own, task);
    played.x.answer("a", "one");
    played.x.vote("a", "agent1");
    played.x.present("the final words");
    CAF_REQUIRE(played.x.s.phase == ledger::phase::done);
    write("a", "base");
    write("gone", "base");
    start();
    write("a", "changed");
    write("new/x", "new");
    std::filesystem::remove(work + "/gone");
  }
  void keep(bool ended = true) {
    auto lines = played.lines;
    if (!ended)
      lines.pop_back();
    append_note note{last_ms, "why?", ended ? "answered" : "", 2, {"here", 1, 1}};
    CAF_REQUIRE(append(*store, task, 1, 0, lines, note).code == ec::none);
    if (!ended)
      store->release(task);
  }
  std::string apply_once() { return good(delivery::apply(plan())).id; }
  std::string tell(event_store& in, std::vector<event>* told = nullptr) { return log_deliveries(in, own, task, told); }
  std::string tell() { return tell(*store); }

  log_t log() {
    std::string error;
    log_t out;
    for (auto& stored : store->read(task, 0, error)) {
      out.emplace_back();
      CAF_REQUIRE(wire::from_json(stored.json, out.back()));
    }
    CAF_CHECK_EQUAL(error, "");
    return out;
  }
  /// What stands behind the end: "+id" for an apply, "-id" for an undo.
  std::string behind() {
    std::string out;
    auto ended = false;
    for (auto& e : log()) {
      if (ended)
        out += (out.empty() ? "" : " ")
               + (is_delivery(e.type) ? (e.type == event_type::changes_applied ? "+" : "-") + e.label : to_string(e.type));
      ended = ended || e.type == event_type::task_ended;
    }
    return out;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

CAF_TEST_FIXTURE_SCOPE(delivery_log_tests, told_fixture)

CAF_TEST(each delivery is told once and in order and the task stays as it ended) {
  keep();
  auto before = row_of(*store, task);
  CAF_CHECK_EQUAL(tell(), "");
  CAF_CHECK_EQUAL(behind(), ""); // nothing was applied
  auto one = apply_once();
  std::vector<event> told;
  CAF_CHECK_EQUAL(tell(*store, &told), "");
  CAF_CHECK_EQUAL(behind(), "+" + one);
  CAF_REQUIRE_EQUAL(told.size(), 1u);
  CAF_CHECK(told[0] == [&] {
    auto e = log().back();
    e.task = task;
    return e;
  }());
  CAF_CHECK((events::delivery_of(told[0]) == events::delivery_note{user, 4, one})); // a, gone, new, new/x
  told.clear();
  CAF_CHECK_EQUAL(tell(*store, &told), "");
  CAF_CHECK(told.empty());
  good(delivery::undo(journal, one));
  CAF_CHECK_EQUAL(tell(), "");
  auto two = apply_once();
  CAF_CHECK_EQUAL(tell(), "");
  CAF_CHECK_EQUAL(tell(), "");
  CAF_CHECK_EQUAL(behind(), "+" + one + " -" + one + " +" + two);
  auto whole = log();
  CAF_CHECK(std::is_sorted(whole.begin(), whole.end(), [](auto& a, auto& b) { return a.time_ms < b.time_ms; }));
  CAF_CHECK_EQUAL(events::delivery_of(whole[whole.size() - 2]).paths, 4u);
  CAF_CHECK_EQUAL(played.verify(whole), "");
  CAF_CHECK(ledger::restore(whole).state == ledger::restore(played.log()).state);
  CAF_CHECK(outcome_of(task, whole) == outcome_of(task, played.log()));
  while (row_of(*store, task).live) // it is being let go of
    std::this_thread::yield();
  auto now = row_of(*store, task);
  CAF_CHECK_EQUAL(now.events, before.events + 3);
  CAF_CHECK_EQUAL(now.outcome, "answered");
  CAF_CHECK_EQUAL(now.last_ms, last_ms);
  CAF_CHECK_EQUAL(now.owner.pid, before.owner.pid); // by whom the rest of that process is looked after
  CAF_CHECK_EQUAL(now.owner.host, before.owner.host);
}

CAF_TEST(a process that was killed between journal and log is made good by the next one) {
  keep();
  auto one = apply_once();
  good(delivery::undo(journal, one));
  CAF_CHECK(delivery::has_unnoted(journal));
  { // it had got as far as the claim
    auto killed = open_store(own + "/tasks.db");
    CAF_CHECK(conclave::test::claim(*killed, task).code == ec::none);
  }
  CAF_CHECK_EQUAL(log_left_deliveries(*store, own), "");
  CAF_CHECK_EQUAL(behind(), "+" + one + " -" + one);
  CAF_CHECK(!delivery::has_unnoted(journal));
  CAF_CHECK_EQUAL(log_left_deliveries(*store, own), "");
  auto two = apply_once();
  CAF_CHECK_EQUAL(tell(), "");
  for (auto& entry : std::filesystem::recursive_directory_iterator(journal)) // killed behind the log, before it was noted
    if (entry.path().filename() == "noted")
      std::filesystem::remove(entry.path());
  CAF_CHECK(delivery::has_unnoted(journal));
  CAF_CHECK_EQUAL(log_left_deliveries(*store, own), "");
  CAF_CHECK_EQUAL(behind(), "+" + one + " -" + one + " +" + two);
  CAF_CHECK(!delivery::has_unnoted(journal));
}

CAF_TEST(of many at once each tells nothing twice) {
  keep();
  std::string wanted;
  for (auto n = 0; n < 6; ++n) {
    auto id = apply_once();
    wanted += (wanted.empty() ? "+" : " +") + id;
    if (n % 2 == 0) {
      good(delivery::undo(journal, id));
      wanted += " -" + id;
    }
    std::vector<std::thread> all;
    std::vector<std::string> faults(3);
    for (std::size_t i = 0; i < faults.size(); ++i)
      all.emplace_back([this, &faults, i] {
        std::string error;
        auto mine = event_store::open(own + "/tasks.db", error);
        faults[i] = mine ? tell(*mine) : error;
      });
    for (auto& t : all)
      t.join();
    for (auto& f : faults)
      CAF_CHECK_EQUAL(f, "");
    CAF_CHECK_EQUAL(behind(), wanted);
    if (n % 2 == 1) { // that is for the next ones to tell
      good(delivery::undo(journal, id));
      wanted += " -" + id;
    }
  }
  CAF_CHECK_EQUAL(played.verify(log()), "");
}

CAF_TEST(a log that somebody else holds for a moment is waited for) {
  keep();
  auto one = apply_once();
  struct held final : forwarding_store {
    using forwarding_store::forwarding_store;
    int times = 3;
    void claim(std::string t, task_owner owner, std::function<void(claim_result)> done) override {
      if (times-- > 0)
        return done({ec::denied, "task " + t + " is under way", 0, 0, {}});
      to_->claim(std::move(t), std::move(owner), std::move(done));
    }
  } in{open_store(own + "/tasks.db")};
  CAF_CHECK_EQUAL(tell(in), "");
  CAF_CHECK_EQUAL(in.times, -1);
  CAF_CHECK_EQUAL(behind(), "+" + one);
}

CAF_TEST(a log that somebody else holds for long is a fault and the next one tells all) {
  keep();
  auto one = apply_once();
  auto other = open_store(own + "/tasks.db");
  CAF_REQUIRE(conclave::test::claim(*other, task).code == ec::none);
  auto fault = tell();
  CAF_CHECK(has(fault, "what was written stands"));
  CAF_CHECK(has(fault, "works on it; the next run, apply or undo adds it"));
  CAF_CHECK_EQUAL(behind(), "");
  std::thread late([this, &fault] { fault = tell(); });
  other->release(task); // whether it comes before or after the first try
  late.join();
  CAF_CHECK_EQUAL(fault, "");
  CAF_CHECK_EQUAL(behind(), "+" + one);
}

CAF_TEST(a store that cannot be written is a fault and the next one tells all) {
  keep();
  auto one = apply_once();
  sqlite3* db = nullptr;
  CAF_REQUIRE(sqlite3_open((own + "/tasks.db").c_str(), &db) == SQLITE_OK);
  CAF_REQUIRE(sqlite3_exec(db, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  auto fault = tell();
  CAF_CHECK(has(fault, "the log of task " + task + " does not tell of it: "));
  CAF_CHECK(has(fault, own + "/tasks.db"));
  sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  CAF_CHECK_EQUAL(behind(), "");
  CAF_CHECK(delivery::has_unnoted(journal));
  CAF_CHECK_EQUAL(tell(), "");
  CAF_CHECK_EQUAL(behind(), "+" + one);
}

CAF_TEST(nothing is told before the end of a task and all of it after) {
  keep(false);
  auto one = apply_once();
  auto fault = tell();
  CAF_CHECK(has(fault, "it has not ended; the next run"));
  CAF_CHECK_EQUAL(log_left_deliveries(*store, own), ""); // that is no fault of a start
  auto open = log();
  CAF_CHECK_EQUAL(open.size(), played.lines.size() - 1);
  auto mine = conclave::test::claim(*store, task);
  CAF_REQUIRE(append(*store, task, mine.fence, mine.seq, {played.lines.back()}, {last_ms, "", "answered"}).code == ec::none);
  CAF_CHECK_EQUAL(log_left_deliveries(*store, own), "");
  CAF_CHECK_EQUAL(behind(), "+" + one);
}

CAF_TEST(a journal of a task that is not in this store is left alone) {
  apply_once();
  CAF_CHECK_EQUAL(tell(), "");
  CAF_CHECK_EQUAL(log_left_deliveries(*store, own), "");
  CAF_CHECK(delivery::has_unnoted(journal)); // of the store that has it
}

CAF_TEST(what a log has behind its end is found however much that is) {
  keep();
  std::vector<committed_folder> made;
  for (auto i = 0; i < 90; ++i)
    made.push_back({user, "c" + std::to_string(i), "Ann", {"a", "b"}});
  CAF_CHECK_EQUAL(log_branches(*store, task, "mine", made, 9'000), "");
  CAF_CHECK_EQUAL(log_branches(*store, task, "mine", made, 9'000), "");
  auto whole = log();
  CAF_CHECK_EQUAL(whole.size(), played.lines.size() + 90);
  CAF_CHECK((events::delivery_of(whole.back()) == events::delivery_note{user, 2, "c89", "mine"}));
  auto one = apply_once();
  CAF_CHECK_EQUAL(tell(), "");
  CAF_CHECK_EQUAL(tell(), "");
  auto longer = log();
  CAF_CHECK_EQUAL(longer.size(), whole.size() + 1);
  CAF_CHECK_EQUAL(longer.back().label, one);
  CAF_CHECK_EQUAL(played.verify(longer), "");
}

CAF_TEST_FIXTURE_SCOPE_END()
