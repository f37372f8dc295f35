// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Who works on a task: fences, claims, the live lock, requests to cancel.

#define CAF_SUITE transports.event_store_owners

#include "support/store_fixture.hpp"
#include "transports/event_store_names.hpp"
#include "transports/process_owner.hpp"

#include <fcntl.h>
#include <iostream>
#include <sys/wait.h>
#include <thread>

using namespace conclave;
using namespace conclave::test;
using namespace std::chrono_literals;

namespace {

constexpr auto suite = "transports.event_store_owners";
constexpr auto helper = "owner in another process";

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Collects what on_cancel tells.
struct told {
  std::shared_ptr<line_box> box = std::make_shared<line_box>();
  void listen(event_store& s) const {
    s.on_cancel([box = box](std::string task, std::string reason) { box->put({task + ": " + reason}); });
  }
};

} // namespace

// Run as a child of the tests below only.
CAF_TEST(owner in another process) {
  CAF_CHECK(true);
  if (other_process::role().empty())
    return;
  auto s = open_store(other_process::store());
  s->on_cancel([](std::string task, std::string reason) { other_process::say("cancel " + task + ": " + reason); });
  if (other_process::role() == "begin") {
    auto r = append(*s, "t", 1, 0, {"a"}, {1000, "q", "", 2, this_process()});
    other_process::say(r.code == ec::none ? "owns 1" : "failed " + r.error);
  } else {
    auto r = claim(*s, "t", this_process());
    other_process::say(r.code == ec::none ? "owns " + std::to_string(r.fence) : "failed " + r.error);
  }
  for (std::string line; std::getline(std::cin, line);) {
    s->release("t");
    claim(*s, "nobody"); // answered after it
    other_process::say("released");
  }
}

CAF_TEST(a task that was played from a cassette is marked and others are not ) {
  temp_dir dir;
  {
    auto s = open_store(dir.path / "tasks.db");
    append_note note{1000, "q", "", 2, this_process()};
    CAF_REQUIRE(append(*s, "mine", 1, 0, {"a"}, note).code == ec::none);
    std::string error;
    CAF_CHECK(!s->list(error).at(0).played); // no such table yet
    note.played = true;
    CAF_REQUIRE(append(*s, "theirs", 1, 0, {"a"}, note).code == ec::none);
    CAF_REQUIRE(append(*s, "theirs", 1, 1, {"b"}, {2000, "", "interrupted", 2, this_process()}).code == ec::none);
    CAF_REQUIRE(append(*s, "later", 1, 0, {"a"}, {1000, "q", "", 2, this_process()}).code == ec::none);
  }
  std::string error;
  auto s = open_store(dir.path / "tasks.db");
  auto rows = s->list(error);
  CAF_REQUIRE_EQUAL(rows.size(), 3u);
  CAF_CHECK(!rows[0].played && rows[1].played && !rows[2].played);
  CAF_CHECK_EQUAL(rows[1].owner.pid, this_process().pid);
  CAF_CHECK(s->remove("theirs", error));
  CAF_REQUIRE(append(*s, "theirs", 1, 0, {"a"}, {1000, "q", "", 2, this_process()}).code == ec::none);
  CAF_CHECK(!s->list(error).at(0).played); // the mark went with the task
}

CAF_TEST(a task can be claimed once its owner was killed and not before) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  for (std::uint64_t round = 1; round < 4; ++round) {
    other_process owner(suite, helper, dir.file(), round == 1 ? "begin" : "claim");
    CAF_REQUIRE_EQUAL(owner.wait_for("owns "), std::to_string(2 * round - 1));
    auto row = row_of(*s, "t");
    CAF_CHECK(row.live);
    CAF_CHECK_EQUAL(row.log_version, 2u);
    CAF_CHECK_EQUAL(row.owner.host, this_process().host);
    auto denied = claim(*s, "t");
    CAF_CHECK_EQUAL(denied.code, ec::denied);
    CAF_CHECK(has(denied.error, "process " + std::to_string(row.owner.pid) + " on " + row.owner.host + " (begun 20"));
    CAF_CHECK_EQUAL(denied.owner.pid, row.owner.pid);
    CAF_CHECK_EQUAL(denied.owner.started_ms, row.owner.started_ms);
    CAF_CHECK(row.owner.pid > 0 && row.owner.pid != ::getpid());
    CAF_REQUIRE(owner.kill());
    CAF_CHECK(!row_of(*s, "t").live);
    auto mine = claim(*s, "t", {"here", 7, 8});
    CAF_CHECK_EQUAL(mine.error, "");
    CAF_CHECK_EQUAL(mine.fence, 2 * round);
    CAF_CHECK_EQUAL(mine.seq, 1u);
    row = row_of(*s, "t");
    CAF_CHECK(row.live);
    CAF_CHECK_EQUAL(row.owner.host, "here");
    CAF_CHECK_EQUAL(row.owner.pid, 7);
    CAF_CHECK_EQUAL(row.owner.started_ms, 8);
    s->release("t");
    claim(*s, "nobody"); // answered after it
    CAF_CHECK(!row_of(*s, "t").live);
  }
}

CAF_TEST(who is let go of can be claimed by another process while this one lives) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  append(*s, "t", 1, 0, {"a"});
  {
    other_process too_early(suite, helper, dir.file(), "claim");
    CAF_CHECK(has(too_early.wait_for("failed "), "is under way"));
  }
  s->release("t");
  CAF_CHECK_EQUAL(append(*s, "u", 1, 0, {"a"}).error, "");
  other_process next(suite, helper, dir.file(), "claim");
  CAF_CHECK_EQUAL(next.wait_for("owns "), "2");
  CAF_CHECK_EQUAL(append(*s, "t", 1, 1, {"b"}).code, ec::denied);
  CAF_CHECK_EQUAL(claim(*s, "t").code, ec::denied);
  CAF_CHECK(next.write("go\n"));
  next.wait_for("released");
  CAF_CHECK_EQUAL(claim(*s, "t").fence, 3u);
}

CAF_TEST(a task that ends stays with its store where that keeps it until somebody there has claimed and released it) {
  temp_dir dir;
  auto s = open_store(dir.file());
  auto other = open_store(dir.file());
  CAF_REQUIRE(s && other);
  s->keep_ended(true);
  append(*s, "t", 1, 0, {"a"}, {1000, "q", "", 2, this_process()});
  CAF_CHECK_EQUAL(claim(*s, "t").code, ec::denied); // under way
  append(*s, "t", 1, 1, {"b"}, {1, "", "answered"});
  std::string error;
  CAF_CHECK(!s->request_cancel("t", "why", error));
  CAF_CHECK(has(error, "has ended (answered)"));
  auto denied = claim(*other, "t");
  CAF_CHECK_EQUAL(denied.code, ec::denied);
  CAF_CHECK(has(denied.error, "is in use: process " + std::to_string(this_process().pid)));
  CAF_CHECK(!other->remove("t", error));
  CAF_CHECK_EQUAL(claim(*s, "t", this_process()).fence, 2u);
  CAF_CHECK_EQUAL(claim(*s, "t").code, ec::denied); // one here has it
  s->release("t");
  CAF_CHECK_EQUAL(claim(*s, "t").fence, 3u); // as any other task from here on
  s->release("t");
  claim(*s, "nobody");
  CAF_CHECK_EQUAL(claim(*other, "t", {"here", 1 << 30, 8}).fence, 4u);
  // A name of which nobody is there says less than none.
  CAF_CHECK(!has(in_use_text("t", {this_process().host, 1 << 30, 8}, true), std::to_string(1 << 30)));
  other->release("t");
  claim(*other, "nobody");
  append(*s, "let go without a claim", 1, 0, {"a"}, {1000, "q", "answered"});
  s->release("let go without a claim");
  claim(*s, "nobody");
  CAF_CHECK_EQUAL(claim(*other, "let go without a claim").code, ec::none);
  append(*s, "left", 1, 0, {"a"}, {1000, "q", "answered"});
  s.reset();
  CAF_CHECK_EQUAL(claim(*other, "left").code, ec::none);
}

CAF_TEST(a second claim in one process is denied from the same store and from another) {
  temp_dir dir;
  auto a = open_store(dir.file());
  auto b = open_store(dir.file());
  CAF_REQUIRE(a && b);
  append(*a, "t", 1, 0, {"a"}, {1000, "q", "", 2, {"mars", 4711, 1'764'000'000'000}});
  for (auto* s : {a.get(), b.get()}) {
    auto r = claim(*s, "t");
    CAF_CHECK_EQUAL(r.code, ec::denied);
    CAF_CHECK_EQUAL(r.error, "task t is under way: process 4711 on mars (begun 2025-11-24 16:00:00 UTC) works on it");
    CAF_CHECK_EQUAL(r.fence, 0u);
  }
  a.reset();
  CAF_CHECK_EQUAL(claim(*b, "t").fence, 2u);
  CAF_CHECK_EQUAL(claim(*b, "t").code, ec::denied);
  // What was denied changed nothing.
  CAF_CHECK_EQUAL(append(*b, "t", 2, 1, {"b"}).error, "");
  auto none = claim(*b, "unknown");
  CAF_CHECK_EQUAL(none.code, ec::bad_request);
  CAF_CHECK(has(none.error, "has no task unknown"));
}

CAF_TEST(a store that is opened again leaves the locks of those before it) {
  temp_dir dir;
  auto first = open_store(dir.file());
  CAF_REQUIRE(first);
  append(*first, "t", 1, 0, {"a"});
  auto is_locked = [&] { // for another process; who closes the last connection deletes the log of one that is not
    auto pid = ::fork();
    if (pid == 0) {
      struct flock f {};
      f.l_type = F_WRLCK;
      auto fd = ::open(dir.file().c_str(), O_RDWR | O_CLOEXEC);
      ::_exit(::fcntl(fd, F_GETLK, &f) == 0 && f.l_type != F_UNLCK ? 1 : 0);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
  };
  CAF_CHECK(is_locked());
  for (auto use : {store_use::everything, store_use::deleting, store_use::reading}) {
    auto second = open_store(dir.file(), use);
    CAF_CHECK(is_locked());
    second.reset();
    CAF_CHECK(is_locked());
  }
}

CAF_TEST(a claim says what the bodies of the task take and of no other) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  append(*s, "t", 1, 0, {"a"}, {1000, "", ""}, {{std::string(64, 'a'), std::string(100'000, 'x')}, {std::string(64, 'b'), "y"}});
  append(*s, "t", 1, 1, {"b"}, {1000, "", ""}, {{std::string(64, 'a'), std::string(100'000, 'x')}, {std::string(64, 'c'), ""}});
  append(*s, "u", 1, 0, {"a"}, {1000, "", ""}, {{std::string(64, 'd'), "other"}});
  append(*s, "v", 1, 0, {"a"});
  for (auto [task, bytes] : {std::pair{"t", 100'001u}, std::pair{"u", 5u}, std::pair{"v", 0u}}) {
    s->release(task);
    CAF_CHECK_EQUAL(claim(*s, task).body_bytes, bytes);
  }
}

CAF_TEST(of many claims at once one wins) {
  temp_dir dir;
  std::vector<std::unique_ptr<event_store>> stores;
  for (int i = 0; i < 4; ++i)
    stores.push_back(open_store(dir.file()));
  append(*stores[0], "t", 1, 0, {"a"}, {1, "", "failed"});
  for (std::uint64_t round = 2; round < 12; ++round) {
    std::vector<claim_result> results(8);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < results.size(); ++i)
      threads.emplace_back([&, i] { results[i] = claim(*stores[i % 4], "t"); });
    for (auto& t : threads)
      t.join();
    std::size_t won = 0;
    for (auto& r : results)
      won += r.code == ec::none && r.fence == round;
    CAF_CHECK_EQUAL(won, 1u);
    for (auto& s : stores) {
      s->release("t");
      claim(*s, "nobody");
    }
  }
}

CAF_TEST(an owner that lost its task appends nothing) {
  temp_dir dir;
  auto old = open_store(dir.file());
  auto next = open_store(dir.file());
  CAF_REQUIRE(old && next);
  append(*old, "t", 1, 0, {"a"});
  old->release("t");
  claim(*old, "nobody");
  CAF_CHECK_EQUAL(claim(*next, "t").fence, 2u);
  auto r = append(*old, "t", 1, 1, {"ghost"}, {2000, "", "answered"}, {{name_of(1), "ghost"}});
  CAF_CHECK_EQUAL(r.code, ec::denied);
  CAF_CHECK(has(r.error, "another engine owns it"));
  CAF_CHECK_EQUAL(texts(*next, "t"), strings{"a"});
  std::string error;
  CAF_CHECK(next->bodies("t", {}, error).empty());
  CAF_CHECK_EQUAL(row_of(*next, "t").outcome, "");
  CAF_CHECK(row_of(*next, "t").live);
  CAF_CHECK_EQUAL(append(*next, "t", 2, 1, {"b"}).seq, 2u);
}

CAF_TEST(a refused end leaves the task with its owner and a written one lets go) {
  temp_dir dir;
  auto s = open_store(dir.file());
  auto other = open_store(dir.file());
  CAF_REQUIRE(s && other);
  append(*s, "t", 1, 0, {"a"});
  CAF_CHECK_EQUAL(append(*s, "t", 1, 5, {"b"}, {1, "", "answered"}).code, ec::denied);
  CAF_CHECK_EQUAL(claim(*other, "t").code, ec::denied);
  CAF_CHECK_EQUAL(append(*s, "t", 1, 1, {"b"}, {1, "", "answered"}).code, ec::none);
  CAF_CHECK_EQUAL(claim(*other, "t").fence, 2u);
}

CAF_TEST(what is queued for a task happens in its order) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  line_box box;
  auto appended = [&](append_result r) { box.put({"append " + to_string(r.code)}); };
  auto claimed = [&](claim_result r) { box.put({"claim " + to_string(r.code) + " " + std::to_string(r.fence)}); };
  s->append("t", 1, 0, {{"a"}, {}, {}}, appended);
  s->claim("t", {}, claimed); // owned
  s->append("t", 1, 1, {{"b"}, {}, {1, "", "failed"}}, appended);
  s->claim("t", {}, claimed); // ended before
  s->append("t", 2, 2, {{"c"}, {}, {}}, appended);
  s->release("t");
  s->claim("t", {}, claimed);
  s->append("t", 2, 3, {{"d"}, {}, {}}, appended);
  for (auto* wanted :
       {"append none", "claim denied 0", "append none", "claim none 2", "append none", "claim none 3", "append denied"})
    CAF_CHECK_EQUAL(box.wait_for(""), wanted);
}

CAF_TEST(a number that is used again keeps no task from beginning) {
  temp_dir dir;
  auto s = open_store(dir.file());
  auto other = open_store(dir.file());
  CAF_REQUIRE(s && other);
  std::string error;
  append(*s, "kept", 1, 0, {"a"});
  for (int i = 0; i < 3; ++i) {
    auto task = "t" + std::to_string(i);
    CAF_CHECK_EQUAL(append(*s, task, 1, 0, {"a"}, {1, "", "failed"}).error, "");
    CAF_CHECK_EQUAL(claim(*other, task).fence, 2u);
    CAF_CHECK(!s->remove(task, error));
    CAF_CHECK(has(error, "is in use: process"));
    error.clear();
    other->release(task);
    claim(*other, "nobody");
    CAF_CHECK(s->remove(task, error));
  }
  CAF_CHECK(row_of(*other, "kept").live);
}

CAF_TEST(a task that cannot be locked does not begin) {
  temp_dir dir;
  auto lock = dir.file() + "-live";
  std::filesystem::create_directories(lock);
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  auto r = append(*s, "t", 1, 0, {"a"});
  CAF_CHECK_EQUAL(r.code, ec::unavailable);
  CAF_CHECK(has(r.error, lock + ": Is a directory"));
  std::string error;
  CAF_CHECK(s->list(error).empty());
  // Once it can be, the same store goes on.
  std::filesystem::remove(lock);
  CAF_CHECK_EQUAL(append(*s, "t", 1, 0, {"a"}).error, "");
  CAF_CHECK(row_of(*s, "t").live);
}

CAF_TEST(a request to cancel reaches the owner in another process within a second and once) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  other_process owner(suite, helper, dir.file(), "begin");
  CAF_REQUIRE_EQUAL(owner.wait_for("owns "), "1");
  std::string error;
  for (auto* reason : {"enough", "", "really"}) {
    CAF_CHECK(s->request_cancel("t", reason, error));
    CAF_CHECK_EQUAL(error, "");
    CAF_CHECK_EQUAL(owner.wait_for("cancel ", 1s), std::string("t: ") + reason);
  }
  CAF_CHECK_EQUAL(owner.wait_for("cancel ", 1200ms), ""); // two looks later
}

CAF_TEST(a request to cancel reaches the owner in this process from its store and from another) {
  temp_dir dir;
  auto s = open_store(dir.file());
  auto visitor = open_store(dir.file());
  auto deleting = open_store(dir.file(), store_use::deleting);
  CAF_REQUIRE(s && visitor && deleting);
  told heard, elsewhere;
  heard.listen(*s);
  elsewhere.listen(*visitor);
  append(*s, "t", 1, 0, {"a"});
  append(*visitor, "u", 1, 0, {"a"});
  std::string error;
  CAF_CHECK(s->request_cancel("t", "mine", error));
  CAF_CHECK_EQUAL(heard.box->wait_for("", 1s), "t: mine");
  CAF_CHECK(visitor->request_cancel("t", "theirs", error));
  CAF_CHECK_EQUAL(heard.box->wait_for("", 1s), "t: theirs");
  CAF_CHECK(deleting->request_cancel("u", "the other's", error));
  CAF_CHECK_EQUAL(elsewhere.box->wait_for("", 1s), "u: the other's");
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK_EQUAL(heard.box->count(), 2u);
}

CAF_TEST(a request to cancel that nobody would heed is refused with the reason) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  append(*s, "ended", 1, 0, {"a"}, {1, "", "answered", 2});
  append(*s, "cut", 1, 0, {"a"}, {1, "", "", 2});
  append(*s, "old", 1, 0, {"a"}, {1, "", "", 1});
  s->release("cut");
  s->release("old");
  claim(*s, "nobody");
  auto refusal = [&](const std::string& task) {
    std::string error;
    CAF_CHECK(!s->request_cancel(task, "", error));
    return error;
  };
  CAF_CHECK_EQUAL(refusal("ended"), "task ended has ended (answered): there is nothing to cancel");
  CAF_CHECK_EQUAL(refusal("cut"), "nobody works on task cut: it was interrupted; `conclave resume cut` goes on with it");
  CAF_CHECK_EQUAL(refusal("old"), "nobody works on task old: it was interrupted");
  CAF_CHECK(has(refusal("none"), "has no task none"));
}

CAF_TEST(a request to cancel does not outlive its task or its owner) {
  temp_dir dir;
  auto s = open_store(dir.file()); // nobody listens: requests stay where they are
  auto next = open_store(dir.file());
  CAF_REQUIRE(s && next);
  told heard;
  heard.listen(*next);
  std::string error;
  append(*s, "ended", 1, 0, {"a"});
  append(*s, "left", 1, 0, {"a"});
  CAF_CHECK(s->request_cancel("ended", "first", error));
  CAF_CHECK(s->request_cancel("left", "first", error));
  append(*s, "ended", 1, 1, {"b"}, {1, "", "cancelled"});
  s->release("left");
  claim(*s, "nobody");
  CAF_CHECK_EQUAL(claim(*next, "ended").code, ec::none);
  CAF_CHECK_EQUAL(claim(*next, "left").code, ec::none);
  CAF_CHECK(next->request_cancel("left", "second", error));
  CAF_CHECK_EQUAL(heard.box->wait_for("", 1s), "left: second");
  CAF_CHECK_EQUAL(heard.box->count(), 1u);
}
