// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Stores that earlier programs made: tests/golden/README.md says how.

#define CAF_SUITE transports.event_store_schema

#include "protocols/wire/sha256.hpp"
#include "support/places.hpp"
#include "support/store_fixture.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <thread>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

constexpr int newest = 4;

const std::string answered = "20261126-065704-409f03";
const std::string interrupted = "20261126-065704-5a052b";

void copy_store(const temp_dir& dir, int schema = 1) {
  fs::create_directories(dir.path / "state");
  fs::copy_file(test::source_dir() + "/tests/golden/store/schema" + std::to_string(schema) + ".db", dir.file());
}

/// user_version: https://www.sqlite.org/fileformat.html#the_database_header
int schema_of(const std::string& file) {
  auto bytes = contents(file);
  return bytes.size() > 63 ? static_cast<unsigned char>(bytes[63]) : -1;
}

void check_contents(event_store& s, std::size_t others = 0) {
  std::string error;
  CAF_CHECK_EQUAL(s.list(error).size(), 2 + others);
  CAF_CHECK_EQUAL(error, "");
  auto row = row_of(s, answered);
  CAF_CHECK_EQUAL(row.question, "What is 6 x 7?");
  CAF_CHECK_EQUAL(row.outcome, "answered");
  CAF_CHECK_EQUAL(row.events, 38u);
  CAF_CHECK_EQUAL(row.log_version, 1u);
  CAF_CHECK_EQUAL(row.owner.host, "");
  CAF_CHECK(!row.live);
  CAF_CHECK_EQUAL(row_of(s, interrupted).outcome, "");
  auto found = s.find(answered, error);
  CAF_CHECK(found && found->question == row.question && found->events == row.events && found->log_version == 1 && !found->live);
  CAF_CHECK(!s.find("nobody", error));
  auto all = texts(s, answered);
  CAF_REQUIRE_EQUAL(all.size(), 38u);
  CAF_CHECK(all[0].find(R"("type":"session_start")") != std::string::npos);
  CAF_CHECK(all[37].find(R"("type":"task_ended")") != std::string::npos);
  CAF_CHECK_EQUAL(texts(s, interrupted).size(), 11u);
  CAF_CHECK(s.bodies(answered, {}, error).empty());
  CAF_CHECK(s.bodies(answered, {name_of(1)}, error).empty());
  CAF_CHECK_EQUAL(error, "");
  auto p = await<event_page>([&](auto done) { s.read(answered, 30, 5, done); });
  CAF_CHECK_EQUAL(p.events.size(), 5u);
  CAF_CHECK(p.more);
  auto b = await<body_page>([&](auto done) { s.read_bodies(answered, {name_of(1)}, done); });
  CAF_CHECK_EQUAL(b.code, ec::none);
  CAF_CHECK_EQUAL(b.looked_for, 1u);
}

} // namespace

CAF_TEST(a store of schema 1 is read as it is) {
  temp_dir dir;
  copy_store(dir);
  auto before = contents(dir.file());
  {
    auto s = open_store(dir.file(), store_use::reading);
    CAF_REQUIRE(s);
    check_contents(*s);
  }
  CAF_CHECK(contents(dir.file()) == before);
}

CAF_TEST(a store of schema 1 is read from a medium that cannot be written) {
  temp_dir dir;
  copy_store(dir);
  auto folder = dir.path / "state";
  if (::geteuid() != 0 || ::mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    CAF_MESSAGE("skipped: only root can mount");
    CAF_CHECK(true);
    return;
  }
  CAF_CHECK_EQUAL(::mount(nullptr, folder.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  {
    auto s = open_store(dir.file(), store_use::reading);
    if (s)
      check_contents(*s);
    std::string error;
    CAF_CHECK(!event_store::open(dir.file(), error));
    CAF_CHECK(error.find("mounted read-only") != std::string::npos || error.find("Read-only") != std::string::npos);
  }
  CAF_CHECK_EQUAL(::umount2(folder.c_str(), MNT_DETACH), 0);
}

CAF_TEST(a store of schema 1 becomes one of the newest schema and goes on) {
  temp_dir dir;
  copy_store(dir);
  {
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    check_contents(*s);
    CAF_CHECK_EQUAL(append(*s, "new", 1, 0, {"a", "b"}, {5, "q", "", 2, {"mars", 1, 2}}, {{name_of(1), "x"}}).error, "");
    CAF_CHECK(row_of(*s, "new").live);
    auto r = claim(*s, interrupted, {"mars", 1, 2});
    CAF_CHECK_EQUAL(r.error, "");
    CAF_CHECK_EQUAL(r.fence, 2u);
    CAF_CHECK_EQUAL(r.seq, 11u);
  }
  CAF_CHECK_EQUAL(schema_of(dir.file()), newest);
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  check_contents(*s, 1);
  std::string error;
  auto rows = s->list(error);
  CAF_CHECK_EQUAL(rows[0].task, "new"); // the newest, whatever its clock says
  CAF_CHECK_EQUAL(row_of(*s, "new").owner.host, "mars");
  CAF_CHECK(s->remove(answered, error));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK_EQUAL(s->list(error).size(), 2u);
}

CAF_TEST(programs that convert a store at the same moment all get it) {
  for (int round = 0; round < 10; ++round) {
    temp_dir dir;
    copy_store(dir);
    strings errors(4);
    std::vector<std::thread> engines;
    for (auto& error : errors)
      engines.emplace_back([&dir, &error] { event_store::open(dir.file(), error); });
    for (auto& e : engines)
      e.join();
    for (auto& error : errors)
      CAF_CHECK_EQUAL(error, "");
    CAF_CHECK(open_store(dir.file())); // of several that close at once none may write its log into the file
    CAF_CHECK_EQUAL(schema_of(dir.file()), newest);
  }
}

CAF_TEST(tasks of a store of schema 1 are deleted without converting it) {
  temp_dir dir;
  copy_store(dir);
  {
    auto s = open_store(dir.file(), store_use::deleting);
    CAF_REQUIRE(s);
    std::string error;
    CAF_CHECK_EQUAL(s->remove_all({answered}, error), strings{answered});
    CAF_CHECK_EQUAL(error, "");
    CAF_CHECK(!s->request_cancel(interrupted, "", error));
    CAF_CHECK(error.find("it was interrupted") != std::string::npos);
    error.clear();
    CAF_CHECK_EQUAL(s->prune(std::int64_t{1} << 60, error), strings{interrupted});
    CAF_CHECK(s->list(error).empty());
    CAF_CHECK_EQUAL(error, "");
  }
  CAF_CHECK_EQUAL(schema_of(dir.file()), 1);
}

CAF_TEST(a task that an older program works on is left to it) {
  temp_dir dir;
  copy_store(dir);
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  // It locks a byte found by the name of the task (64-bit FNV-1a).
  std::uint64_t h = 14695981039346656037ull;
  for (unsigned char c : interrupted)
    h = (h ^ c) * 1099511628211ull;
  auto fd = ::open((dir.file() + "-live").c_str(), O_RDWR | O_CLOEXEC);
  CAF_REQUIRE(fd >= 0);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(h >> 2);
  lock.l_len = 1;
  CAF_REQUIRE_EQUAL(::fcntl(fd, F_OFD_SETLK, &lock), 0);
  CAF_CHECK(row_of(*s, interrupted).live);
  auto r = claim(*s, interrupted);
  CAF_CHECK_EQUAL(r.code, ec::denied);
  CAF_CHECK_EQUAL(r.error, "task " + interrupted + " is under way: another process works on it");
  std::string error;
  CAF_CHECK(!s->request_cancel(interrupted, "", error));
  CAF_CHECK(error.find("older conclave") != std::string::npos);
  CAF_CHECK(!s->remove(interrupted, error));
  ::close(fd);
  CAF_CHECK_EQUAL(claim(*s, interrupted).fence, 2u);
}

namespace {

// Of the store of schema 2.
const std::string done = "20261126-173536-1ce725";
const std::string cut_off = "20261126-173536-b4b81b";

/// Returns the names that events point to.
strings names_in(const strings& events) {
  strings out;
  for (auto& e : events)
    for (std::size_t at = e.find('"'); at != std::string::npos; at = e.find('"', at + 1))
      if (e.size() > at + 65 && e[at + 65] == '"' && wire::is_sha256(std::string_view(e).substr(at + 1, 64)))
        out.push_back(e.substr(at + 1, 64));
  return out;
}

void check_schema_2(event_store& s, std::size_t of_cut_off = 14) {
  auto row = row_of(s, done);
  CAF_CHECK_EQUAL(row.outcome, "answered");
  CAF_CHECK_EQUAL(row.log_version, 2u);
  CAF_CHECK_EQUAL(row.owner.host, "mars");
  CAF_CHECK_EQUAL(texts(s, done).size(), 41u);
  CAF_CHECK_EQUAL(texts(s, cut_off).size(), of_cut_off);
  std::string error;
  auto all = s.bodies(done, {}, error);
  CAF_CHECK_EQUAL(all.size(), 17u);
  for (auto& b : all) {
    CAF_CHECK_EQUAL(wire::sha256(b.bytes), b.sha);
    CAF_CHECK(s.bodies(done, {b.sha}, error) == std::vector<stored_body>{b});
  }
  CAF_CHECK_EQUAL(error, "");
}

} // namespace

CAF_TEST(a store of schema 2 is read as it is) {
  temp_dir dir;
  copy_store(dir, 2);
  auto before = contents(dir.file());
  {
    auto s = open_store(dir.file(), store_use::reading);
    CAF_REQUIRE(s);
    check_schema_2(*s);
  }
  CAF_CHECK(contents(dir.file()) == before);
}

CAF_TEST(a task begun with schema 2 goes on in records and is read as one) {
  temp_dir dir;
  copy_store(dir, 2);
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  check_schema_2(*s);
  auto before = texts(*s, cut_off);
  auto names = names_in(before);
  CAF_CHECK(!names.empty());
  auto old = claim(*s, cut_off);
  CAF_REQUIRE_EQUAL(old.error, "");
  CAF_CHECK(old.body_bytes > 500u);
  auto sha = wire::sha256("short"), far = wire::sha256(noise(5'000));
  auto json = R"({"said":[")" + sha + R"(",")" + far + R"("],"seq":15,"state":")" + names[0] + R"("})";
  CAF_REQUIRE_EQUAL(append(*s, cut_off, 2, 14, {json, "end"}, {1000, "", ""}, {{sha, "short"}, {far, noise(5'000)}}).error, "");
  before.insert(before.end(), {json, "end"});
  CAF_CHECK(texts(*s, cut_off) == before);
  strings paged;
  for (bool more = true; more;) {
    auto page = await<event_page>([&](auto done_with) { s->read(cut_off, paged.size(), 3, done_with); });
    CAF_REQUIRE_EQUAL(page.error, "");
    for (auto& e : page.events)
      paged.push_back(e.json);
    more = page.more;
  }
  CAF_CHECK(paged == before);
  std::string error;
  CAF_CHECK_EQUAL(s->bodies(cut_off, {far, sha, names[0], name_of(1)}, error).size(), 3u);
  s->release(cut_off);
  CAF_CHECK_EQUAL(claim(*s, cut_off).body_bytes, old.body_bytes + 5'005);
  CAF_CHECK_EQUAL(append(*s, cut_off, 3, 16, {"over"}, {1000, "", "failed"}).error, "");
  CAF_CHECK(s->remove(cut_off, error));
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(texts(*s, cut_off).empty());
  CAF_CHECK(s->bodies(cut_off, {}, error).empty());
  check_schema_2(*s, 0);
  s.reset();
  CAF_CHECK_EQUAL(schema_of(dir.file()), newest);
}

CAF_TEST(tasks of a store of schema 2 are deleted without converting it) {
  temp_dir dir;
  copy_store(dir, 2);
  {
    auto s = open_store(dir.file(), store_use::deleting);
    CAF_REQUIRE(s);
    std::string error;
    CAF_CHECK_EQUAL(s->remove_all({done, cut_off}, error), (strings{done, cut_off}));
    CAF_CHECK_EQUAL(error, "");
    CAF_CHECK(s->list(error).empty());
  }
  CAF_CHECK_EQUAL(schema_of(dir.file()), 2);
}

namespace {

// Of the store of schema 3: all long bodies lie as they are.
const std::string done_3 = "20261126-213310-fe9588";
const std::string cut_off_3 = "20261126-213310-b34cd7";

void check_schema_3(event_store& s) {
  CAF_CHECK_EQUAL(row_of(s, done_3).outcome, "answered");
  CAF_CHECK_EQUAL(texts(s, done_3).size(), 41u);
  std::string error;
  std::size_t longest = 0;
  for (auto& b : s.bodies(done_3, {}, error)) {
    longest = std::max(longest, b.bytes.size());
    CAF_CHECK_EQUAL(wire::sha256(b.bytes), b.sha);
    CAF_CHECK(s.bodies(done_3, {b.sha}, error) == std::vector<stored_body>{b});
  }
  CAF_CHECK(longest > 4096);
  CAF_CHECK_EQUAL(error, "");
}

} // namespace

CAF_TEST(a store of schema 3 is read as it is and gone on with) {
  temp_dir dir;
  copy_store(dir, 3);
  auto before = contents(dir.file());
  {
    auto s = open_store(dir.file(), store_use::reading);
    CAF_REQUIRE(s);
    check_schema_3(*s);
  }
  CAF_CHECK(contents(dir.file()) == before);
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  check_schema_3(*s);
  auto old = claim(*s, cut_off_3);
  CAF_REQUIRE_EQUAL(old.error, "");
  auto prose = std::string(50'000, 'x');
  CAF_REQUIRE_EQUAL(append(*s, cut_off_3, old.fence, 14, {"end"}, {1000, "", ""}, {{wire::sha256(prose), prose}}).error, "");
  std::string error;
  CAF_CHECK(s->bodies(cut_off_3, {wire::sha256(prose)}, error) == (std::vector<stored_body>{{wire::sha256(prose), prose}}));
  s->release(cut_off_3);
  CAF_CHECK_EQUAL(claim(*s, cut_off_3).body_bytes, old.body_bytes + prose.size());
  check_schema_3(*s);
  s.reset();
  CAF_CHECK_EQUAL(schema_of(dir.file()), newest);
}

CAF_TEST(tasks of a store of schema 3 are deleted without converting it) {
  temp_dir dir;
  copy_store(dir, 3);
  {
    auto s = open_store(dir.file(), store_use::deleting);
    CAF_REQUIRE(s);
    std::string error;
    CAF_CHECK_EQUAL(s->remove_all({done_3, cut_off_3}, error), (strings{done_3, cut_off_3}));
    CAF_CHECK_EQUAL(error, "");
  }
  CAF_CHECK_EQUAL(schema_of(dir.file()), 3);
}
