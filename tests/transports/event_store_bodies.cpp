// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a store keeps beside the events, and reading in parts.

#define CAF_SUITE transports.event_store_bodies

#include "protocols/wire/sha256.hpp"
#include "support/store_fixture.hpp"

#include <map>
#include <mutex>
#include <random>
#include <thread>

using namespace conclave;
using namespace conclave::test;

namespace {

using bodies = std::vector<stored_body>;

event_page page(event_store& s, const std::string& task, std::uint64_t after, std::size_t limit) {
  return await<event_page>([&](auto done) { s.read(task, after, limit, done); });
}

body_page body_part(event_store& s, const std::string& task, strings names) {
  return await<body_page>([&](auto done) { s.read_bodies(task, std::move(names), done); });
}

std::string shas(const bodies& all) {
  std::string out;
  for (auto& b : all)
    out += b.sha.substr(62) + "=" + b.bytes + " ";
  return out;
}

} // namespace

CAF_TEST(a body is kept once per task as it was first and survives a reopen) {
  temp_dir dir;
  {
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    append(*s, "t", 1, 0, {"a"}, {}, {{name_of(2), "two"}, {name_of(1), std::string("nul\0 \xff", 6)}, {name_of(3), ""}});
    append(*s, "t", 1, 1, {"b"}, {}, {{name_of(2), "other"}, {name_of(4), "four"}, {name_of(4), "again"}});
    append(*s, "u", 1, 0, {"a"}, {}, {{name_of(2), "of u"}});
    // A task goes on with bodies alone, too.
    CAF_CHECK_EQUAL(append(*s, "u", 1, 1, {}, {}, {{name_of(5), "late"}}).seq, 1u);
  }
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  std::string error;
  CAF_CHECK_EQUAL(shas(s->bodies("t", {}, error)), "02=two 01=" + std::string("nul\0 \xff", 6) + " 03= 04=four ");
  CAF_CHECK_EQUAL(shas(s->bodies("u", {}, error)), "02=of u 05=late ");
  CAF_CHECK_EQUAL(shas(s->bodies("t", {name_of(4), name_of(9), name_of(2), name_of(4), "no name"}, error)),
                  "04=four 02=two 04=four ");
  CAF_CHECK(s->bodies("nobody", {}, error).empty());
  CAF_CHECK_EQUAL(error, "");
  auto part = body_part(*s, "t", {name_of(4), name_of(9), name_of(2)});
  CAF_CHECK_EQUAL(part.error, "");
  CAF_CHECK_EQUAL(shas(part.bodies), "04=four 02=two ");
  CAF_CHECK_EQUAL(part.looked_for, 3u);
}

CAF_TEST(bodies of every size come back whole and take little more room than their bytes) {
  temp_dir dir;
  std::string error;
  std::mt19937 random(7);
  for (std::size_t size : {1u, 999u, 1'000u, 1'001u, 2'100u, 4'092u, 4'581u, 4'582u, 4'583u, 6'192u, 8'674u, 100'003u}) {
    auto file = (dir.path / std::to_string(size)).string();
    auto s = open_store(file);
    CAF_REQUIRE(s);
    bodies all;
    for (std::uint64_t i = 0; i < 400; ++i) {
      std::string bytes(size, ' ');
      for (std::size_t at = 0; at < size; at += 97)
        bytes[at] = static_cast<char>(random());
      all.push_back({name_of(i * 7'919), bytes});
    }
    CAF_CHECK_EQUAL(append(*s, "20261126-065704-409f03", 1, 0, {"a"}, {1, "", "failed"}, all).error, "");
    CAF_CHECK(s->bodies("20261126-065704-409f03", {}, error) == all);
    CAF_CHECK(s->bodies("20261126-065704-409f03", {all[9].sha}, error) == bodies{all[9]});
    s.reset(); // the log is written back
    CAF_CHECK(std::filesystem::file_size(file) < 400 * (size + size / 10 + 120) + 65'536);
  }
}

CAF_TEST(who reads a whole log gets the bodies in it on the way and no more than are to be kept) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  bodies all;
  for (int i = 0; i < 300; ++i) {
    stored_body b{"", "body " + std::to_string(i)};
    b.sha = wire::sha256(b.bytes);
    auto event = "{\"said\":\"" + b.sha + "\"}";
    all.push_back(b);
    CAF_REQUIRE_EQUAL(append(*s, "t", 1, static_cast<std::uint64_t>(i), {event}, {}, {std::move(b)}).error, "");
  }
  std::string error;
  bodies found{{"left", "from before"}};
  auto events = s->read_with_bodies("t", found, error);
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK_EQUAL(events.size(), 300u);
  CAF_CHECK(found == all);
  auto alone = s->read("t", 0, error);
  CAF_REQUIRE_EQUAL(alone.size(), events.size());
  for (std::size_t i = 0; i < alone.size(); ++i)
    CAF_CHECK(alone[i].seq == events[i].seq && alone[i].json == events[i].json);
  CAF_CHECK(s->read_with_bodies("nobody", found, error).empty() && found.empty());
}

CAF_TEST(an append that is refused leaves no body and harms no neighbour) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  append(*s, "t", 1, 0, {"a"});
  CAF_CHECK_EQUAL(append(*s, "t", 1, 0, {"b"}, {}, {{name_of(1), "x"}}).code, ec::denied);
  CAF_CHECK_EQUAL(append(*s, "t", 2, 1, {"b"}, {}, {{name_of(1), "x"}}).code, ec::denied);
  for (auto& name : strings{"", "short", std::string(64, 'G'), std::string(64, 'A'), std::string(65, 'a')}) {
    auto r = append(*s, "t", 1, 1, {"b"}, {}, {{name_of(1), "x"}, {name, "x"}});
    CAF_CHECK_EQUAL(r.code, ec::bad_request);
    CAF_CHECK(r.error.find("64 hexadecimal digits") != std::string::npos);
  }
  CAF_CHECK_EQUAL(append(*s, "new", 1, 0, {}, {}, {{name_of(1), "x"}}).code, ec::bad_request); // a log begins with an event
  CAF_CHECK_EQUAL(texts(*s, "t"), strings{"a"});
  std::string error;
  CAF_CHECK(s->bodies("t", {}, error).empty());
  CAF_CHECK_EQUAL(s->list(error).size(), 1u);
}

CAF_TEST(bodies go with their task and so does their room) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  bodies large;
  for (std::uint64_t i = 0; i < 8; ++i)
    large.push_back({name_of(i), std::string(1 << 20, 'x')});
  append(*s, "t", 1, 0, {"a"}, {1, "", "answered"}, large);
  append(*s, "u", 1, 0, {"a"}, {5, "", "answered"}, {{name_of(0), "small"}});
  append(*s, "v", 1, 0, {"a"}, {1, "", "answered"}, large);
  std::string error;
  CAF_CHECK(s->remove("t", error));
  CAF_CHECK_EQUAL(s->prune(2, error), strings{"v"});
  CAF_CHECK_EQUAL(error, "");
  CAF_CHECK(std::filesystem::file_size(dir.file()) < 200'000u);
  CAF_CHECK(s->bodies("t", {}, error).empty());
  CAF_CHECK_EQUAL(shas(s->bodies("u", {}, error)), "00=small ");
  // The name is free: nothing of the one before comes back.
  append(*s, "t", 1, 0, {"b"});
  CAF_CHECK(s->bodies("t", {}, error).empty());
}

CAF_TEST(events come in parts that say whether there are more) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  append(*s, "t", 1, 0, {"a", "b", "c"});
  append(*s, "tt", 1, 0, {"other"});
  auto p = page(*s, "t", 0, 2);
  CAF_CHECK_EQUAL(p.error, "");
  CAF_REQUIRE_EQUAL(p.events.size(), 2u);
  CAF_CHECK_EQUAL(p.events[1].seq, 2u);
  CAF_CHECK_EQUAL(p.events[1].json, "b");
  CAF_CHECK(p.more);
  p = page(*s, "t", 2, 2);
  CAF_CHECK_EQUAL(p.events.size(), 1u);
  CAF_CHECK(!p.more);
  p = page(*s, "t", 0, 3);
  CAF_CHECK_EQUAL(p.events.size(), 3u);
  CAF_CHECK(!p.more);
  CAF_CHECK(page(*s, "t", 0, 0).more);
  CAF_CHECK(page(*s, "t", 0, 0).events.empty());
  CAF_CHECK(!page(*s, "t", 3, 5).more);
  CAF_CHECK_EQUAL(page(*s, "unknown", 0, 5).code, ec::none);
  // Large events: about 4 MiB, and never none.
  append(*s, "big", 1, 0, {std::string(3u << 20, 'x'), std::string(3u << 20, 'x'), std::string(9u << 20, 'x'), "end"});
  CAF_CHECK_EQUAL(page(*s, "big", 0, 100).events.size(), 2u);
  CAF_CHECK_EQUAL(page(*s, "big", 2, 100).events.size(), 1u);
  CAF_CHECK(page(*s, "big", 2, 100).more);
  CAF_CHECK(!page(*s, "big", 3, 100).more);
}

CAF_TEST(bodies come in parts that say how far they go) {
  temp_dir dir;
  auto s = open_store(dir.file());
  CAF_REQUIRE(s);
  append(*s, "t", 1, 0, {"a"}, {},
         {{name_of(1), std::string(3u << 20, 'x')},
          {name_of(2), std::string(3u << 20, 'x')},
          {name_of(3), std::string(9u << 20, 'x')},
          {name_of(4), "end"}});
  strings names{name_of(1), name_of(9), name_of(2), name_of(3), name_of(4)};
  std::string found;
  int parts = 0;
  while (!names.empty() && parts < 10) {
    auto p = body_part(*s, "t", names);
    CAF_REQUIRE_EQUAL(p.code, ec::none);
    CAF_REQUIRE(p.looked_for > 0u);
    for (auto& b : p.bodies)
      found += b.sha.back();
    names.erase(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(p.looked_for));
    ++parts;
  }
  CAF_CHECK_EQUAL(found, "1234");
  CAF_CHECK_EQUAL(parts, 3);
}

CAF_TEST(parts read while another store writes hold every event once) {
  temp_dir dir;
  auto writer = open_store(dir.file());
  auto reader = open_store(dir.file());
  CAF_REQUIRE(writer && reader);
  constexpr std::uint64_t n = 2'000;
  std::thread writing([&] {
    for (std::uint64_t i = 0; i < n; ++i)
      writer->append("t", 1, i, {{"event " + std::to_string(i + 1)}, {{name_of(i + 1), std::to_string(i + 1)}}, {}},
                     [](append_result) {});
  });
  std::uint64_t seq = 0, wrong = 0, without = 0;
  while (seq < n) {
    auto p = page(*reader, "t", seq, 37);
    CAF_REQUIRE_EQUAL(p.error, "");
    strings names;
    for (auto& e : p.events) {
      wrong += e.seq != ++seq || e.json != "event " + std::to_string(seq);
      names.push_back(name_of(seq));
    }
    without += body_part(*reader, "t", names).bodies.size() != names.size();
  }
  writing.join();
  CAF_CHECK_EQUAL(wrong, 0u);
  CAF_CHECK_EQUAL(without, 0u);
}

CAF_TEST(each of a flood of reads is answered once and the end of the store leaves none waiting) {
  temp_dir dir;
  constexpr int n = 3'000;
  std::map<ec, int> codes;
  std::string refusal;
  std::mutex m;
  {
    auto s = open_store(dir.file());
    CAF_REQUIRE(s);
    append(*s, "t", 1, 0, {std::string(1u << 20, 'x')});
    for (int i = 0; i < n; ++i)
      s->read("t", 0, 10, [&](event_page p) {
        std::lock_guard lock{m};
        ++codes[p.code];
        if (p.code == ec::unavailable)
          refusal = p.error;
      });
  }
  CAF_CHECK_EQUAL(codes[ec::none] + codes[ec::unavailable] + codes[ec::cancelled], n);
  CAF_CHECK(codes[ec::unavailable] > 0);
  CAF_CHECK(refusal.find("1000 reads are waiting") != std::string::npos);
  CAF_CHECK(codes[ec::cancelled] > 0);
}

CAF_TEST(what a store was not opened for is answered too) {
  temp_dir dir;
  auto s = open_store(dir.file(), store_use::reading);
  CAF_REQUIRE(s);
  CAF_CHECK_EQUAL(append(*s, "t", 1, 0, {"a"}).code, ec::unavailable);
  CAF_CHECK_EQUAL(claim(*s, "t").code, ec::unavailable);
  s->release("t");
  std::string error;
  CAF_CHECK(!s->request_cancel("t", "", error));
  CAF_CHECK(error.find("reading only") != std::string::npos);
  // Nothing was ever stored: nothing is found, and nothing is made.
  CAF_CHECK_EQUAL(page(*s, "t", 0, 5).code, ec::none);
  CAF_CHECK_EQUAL(body_part(*s, "t", {name_of(1), name_of(2)}).looked_for, 2u);
  CAF_CHECK(!std::filesystem::exists(dir.file()));
}
