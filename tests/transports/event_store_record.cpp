// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.event_store_record

#include "transports/event_store_record.hpp"

#include "protocols/wire/sha256.hpp"
#include "support/store_fixture.hpp"

using namespace conclave;
using namespace conclave::test;

namespace {

stored_body body(std::string bytes) {
  auto sha = wire::sha256(bytes);
  return {std::move(sha), std::move(bytes)};
}

std::string quoted(const stored_body& b) {
  return '"' + b.sha + '"';
}

struct read_back {
  strings events;
  std::vector<stored_body> bodies;
};

read_back read_all(const stored_batch& stored, std::uint64_t first) {
  read_back out;
  for (auto& r : stored.records) {
    CAF_CHECK_EQUAL(r.first, first + out.events.size());
    record part;
    CAF_CHECK(from_record(r.text, r.first, part));
    CAF_CHECK_EQUAL(part.events.size(), r.events);
    out.events.insert(out.events.end(), part.events.begin(), part.events.end());
    out.bodies.insert(out.bodies.end(), part.bodies.begin(), part.bodies.end());
  }
  return out;
}

} // namespace

CAF_TEST(what an append brings comes back byte by byte) {
  auto a = body("{\"text\":\"a\"}"), b = body("{\"text\":\"b\"}"), never_named = body("n"), empty = body("");
  std::string marks;
  for (int c = 0; c < 256; ++c)
    marks += std::string(2, static_cast<char>(c));
  auto odd = body(marks + marks);
  append_batch batch;
  batch.events = {R"({"said":[)" + quoted(b) + "," + quoted(a) + R"(],"seq":7,"state":)" + quoted(b) + "}",
                  "",
                  marks,
                  R"({"seq":99})",                                    // another number than its place gives
                  R"({"seq":110})",                                   // one that begins with it
                  R"("seq":12)",                                      // at the end
                  quoted(a) + R"("seq":13,"seq":13)" + quoted(empty), // twice
                  "\"" + std::string(64, 'f') + "\"",                 // a name of nothing
                  a.sha,                                              // without quotation marks
                  "\"\"\"" + quoted(odd).substr(1) + quoted(odd).substr(0, 64)};
  batch.bodies = {never_named, a, odd, empty, b, a};
  auto stored = to_records(batch, 7);
  CAF_CHECK(stored.apart.empty());
  CAF_CHECK_EQUAL(stored.records.size(), 1u);
  CAF_CHECK_EQUAL(stored.body_bytes, a.bytes.size() + b.bytes.size() + 1 + odd.bytes.size());
  auto back = read_all(stored, 7);
  CAF_CHECK(back.events == batch.events);
  CAF_CHECK(back.bodies == (std::vector<stored_body>{b, a, empty, odd, never_named}));
}

CAF_TEST(a body lies apart if it is long or its name is not its hash) {
  append_batch batch;
  batch.events = {"{}"};
  batch.bodies = {body(std::string(short_body - 1, 'a')), body(std::string(short_body, 'b')), {name_of(1), "c"}};
  auto stored = to_records(batch, 1);
  CAF_REQUIRE_EQUAL(stored.apart.size(), 2u);
  CAF_CHECK(stored.apart[0] == &batch.bodies[1]);
  CAF_CHECK(stored.apart[1] == &batch.bodies[2]);
  CAF_CHECK_EQUAL(read_all(stored, 1).bodies.size(), 1u);
  batch.events.clear(); // no record to lie in
  CAF_CHECK_EQUAL(to_records(batch, 1).apart.size(), 3u);
  CAF_CHECK(to_records(batch, 1).records.empty());
}

CAF_TEST(a large append becomes several records that each have the bodies they name) {
  append_batch batch;
  for (int i = 0; i < 100; ++i) {
    batch.bodies.push_back(body("body " + std::to_string(i)));
    batch.events.push_back("{" + noise(1'000, 1) + quoted(batch.bodies.back()) + "}");
  }
  auto stored = to_records(batch, 5);
  CAF_CHECK(stored.records.size() > 4u);
  for (auto& r : stored.records)
    CAF_CHECK(r.text.size() < record_bytes + 2'000);
  auto back = read_all(stored, 5);
  CAF_CHECK(back.events == batch.events);
  CAF_CHECK(back.bodies == batch.bodies);
}

CAF_TEST(a text that no store wrote is no record) {
  record out;
  for (auto* text : {"no end", "\x02", "\x03", "\x04", "\x04 body", "\x05"})
    CAF_CHECK(!from_record(text, 1, out));
  CAF_CHECK(!from_record({}, 1, out));                        // without an event
  CAF_CHECK(!from_record({"\x04 b\0", 4}, 1, out));           // a body alone
  CAF_CHECK(!from_record({"\x02\0", 2}, 1, out));             // the name of no body
  CAF_CHECK(!from_record({"\x04\x01\0e\0", 5}, 1, out));      // a body with a number
  CAF_CHECK(!from_record({"\x04 b\0\x02\x02\0", 7}, 1, out)); // more names than bodies
  CAF_CHECK(!from_record({"e\0\x04 b\0", 6}, 1, out));        // a body behind an event
  CAF_CHECK(from_record({"\x03\x04 b\0", 5}, 1, out));
  CAF_CHECK(out.events == strings{"\x04 b"});
}

CAF_TEST(records are packed with those before them and damage is found) {
  record_packer packer;
  auto text = noise(1'000), next = text + "and more";
  auto first = packer.pack(text, ""), second = packer.pack(next, text);
  CAF_CHECK(second.size() < 60u);
  std::string back;
  CAF_CHECK(packer.unpack(second, text, back));
  CAF_CHECK_EQUAL(back, next);
  CAF_CHECK(packer.unpack(first, "", back));
  CAF_CHECK_EQUAL(back, text);
  CAF_CHECK(!packer.unpack(second, noise(1'000, 2), back)); // another one before it
  for (std::size_t i = 0; i < second.size(); ++i) {
    auto bad = second;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    CAF_CHECK(!packer.unpack(bad, text, back) || back == next); // some bits do not matter
    CAF_CHECK(!packer.unpack(second.substr(0, i), text, back));
  }
  CAF_CHECK(!packer.unpack(second + "x", text, back));
  for (auto size : {std::size_t{0}, std::size_t{1}, group_bytes - 1, group_bytes, group_bytes + 1, 10 * group_bytes})
    for (auto same : {false, true}) {
      auto long_text = same ? std::string(size, 'x') : noise(size, 3);
      auto data = packer.pack(long_text, text);
      CAF_CHECK(data.size() <= size + 5);
      CAF_CHECK(packer.unpack(data, text, back));
      CAF_CHECK(back == long_text);
    }
}

CAF_TEST(a long body is packed if it becomes shorter and comes back byte by byte) {
  std::string escapes;
  for (std::uint64_t x = 1; escapes.size() < 40'000; x = x * 6364136223846793005 + 1442695040888963407) // Knuth's
    escapes += R"(\u00)" + std::string(1, x >> 40 & 1 ? '1' : '0') + "0123456789abcdef"[x >> 44 & 15];
  auto packed = pack_body(escapes);
  CAF_CHECK(!packed.empty());
  CAF_CHECK(packed.size() < escapes.size() / 4);
  std::string out;
  CAF_CHECK(unpack_body(packed, escapes.size(), out));
  CAF_CHECK(out == escapes);
  for (auto& other : {std::string(short_body - 1, 'x'), std::string(longest_packed + 1, 'x'), std::string()})
    CAF_CHECK(pack_body(other).empty());
  CAF_CHECK(!pack_body(std::string(longest_packed, 'x')).empty());
  std::string hash;
  for (int i = 0; hash.size() < 20'000; ++i)
    for (auto digits = wire::sha256(std::to_string(i)); !digits.empty(); digits.erase(0, 2))
      hash += static_cast<char>(std::stoi(digits.substr(0, 2), nullptr, 16));
  CAF_CHECK(pack_body(hash).empty());
}

CAF_TEST(a packed body that is damaged or larger than it says is refused) {
  const std::string bytes(1 << 20, 'x');
  auto packed = pack_body(bytes);
  std::string out;
  for (auto size : {bytes.size() - 1, bytes.size() + 1, std::size_t{0}, std::size_t{4096}, longest_packed, longest_packed + 1,
                    ~std::size_t{0}}) {
    CAF_CHECK(!unpack_body(packed, size, out));
    CAF_CHECK(out.size() <= longest_packed);
  }
  for (std::size_t i = 0; i < packed.size(); ++i) {
    auto bad = packed;
    bad[i] ^= 1;
    CAF_CHECK(!unpack_body(bad, bytes.size(), out) || out == bytes);
  }
  CAF_CHECK(!unpack_body(packed + "x", bytes.size(), out));
  CAF_CHECK(!unpack_body(packed.substr(1), bytes.size(), out));
  CAF_CHECK(!unpack_body("", bytes.size(), out));
}
