// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Stores that earlier programs made: tests/golden/README.md says how.

#define CAF_SUITE transports.event_store_schema

#include "support/store_fixture.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <thread>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

const std::string answered = "20261126-065704-409f03";
const std::string interrupted = "20261126-065704-5a052b";

void copy_store(const temp_dir& dir) {
  fs::create_directories(dir.path / "state");
  fs::copy_file(CONCLAVE_SOURCE_DIR "/tests/golden/store/schema1.db", dir.file());
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

CAF_TEST(a store of schema 1 becomes one of schema 2 and goes on) {
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
  CAF_CHECK_EQUAL(schema_of(dir.file()), 2);
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
    CAF_CHECK_EQUAL(schema_of(dir.file()), 2);
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
