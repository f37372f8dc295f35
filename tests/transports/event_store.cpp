// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.event_store

#include "transports/event_store.hpp"

#include "support/store_fixture.hpp"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sys/mount.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace conclave::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// The results of appends, in the order of their callbacks.
struct results {
  std::mutex m;
  std::condition_variable cv;
  std::vector<append_result> all;

  event_store::callback take() {
    return [this](append_result r) {
      std::lock_guard lock{m};
      all.push_back(std::move(r));
      cv.notify_all();
    };
  }
  bool wait(std::size_t n) {
    std::unique_lock lock{m};
    return cv.wait_for(lock, 30s, [&] { return all.size() >= n; });
  }
};

} // namespace

CAF_TEST(a store whose file is taken away takes nothing more) {
  for (auto how : {0, 1, 2}) {
    temp_dir dir;
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    CAF_CHECK_EQUAL(append(*s, "t", 1, 0, {"one"}).code, ec::none);
    if (how == 0)
      fs::remove(dir.file());
    else
      fs::rename(dir.file(), dir.file() + ".old");
    if (how == 2)
      fs::copy_file(dir.file() + ".old", dir.file());
    auto r = append(*s, "t", 1, 1, {"two"});
    CAF_CHECK_EQUAL(r.code, ec::unavailable);
    CAF_CHECK(r.error.find(dir.file() + ": the file was deleted, moved or replaced") != std::string::npos);
  }
}

CAF_TEST(events are kept in order and survive a reopen) {
  temp_dir dir;
  {
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    auto a = append(*s, "t1", 1, 0, {"one", "two"});
    CAF_CHECK_EQUAL(a.code, ec::none);
    CAF_CHECK_EQUAL(a.seq, 2u);
    CAF_CHECK_EQUAL(append(*s, "t1", 1, 2, {std::string{"nul\0 and \xc3\xa9", 11}, "", std::string(3u << 20, 'x')}).seq, 5u);
    CAF_CHECK_EQUAL(append(*s, "t2", 1, 0, {"other"}).seq, 1u);
  }
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  CAF_CHECK_EQUAL(texts(*s, "t1"), (strings{"one", "two", std::string{"nul\0 and \xc3\xa9", 11}, "", std::string(3u << 20, 'x')}));
  CAF_CHECK_EQUAL(texts(*s, "t1", 1).size(), 4u);
  CAF_CHECK_EQUAL(texts(*s, "t1", 5), strings{});
  CAF_CHECK_EQUAL(texts(*s, "t2"), strings{"other"});
  CAF_CHECK_EQUAL(texts(*s, "unknown"), strings{});
  CAF_CHECK_EQUAL(append(*s, "t1", 1, 5, {"six"}).seq, 6u);
  CAF_CHECK_EQUAL(static_cast<unsigned>(fs::status(dir.file()).permissions()), 0600u);
  CAF_CHECK_EQUAL(static_cast<unsigned>(fs::status(dir.path / "state").permissions()), 0700u);
}

CAF_TEST(thousands of queued appends come back once each in order and are flushed by the end) {
  temp_dir dir;
  constexpr std::size_t n = 5'000;
  results r;
  {
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    for (std::size_t i = 0; i < n; ++i)
      s->append("t" + std::to_string(i % 3), 1, i / 3, {{"event " + std::to_string(i)}, {}, {1, "", ""}}, r.take());
  }
  CAF_REQUIRE_EQUAL(r.all.size(), n);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i)
    wrong += r.all[i].code != ec::none || r.all[i].seq != i / 3 + 1;
  CAF_CHECK_EQUAL(wrong, 0u);
  auto s = open_store(dir.file());
  auto all = texts(*s, "t1");
  CAF_REQUIRE_EQUAL(all.size(), n / 3 + 1);
  CAF_CHECK_EQUAL(all.back(), "event 4999");
}

CAF_TEST(a conflict and a stale fence append nothing and harm no neighbour) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  CAF_CHECK_EQUAL(append(*s, "t", 5, 0, {"a", "b"}).seq, 2u);
  results r;
  s->append("t", 5, 0, {{"again"}, {}, {1, "", ""}}, r.take());   // the task exists
  s->append("t", 5, 7, {{"later"}, {}, {1, "", ""}}, r.take());   // a gap
  s->append("t", 4, 2, {{"ghost"}, {}, {1, "", ""}}, r.take());   // an engine that lost the task
  s->append("new", 1, 1, {{"early"}, {}, {1, "", ""}}, r.take()); // no such task yet
  s->append("t", 6, 2, {{"thief"}, {}, {1, "", ""}}, r.take());   // a fence that no claim gave out
  s->append("t", 5, 2, {{"c"}, {}, {1, "", ""}}, r.take());
  CAF_REQUIRE(r.wait(6));
  for (auto i : {0, 1, 2, 3, 4}) {
    CAF_CHECK_EQUAL(r.all[static_cast<std::size_t>(i)].code, ec::denied);
    CAF_CHECK(!r.all[static_cast<std::size_t>(i)].error.empty());
  }
  CAF_CHECK(r.all[2].error.find("another engine owns it") != std::string::npos);
  CAF_CHECK_EQUAL(r.all[5].code, ec::none);
  CAF_CHECK_EQUAL(r.all[5].seq, 3u);
  CAF_CHECK_EQUAL(texts(*s, "t"), (strings{"a", "b", "c"}));
  CAF_CHECK_EQUAL(texts(*s, "new"), strings{});
}

CAF_TEST(two stores on one file agree on every event) {
  temp_dir dir;
  auto a = open_store(dir.file());
  auto b = open_store(dir.file());
  CAF_REQUIRE(a && b);
  // Both try to append each event; one wins, the other is told, and both then know where the stream stands.
  std::uint64_t seq = 0;
  int wins = 0, conflicts = 0, others = 0;
  for (int i = 0; i < 100; ++i) {
    results r;
    a->append("t", 1, seq, {{"a" + std::to_string(i)}, {}, {1, "", ""}}, r.take());
    b->append("t", 1, seq, {{"b" + std::to_string(i)}, {}, {1, "", ""}}, r.take());
    CAF_REQUIRE(r.wait(2));
    for (auto& x : r.all) {
      wins += x.code == ec::none;
      conflicts += x.code == ec::denied;
      others += x.code != ec::none && x.code != ec::denied;
    }
    ++seq;
  }
  CAF_CHECK_EQUAL(wins, 100);
  CAF_CHECK_EQUAL(conflicts, 100);
  CAF_CHECK_EQUAL(others, 0);
  CAF_CHECK_EQUAL(texts(*a, "t"), texts(*b, "t"));
  CAF_CHECK_EQUAL(texts(*a, "t").size(), 100u);
}

CAF_TEST(engines that start at the same moment on a new store all get it) {
  for (int round = 0; round < 25; ++round) {
    temp_dir dir;
    std::vector<std::string> errors(4);
    std::vector<std::thread> engines;
    for (std::size_t i = 0; i < errors.size(); ++i)
      engines.emplace_back([&dir, &error = errors[i]] { event_store::open(dir.file(), error); });
    for (auto& e : engines)
      e.join();
    for (auto& error : errors)
      CAF_CHECK_EQUAL(error, "");
  }
}

// Run as a child of the next test only: appends one event after another and says which ones are safe, until it is killed.
CAF_TEST(writer of the next test) {
  CAF_CHECK(true);
  auto path = other_process::store();
  if (path.empty())
    return;
  auto s = open_store(path);
  std::uint64_t seq = texts(*s, "t").size();
  for (;; ++seq) {
    // An event and a body, or neither; the second body is the same for all.
    auto r = append(*s, "t", 1, seq, {"event " + std::to_string(seq + 1)}, {1000, "", ""},
                    {{name_of(seq + 1), "body " + std::to_string(seq + 1)}, {name_of(0), "shared"}});
    if (r.code != ec::none)
      return other_process::say("failed " + r.error);
    other_process::say("safe " + std::to_string(r.seq));
  }
}

CAF_TEST(kill minus nine of a writer loses nothing it was told is safe) {
  temp_dir dir;
  CAF_REQUIRE(open_store(dir.file()));
  std::uint64_t before = 0;
  for (int round = 0; round < 5; ++round) {
    other_process writer("transports.event_store", "writer of the next test", dir.file(), "write");
    auto wanted = before + 20 + static_cast<std::uint64_t>(round) * 7, safe = std::uint64_t{0};
    while (safe < wanted) {
      auto line = writer.wait_for("safe ");
      CAF_REQUIRE(!line.empty());
      safe = std::stoull(line);
    }
    CAF_REQUIRE(writer.kill());
    for (auto line = writer.wait_for("safe "); !line.empty(); line = writer.wait_for("safe "))
      safe = std::stoull(line);
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    auto all = texts(*s, "t");
    CAF_CHECK(all.size() >= safe);
    CAF_CHECK(all.size() <= safe + 2); // one may be written and not yet told, one more be told and the word lost
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < all.size(); ++i)
      wrong += all[i] != "event " + std::to_string(i + 1);
    std::string error;
    auto bodies = s->bodies("t", {}, error);
    CAF_CHECK_EQUAL(error, "");
    CAF_REQUIRE_EQUAL(bodies.size(), all.size() + 1);
    for (std::size_t i = 1; i <= all.size(); ++i)
      wrong += s->bodies("t", {name_of(i)}, error) != std::vector<stored_body>{{name_of(i), "body " + std::to_string(i)}};
    CAF_CHECK_EQUAL(wrong, 0u);
    before = all.size();
  }
}

CAF_TEST(a full disk is reported and what was kept stays readable) {
  temp_dir dir;
  auto disk = dir.path / "disk";
  fs::create_directory(disk);
  if (::geteuid() != 0 || ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    std::cerr << "skipped: a small file system can only be mounted by root\n";
    CAF_CHECK(true);
    return;
  }
  {
    auto file = (disk / "events.db").string();
    auto s = open_store(file);
    std::uint64_t seq = 0;
    append_result last;
    if (s)
      for (int i = 0; i < 100; ++i) {
        last = append(*s, "t", 1, seq, {noise(20'000, seq + 1)});
        if (last.code != ec::none)
          break;
        seq = last.seq;
      }
    CAF_CHECK(seq > 5u);
    CAF_CHECK_EQUAL(last.code, ec::unavailable);
    CAF_CHECK(last.error.find(file) != std::string::npos);
    CAF_CHECK(last.error.find("the disk is full: free some space") != std::string::npos);
    if (s) {
      CAF_CHECK_EQUAL(texts(*s, "t").size(), seq);
      // A task that could not begin is not owned, and may begin later.
      CAF_CHECK_EQUAL(append(*s, "u", 1, 0, {noise(200'000)}).code, ec::unavailable);
      // Room again: the same store goes on where it stood.
      CAF_CHECK_EQUAL(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=8m"), 0);
      auto next = append(*s, "t", 1, seq, {"more"});
      CAF_CHECK_EQUAL(next.error, "");
      CAF_CHECK_EQUAL(next.seq, seq + 1);
      CAF_CHECK_EQUAL(append(*s, "u", 1, 0, {"more"}).error, "");
    }
  }
  CAF_CHECK_EQUAL(::umount2(disk.c_str(), MNT_DETACH), 0);
}

CAF_TEST(a file that is no store is refused and left as it was) {
  temp_dir dir;
  fs::create_directories(dir.path / "state");
  std::string junk(8192, 'j');
  std::ofstream{dir.file(), std::ios::binary} << junk;
  std::string error;
  CAF_CHECK(!event_store::open(dir.file(), error));
  CAF_CHECK(error.find(dir.file()) != std::string::npos);
  CAF_CHECK(error.find("it is damaged: move it away to start a new one") != std::string::npos);
  CAF_CHECK(contents(dir.file()) == junk);
  error.clear();
  CAF_CHECK(!event_store::open("/proc/no/such/events.db", error));
  CAF_CHECK(!error.empty());
}

CAF_TEST(a store whose maker was killed before its tables were there holds nothing yet) {
  temp_dir dir;
  fs::create_directories(dir.path / "state");
  std::ofstream{dir.file(), std::ios::binary};
  std::string error;
  auto reader = event_store::open(dir.file(), error, store_use::reading);
  CAF_REQUIRE(reader != nullptr);
  CAF_CHECK(reader->list(error).empty());
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK_EQUAL(append(*open_store(dir.file()), "t", 1, 0, {"first"}).error, "");
  CAF_CHECK_EQUAL(reader->list(error).size(), 1u);
  CAF_CHECK_EQUAL(error, "");
}

CAF_TEST(a store damaged inside gives an error and no wrong events) {
  temp_dir dir;
  {
    auto s = open_store(dir.file());
    for (std::uint64_t i = 0; i < 20; ++i)
      CAF_REQUIRE_EQUAL(append(*s, "t", 1, i, {noise(3'000, i + 1)}).code, ec::none);
  }
  auto size = fs::file_size(dir.file());
  CAF_REQUIRE(size > 8 * 4096u);
  {
    std::fstream f{dir.file(), std::ios::binary | std::ios::in | std::ios::out};
    f.seekp(4096); // all pages but the first
    f << std::string(size - 4096, '\xff');
  }
  std::string error;
  auto s = event_store::open(dir.file(), error);
  if (s) {
    CAF_CHECK(s->read("t", 0, error).empty());
    auto r = append(*s, "t", 1, 20, {"more"});
    CAF_CHECK_EQUAL(r.code, ec::unavailable);
    CAF_CHECK(r.error.find("damaged") != std::string::npos);
  }
  CAF_CHECK(error.find("damaged") != std::string::npos);
}

CAF_TEST(a store of a newer program is refused and left as it was) {
  temp_dir dir;
  {
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
  }
  {
    // user_version is a big-endian number at offset 60 of the file: https://www.sqlite.org/fileformat.html#the_database_header
    std::fstream f{dir.file(), std::ios::binary | std::ios::in | std::ios::out};
    f.seekp(63);
    f.put(99);
  }
  auto before = contents(dir.file());
  std::string error;
  CAF_CHECK(!event_store::open(dir.file(), error));
  CAF_CHECK(error.find("has schema 99, this program knows 4") != std::string::npos);
  CAF_CHECK(contents(dir.file()) == before);
}

CAF_TEST(a task under way is known as such everywhere and is not deleted) {
  temp_dir dir;
  auto engine = open_store(dir.file());
  auto visitor = open_store(dir.file());
  CAF_REQUIRE(engine && visitor);
  append(*engine, "t", 1, 0, {"a"}, {1000, "q", ""});
  std::string error;
  for (auto* s : {engine.get(), visitor.get()}) {
    CAF_REQUIRE_EQUAL(s->list(error).size(), 1u);
    CAF_CHECK(s->list(error)[0].live);
    CAF_CHECK(s->find(s->list(error)[0].task, error)->live);
    CAF_CHECK(s->prune(5000, error).empty());
    CAF_CHECK_EQUAL(error, "");
    CAF_CHECK(!s->remove("t", error));
    CAF_CHECK_EQUAL(error, "task t is still running: end it first: conclave cancel t");
    error.clear();
  }
  append(*engine, "t", 1, 1, {"b"}, {2000, "", "answered"});
  CAF_CHECK(!visitor->list(error)[0].live);
  CAF_CHECK(visitor->remove("t", error));
  append(*engine, "u", 1, 0, {"a"}, {1000, "q", ""});
  engine.reset(); // gone without an end
  CAF_CHECK(!visitor->list(error)[0].live);
  CAF_CHECK_EQUAL(visitor->prune(5000, error).size(), 1u);
}

CAF_TEST(tasks are listed removed and pruned) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  std::string question(199, 'q');
  question += "\xc3\xa9 and more"; // the cut may not split a character
  append(*s, "old", 1, 0, {"a"}, {1000, question, ""});
  append(*s, "mid", 1, 0, {"a", "b"}, {2000, "middle?", ""});
  append(*s, "mid", 1, 2, {"c"}, {2500, "ignored", "answered"});
  append(*s, "new", 1, 0, {"a"}, {3000, "'; DROP TABLE tasks; --", ""});
  s.reset(); // as if the engine had been killed: nothing is under way any more
  s = open_store(dir.file());
  CAF_REQUIRE(s);
  std::string error;
  auto rows = s->list(error);
  CAF_CHECK_EQUAL(error, "");
  CAF_REQUIRE_EQUAL(rows.size(), 3u);
  CAF_CHECK_EQUAL(rows[0].task, "new");
  CAF_CHECK_EQUAL(rows[0].question, "'; DROP TABLE tasks; --");
  CAF_CHECK_EQUAL(rows[1].task, "mid");
  CAF_CHECK_EQUAL(rows[1].started_ms, 2000);
  CAF_CHECK_EQUAL(rows[1].last_ms, 2500);
  CAF_CHECK_EQUAL(rows[1].events, 3u);
  CAF_CHECK_EQUAL(rows[1].question, "middle?");
  CAF_CHECK_EQUAL(rows[1].outcome, "answered");
  CAF_CHECK_EQUAL(rows[2].question, std::string(199, 'q'));
  CAF_CHECK_EQUAL(rows[2].outcome, "");
  for (const auto& row : rows) { // one alone is as it is in the list
    auto found = s->find(row.task, error);
    CAF_REQUIRE(found);
    CAF_CHECK(found->task == row.task && found->started_ms == row.started_ms && found->events == row.events
              && found->question == row.question && found->outcome == row.outcome && found->owner.pid == row.owner.pid);
  }
  for (const auto* unknown : {"", "ne", "NEW", "x' OR '1'='1"})
    CAF_CHECK(!s->find(unknown, error));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(s->remove("new", error));
  CAF_CHECK(!s->remove("new", error));
  CAF_CHECK(!s->remove("x' OR '1'='1", error));
  CAF_CHECK_EQUAL(texts(*s, "new"), strings{});
  CAF_CHECK_EQUAL(s->prune(2000, error), strings{"old"});
  CAF_CHECK_EQUAL(s->prune(2000, error), strings{});
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK_EQUAL(s->list(error).size(), 1u);
  CAF_CHECK_EQUAL(texts(*s, "mid").size(), 3u);
  CAF_CHECK_EQUAL(append(*s, "new", 1, 0, {"again"}).seq, 1u); // a removed name is free
}
