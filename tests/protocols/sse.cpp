// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.sse

#include "protocols/wire/sse.hpp"

#include "caf/test/unit_test.hpp"

#include <algorithm>
#include <vector>

using namespace conclave::wire;

namespace {

struct seen {
  std::vector<std::string> events; ///< name|id|data
  bool whole = true;
  bool operator==(const seen&) const = default;
};

seen run(std::string_view bytes, std::vector<std::size_t> sizes = {}, std::size_t bound = 1000) {
  seen out;
  sse_decoder d(bound);
  auto keep = [&](sse_event& e) { out.events.push_back(e.name + "|" + e.id + "|" + e.data); };
  std::size_t turn = 0;
  while (!bytes.empty()) {
    auto n = sizes.empty() ? bytes.size() : std::min(sizes[turn++ % sizes.size()], bytes.size());
    out.whole = d.feed(bytes.substr(0, n), keep);
    bytes.remove_prefix(n);
  }
  d.finish(keep);
  return out;
}

using list = std::vector<std::string>;

/// What the bytes say, whole, byte by byte, and cut at each place.
void check(const std::string& bytes, const list& expected, std::size_t bound = 1000) {
  auto whole = run(bytes, {}, bound);
  CAF_CHECK_EQUAL(whole.events, expected);
  CAF_CHECK(run(bytes, {1}, bound) == whole);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut)
    CAF_CHECK(run(bytes, {cut, bytes.size()}, bound) == whole);
}

} // namespace

CAF_TEST(lines end in LF or CR or CRLF also when a read ends between them) {
  check("data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\r\n\n", {"||a", "||b", "||c", "||d"});
}

CAF_TEST(data lines are joined and one leading space is dropped) {
  check("data: a\ndata:b\ndata:  c\ndata\n\n", {"||a\nb\n c\n"});
}

CAF_TEST(comments and unknown fields say nothing) {
  check(": OPENROUTER PROCESSING\n\n:\n\ndata: x\n: inside\nretry: 5\nnonsense\nDATA: y\n\n", {"||x"});
}

CAF_TEST(an error in words as a field is an event and words outside all fields are kept aside) {
  check("error: the moon is in the way\n\nerror:\n\n", {"error||the moon is in the way"});
  sse_decoder d;
  d.feed("upstream\nconnect error\n\ndata: x\n: a comment\n\n" + std::string(1u << 20, 'x') + "\n", [](sse_event&) {});
  CAF_CHECK(d.stray().starts_with("upstream connect error x") && d.stray().size() <= 2000);
}

CAF_TEST(names and ids belong to one event and an id with NUL is ignored) {
  check(std::string("event: e\nid: 7\ndata: x\n\nid: a\0b\ndata: y\n\n", 41), {"e|7|x", "||y"});
}

CAF_TEST(an event without data or with empty data is dropped) {
  check("event: ping\n\nevent: prime\ndata:\n\ndata\n\nid: 1\n\ndata: x\n\n", {"||x"});
}

CAF_TEST(one byte order mark is skipped at the very beginning only) {
  check("\xEF\xBB\xBF"
        "data: x\n\n\xEF\xBB\xBF"
        "data: y\n\n",
        {"||x"});
  check("\xEF\xBB\xBF\n\ndata: x\n\n", {"||x"});
}

CAF_TEST(characters cut between reads stay whole) {
  check("data: \xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x97\xBC\n\n", {"||\xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x97\xBC"});
}

CAF_TEST(a last event without its blank line is handed out at the end) {
  check("data: x", {"||x"});
  check("data: x\n", {"||x"});
  check("data: x\r", {"||x"});
  check("event: only", {});
}

CAF_TEST(the bound is met at the same place however the bytes are split) {
  auto line = "data: " + std::string(30, 'x') + "\n";
  check("data: a\n\n" + line + "\ndata: b\n\n", {"||a", "||" + std::string(30, 'x'), "||b"}, 40);
  check("data: a\n\ndata: " + std::string(60, 'x') + "\n\ndata: b\n\n", {"||a"}, 40); // one line too long
  check("data: a\n\n" + line + line + "\ndata: b\n\n", {"||a"}, 40);                  // one event too long
  CAF_CHECK(!run(line + line + "\n", {}, 40).whole);
  CAF_CHECK(run(line + "\n" + line + "\n", {}, 40).whole);
}

CAF_TEST(the cost of a long line in small reads stays linear) {
  std::string bytes = "data: " + std::string(4u << 20, 'x') + "\n\n";
  auto out = run(bytes, {3}, 16u << 20);
  CAF_CHECK_EQUAL(out.events.size(), 1u);
}
